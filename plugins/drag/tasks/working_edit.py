"""An edit of the part that is worked on, brought back to the picture."""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from featurekit.images.coordinates import Window
from featurekit_drag.engine.edit import Edit, Editor
from featurekit_drag.engine.request import Stage, untimed
from featurekit_drag.working_size import Work, taken


def edited(editor: Editor, work: Work, *, stage: Stage = untimed) -> Edit:
    """Edit a picture in its part; an editor that keeps pixels gets it at the picture's own size."""
    if work.is_whole:
        return editor(work.part.request, stage=stage)
    if not editor.keeps_resolution:
        done = editor(work.part.request, stage=stage)
        return _brought(done, work.window, lambda one: work.pasted(one, editor.seam))
    window, image = work.own_size, work.full.request.image
    done = editor(taken(work.full.request, window), stage=stage)
    everywhere = window.inside(image.shape[-2], image.shape[-1], 0)
    return _brought(done, window, lambda one: window.put(one, image, everywhere))


def _brought(done: Edit, window: Window, put: Callable[[Tensor], Tensor]) -> Edit:
    frames = tuple(
        replace(
            frame, image=put(frame.image), handles=window.points_to_picture(frame.handles.double())
        )
        for frame in done.frames
    )
    return replace(
        done,
        image=put(done.image),
        frames=frames,
        candidates=tuple(put(one) for one in done.candidates),
        stages={name: put(one) for name, one in done.stages.items()},
    )
