"""Latent optimisation at one level, without a backbone: what DragDiffusion does to a latent."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from featurekit.core.types import Progress, silent
from featurekit_drag.engine.motions import motion_of, pace_of
from featurekit_drag.engine.outside.choice import LatentMask, outside_of
from featurekit_drag.engine.parts import Course, DraggedLatent, Drags, Model, Readout
from featurekit_drag.engine.schedules.one_level import OneLevel
from featurekit_drag.engine.settings import Rule
from featurekit_drag.engine.variables.latent import LatentVariable


def drag_latent(
    read: Callable[[Tensor], Readout],
    z: Tensor,
    points: tuple[Tensor, Tensor],
    *,
    rule: Rule,
    mask: LatentMask | None = None,
    progress: Progress = silent,
) -> DraggedLatent:
    """Optimise a latent until its features show every handle at its target.

    Each update takes one forward: the same features serve point tracking and motion supervision.
    The forward that finds every handle within ``rule.stop_distance`` ends the loop before any
    update.

    Args:
        read: latent (1 c h w) to features and, for the mask term, the next latent.
        z: the latent to move, not changed in place.
        points: handles and targets in unit coordinates, (n 2) each.
        rule: supervision, tracking, radii, step, stop distance, mask weight, Adam's settings.
        mask: None lets everything move.
        progress: called after every update.

    Returns:
        The optimised latent, why the loop ended, losses, and the path of the handles.

    Source: Shi et al. 2024, arXiv:2306.14435, section 3.3; mask term eq. 3 as a sum over the
    latent, as in the published code.
    """
    schedule = OneLevel(
        motion_of(rule), outside_of(mask, rule.mask_weight), pace_of(rule, is_late=False)
    )
    model = Model(lambda _, latent: LatentVariable(latent, read, _unseen), _unstepped)
    course = Course(model, 0, _One(z.detach()), Drags(*points))
    return schedule(course, progress=progress)


@dataclass(frozen=True)
class _One:
    """The one latent that there is."""

    latent: Tensor

    def at(self, level: int) -> Tensor:
        del level
        return self.latent

    def missed(self, level: int) -> Tensor:
        raise NotImplementedError(f"there is no level below {level}")


def _unseen(latents: Tensor) -> Tensor:
    raise NotImplementedError(f"nobody looks at {len(latents)} latents on the way")


def _unstepped(level: int, latent: Tensor) -> Tensor:
    raise NotImplementedError(f"no step leads on from level {level} of {len(latent)} rows")
