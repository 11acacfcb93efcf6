"""From the words of a rule to how handles pull and are followed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from torch import Tensor

from featurekit_drag.engine.loop import Pace
from featurekit_drag.engine.parts import Drags, Follow, MakeMotion, Motion, Pull
from featurekit_drag.engine.settings import Rule
from featurekit_drag.engine.supervision.anchored import anchored
from featurekit_drag.engine.supervision.current import current
from featurekit_drag.engine.supervision.dense_field import dense_field
from featurekit_drag.engine.supervision.template import Template
from featurekit_drag.engine.tracking.directional import directional
from featurekit_drag.engine.tracking.nearest import nearest

Supervise: TypeAlias = Callable[[Tensor, Drags, Rule], Pull]

PULLS: dict[str, Supervise] = {"current": current, "anchored": anchored}
FOLLOWS = {"nearest": nearest, "directional": directional}


@dataclass(frozen=True)
class Tracked:
    """A supervision together with a tracker."""

    pull: Pull
    follower: Follow
    targets: Tensor
    stop_distance: float

    def follow(self, field: Tensor, handles: Tensor) -> Tensor:
        """Find the handles again."""
        return self.follower(field, handles)

    def loss(self, field: Tensor, handles: Tensor) -> Tensor:
        """Say how far the features are from what they should be."""
        return self.pull(field, handles)

    def has_arrived(self, handles: Tensor) -> bool:
        """Tell whether every handle is nearer to its target than the stop distance."""
        return bool(((self.targets - handles).norm(dim=1) < self.stop_distance).all())


def motion_of(rule: Rule, displacement: Tensor | None = None) -> MakeMotion:
    """Choose supervision and tracking.

    Args:
        rule: its words and numbers; supervision is not ``none``, and ``template`` goes with
            ``along_line``.
        displacement: (h w 2) in shares of the picture, for ``supervision="field"``.

    Returns:
        What makes the motion of a level.
    """
    if rule.supervision == "template":
        return partial(Template, rule=rule)
    pulls = dict(PULLS)
    if displacement is not None:
        pulls["field"] = partial(dense_field, displacement=displacement)

    def make(before: Tensor, drags: Drags) -> Motion:
        return Tracked(
            pulls[rule.supervision](before, drags, rule),
            FOLLOWS[rule.tracking](before, drags, rule),
            drags.targets,
            rule.stop_distance,
        )

    return make


def pace_of(rule: Rule, *, is_late: bool) -> Pace:
    """Read how many updates a level gets, and when its handles are tracked.

    Args:
        rule: its numbers.
        is_late: track in the features of the last forward, not of the next one.
    """
    return Pace(
        rule.updates,
        rule.learning_rate,
        rule.updates_per_tracking,
        is_late=is_late,
        patience=rule.patience,
    )
