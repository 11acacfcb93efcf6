"""One level is dragged, then the latent is denoised."""

from dataclasses import dataclass

from featurekit.core.types import Progress
from featurekit_drag.engine.loop import Pace, Record, move, parts_at
from featurekit_drag.engine.parts import Course, DraggedLatent, MakeMotion, MakeOutside


@dataclass(frozen=True)
class OneLevel:
    """All updates at the noisiest level.

    Source: Shi et al. 2024, arXiv:2306.14435, section 3.3.
    """

    motion: MakeMotion
    outside: MakeOutside
    pace: Pace

    def __call__(self, course: Course, *, progress: Progress) -> DraggedLatent:
        """Drag the latent of the course's level."""
        level, unmoved = course.level, course.unmoved.at(course.level)
        parts = parts_at(level, unmoved, course, (self.motion, self.outside))
        variable = parts.variable
        if course.start is not None:
            variable = course.model.variable(level, course.start)
        record = Record(course.handles_now, course.keep)
        moved = move(parts.of(variable), variable.start, level, self.pace, record, progress)
        latent, bottleneck = variable.placed(moved.latent)
        return record.result(latent, moved.stop, level, bottleneck=bottleneck)
