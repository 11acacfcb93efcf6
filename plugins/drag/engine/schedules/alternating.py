"""Several levels are dragged, each after the one before it was denoised by a step."""

from dataclasses import dataclass

from torch import Tensor

from featurekit.core.types import Progress, Stop
from featurekit_drag.engine.loop import Pace, Record, move, parts_at
from featurekit_drag.engine.parts import Course, DraggedLatent, MakeMotion, MakeOutside


@dataclass(frozen=True)
class Alternating:
    """Drag a level, take a plain DDIM step down, drag the next one.

    Everything that refers to the unmoved picture (templates, anchors, the price of change) is read
    from the unmoved latent of the level that is dragged. Adam starts anew at each level. Handles
    are tracked after ``pace.updates_per_tracking`` updates, in the features of the last forward,
    which the last update has outdated, as in the published code. Once every handle has arrived, or
    none has moved for ``pace.patience`` trackings, the remaining levels get their steps alone.

    Source: Zhang et al. 2025, arXiv:2404.07206, section 3.2 (GoodDrag, alternating drag and
    denoising).
    """

    motion: MakeMotion
    outside: MakeOutside
    pace: Pace
    levels: int

    def __call__(self, course: Course, *, progress: Progress) -> DraggedLatent:
        """Drag the levels from the course's own downwards."""
        record = Record(course.handles_now, course.keep)
        latent = course.unmoved.at(course.level) if course.start is None else course.start
        stop = Stop.MAX_UPDATES
        total = self.levels * self.pace.updates
        for number in range(self.levels):
            level = course.level - number
            if stop is Stop.MAX_UPDATES:
                told = _after(number * self.pace.updates, total, progress)
                latent, stop = self._dragged(latent, level, course, record, told)
            latent = course.model.step(level, latent) + course.unmoved.missed(level)
        level = course.level - self.levels
        return record.result(latent, stop, level)

    def _dragged(
        self, latent: Tensor, level: int, course: Course, record: Record, progress: Progress
    ) -> tuple[Tensor, Stop]:
        parts = parts_at(level, course.unmoved.at(level), course, (self.motion, self.outside))
        moved = move(parts, latent, level, self.pace, record, progress)
        return moved.latent, moved.stop


def _after(done: int, total: int, progress: Progress) -> Progress:
    """Tell the updates of one level as some of all."""
    return lambda updates, _: progress(done + updates, total)
