"""Nothing is optimised: what was warped is denoised as it is."""

from featurekit.core.types import Progress, Stop
from featurekit_drag.engine.loop import Record
from featurekit_drag.engine.parts import Course, DraggedLatent


def without_updates(course: Course, *, progress: Progress) -> DraggedLatent:
    """Hand the warped latent on.

    Source: Zhao et al. 2024, arXiv:2405.15769 (FastDrag): one warp in place of all updates.
    """
    unmoved = course.unmoved.at(course.level)
    latent = unmoved if course.start is None else course.start
    progress(1, 1)
    return Record(course.handles_now).result(latent, Stop.DONE, course.level)
