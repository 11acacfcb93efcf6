"""The loop: a forward, point tracking, motion supervision and an update, over and over."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from featurekit.core.types import Optimised, Progress, Stop
from featurekit.diffusion.optimise import Limits, optimise
from featurekit_drag.engine.parts import (
    Course,
    DraggedLatent,
    MakeMotion,
    MakeOutside,
    Motion,
    Outside,
    Station,
    Variable,
)


@dataclass(frozen=True)
class Pace:
    """How many updates a level gets, and when its handles are tracked."""

    updates: int
    learning_rate: float  # of Adam, which starts anew at each level
    updates_per_tracking: int = 1
    # True: on the features of the last forward, which the update after it has outdated;
    # False: on those of the next one
    is_late: bool = False
    patience: int = 0  # unchanged trackings in a row that end the drag; 0: none do


@dataclass
class Record:
    """What a drag leaves on its way, over all of its levels."""

    handles: Tensor  # where they are now, (n 2) units
    keep: bool = False
    handle_path: list[Tensor] = field(default_factory=list)  # at each forward
    trace: list[float] = field(default_factory=list)
    stations: list[Station] = field(default_factory=list)
    unchanged: int = 0  # trackings in a row that found every handle where it was

    def follow(self, motion: Motion, features: Tensor) -> None:
        """Find the handles again."""
        found = motion.follow(features.detach(), self.handles)
        self.unchanged = self.unchanged + 1 if torch.equal(found, self.handles) else 0
        self.handles = found

    def note(self, level: int, value: Tensor) -> None:
        """Note a forward."""
        self.handle_path.append(self.handles)
        if self.keep:  # Adam changes the value in place
            self.stations.append(Station(level, value.detach().clone(), self.handles))

    def result(
        self, latent: Tensor, stop: Stop, level: int, bottleneck: Tensor | None = None
    ) -> DraggedLatent:
        """What came of it."""
        path = self.handle_path or [self.handles]
        if not torch.equal(path[-1], self.handles):  # tracked after the last forward
            path = [*path, self.handles]
        return DraggedLatent(
            latent, stop, tuple(self.trace), tuple(path), tuple(self.stations), level, bottleneck
        )


class _Updates:
    """The updates of one level, as ``optimise`` asks for them."""

    def __init__(self, parts: "LevelParts", level: int, pace: Pace, record: Record) -> None:
        self.parts, self.level, self.pace, self.record = parts, level, pace, record
        self.seen: Tensor | None = None  # features of the last forward

    def loss(self, value: Tensor, update: int) -> Tensor | Stop:
        """One forward: track the points, then supervise their motion."""
        due = update > 0 and update % self.pace.updates_per_tracking == 0
        if due and self.pace.is_late:
            stop = self.track_late()
            if stop is not None:
                return stop
        value = self.parts.outside.held(value)
        readout = self.parts.variable.read(value)
        if not readout.field.isfinite().all():
            return readout.field.sum()  # not finite either: the loop ends as diverged
        self.seen = readout.field.detach()
        if (due and not self.pace.is_late) or self._is_first_after_a_warp():
            self.record.follow(self.parts.motion, self.seen)
        self.record.note(self.level, value)
        stop = self._stop()
        if stop is not None:
            return stop
        moved = self.parts.motion.loss(readout.field, self.record.handles)
        return moved + self.parts.outside.price(readout)

    def track_late(self) -> Stop | None:
        """Find the handles in the features of the last forward; say whether the level is over."""
        if self.seen is None:
            return None
        self.record.follow(self.parts.motion, self.seen)
        return self._stop()

    def _is_first_after_a_warp(self) -> bool:
        return self.parts.is_warped and not self.record.handle_path

    def _stop(self) -> Stop | None:
        if self.parts.motion.has_arrived(self.record.handles):
            return Stop.REACHED
        if self.pace.patience and self.record.unchanged >= self.pace.patience:
            return Stop.STALLED
        return None


@dataclass(frozen=True)
class LevelParts:
    """The parts of one level, made of its unmoved latent."""

    variable: Variable
    motion: Motion
    outside: Outside
    is_warped: bool = False  # what is moved is not the unmoved latent: handles are somewhere else

    def of(self, variable: Variable) -> "LevelParts":
        """The same parts for another latent of the level."""
        return replace(self, variable=variable)


def parts_at(
    level: int, unmoved: Tensor, course: Course, make: tuple[MakeMotion, MakeOutside]
) -> LevelParts:
    """Read the unmoved latent of a level and make the parts that refer to it.

    Args:
        level: of the latent.
        unmoved: the latent of the picture there (1 c h w).
        course: what is dragged.
        make: what makes the motion and what holds the outside.
    """
    variable = course.model.variable(level, unmoved)
    with torch.no_grad():
        before = variable.read(variable.start)
    motion, outside = make
    return LevelParts(
        variable,
        motion(before.field, course.drags),
        outside(variable.start, before),
        is_warped=course.start is not None,
    )


def move(
    parts: LevelParts, value: Tensor, level: int, pace: Pace, record: Record, progress: Progress
) -> Optimised:
    """Optimise the variable of a level until the handles are at their targets.

    Each update takes one forward. The forward that finds every handle at its target ends the loop
    before any update.

    Args:
        parts: of this level.
        value: of the variable, not changed in place.
        level: of the latent.
        pace: updates and trackings.
        record: of the whole drag; what happens is added to it.
        progress: called after every update.

    Returns:
        The optimised value, with the outside held; why the loop ended; losses.
    """
    updates = _Updates(parts, level, pace, record)
    limits = Limits(updates=pace.updates, learning_rate=pace.learning_rate)
    moved = optimise(value, updates.loss, limits=limits, progress=progress)
    stop = moved.stop
    if stop is Stop.MAX_UPDATES and pace.is_late:
        stop = updates.track_late() or stop
    record.trace.extend(moved.trace)
    return Optimised(parts.outside.held(moved.latent), stop, moved.trace)
