"""An edit of the part that is worked on, brought back to the picture."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

from featurekit.images.coordinates import Window
from featurekit_drag.engine.edit import Edit, Editor, Frame, Made
from featurekit_drag.engine.request import Stage, untimed
from featurekit_drag.plan.grid import Grid, read_at
from featurekit_drag.working_size import Work, screen_of, taken


def edited(editor: Editor, work: Work, *, stage: Stage = untimed) -> Edit:
    """Edit a picture in its part; an editor that keeps pixels gets it at the picture's own size.

    Frames come back as a screen shows them, all else at the picture's size.
    """
    image = work.full.request.image
    if work.is_whole:
        done = editor(work.part.request, stage=stage)
        return replace(done, frames=tuple(_shrunk(frame) for frame in done.frames))
    if not editor.keeps_resolution:
        done = editor(work.part.request, stage=stage)
        soft = work.soft(editor.seam)
        screen = _Screen(image, work.window, soft)
        return _brought(done, screen, lambda one: work.window.put(one, image, soft))
    window = work.own_size
    done = editor(taken(work.full.request, window), stage=stage)
    return _brought(done, _Screen(image, window), lambda one: window.box.laid(one, image))


@dataclass(frozen=True)
class _Screen:
    """A picture as a screen shows it, over which pictures of a part are laid."""

    image: Tensor  # (1 3 H W)
    window: Window  # the part
    soft: Tensor | None = None  # (1 1 H W) how much of the part is seen; None: all of it

    def brought(self, frame: Frame) -> Frame:
        """Lay a frame of the part, of whatever size, over the whole."""
        window, screen = self.window, screen_of(self.image)
        rows, columns = screen.work_px
        centres = Grid(rows, columns, 1.0).centres.double()
        at = (screen.points_to_picture(centres) - torch.tensor([window.left, window.top])).float()
        size = (
            max(1, round(window.height / screen.shrink)),
            max(1, round(window.width / screen.shrink)),
        )
        small = F.interpolate(frame.image, size, mode="bicubic", antialias=True).clamp(-1, 1)
        cells = at * torch.tensor([size[1] / window.width, size[0] / window.height])
        inside = ((at > 0) & (at < torch.tensor([window.width, window.height]))).all(dim=-1)
        share = inside.to(small)
        if self.soft is not None:
            share = share * F.interpolate(self.soft, (rows, columns), mode="area")
        whole = screen.take(self.image)
        laid = torch.where(share > 0, torch.lerp(whole, read_at(small, cells), share), whole)
        return Frame(laid, window.points_to_picture(frame.handles.double()))


def _shrunk(frame: Frame) -> Frame:
    return replace(frame, image=screen_of(frame.image).take(frame.image))


def _brought(done: Edit, screen: _Screen, put: Callable[[Tensor], Tensor]) -> Edit:
    image, count = put(done.image), len(done.candidates)
    held = {int(done.facts["chosen"]): image} if "chosen" in done.facts else {}
    return replace(
        done,
        image=image,
        frames=tuple(screen.brought(frame) for frame in done.frames),
        candidates=Made(count, lambda number: put(done.candidates[number]), held) if count else (),
        stages={name: put(one) for name, one in done.stages.items()},
    )
