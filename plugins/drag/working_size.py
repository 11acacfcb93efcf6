"""The part of a large picture that is dragged, at a size that the model knows, and its way back."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from featurekit.diffusion.backbone import Backbone
from featurekit.images.coordinates import Window, window_around
from featurekit_drag.engine.edit import Seam
from featurekit_drag.engine.masks import feathered
from featurekit_drag.engine.points import Points
from featurekit_drag.engine.request import Region, Request
from featurekit_drag.inputs import Subject, native_size

AROUND_BOX = 1.5  # sides of the part in sides of what must lie in it: mask, handles and targets
AROUND_DRAG = 5.0  # and in lengths of the longest drag, which moves a thing, not only its handle
FAR = 2  # sides of the model, beyond which a picture that is worked on as it is is told of
SCREEN_PX = 1024  # of the longer side of a frame of an animation
SEAM_SHARE = 1 / 16  # of the part, where it fades into the picture


@dataclass(frozen=True)
class Work:
    """What is dragged in place of a picture, and how the result comes back to it."""

    full: Subject
    part: Subject  # what the model sees
    window: Window

    @property
    def is_whole(self) -> bool:
        """Whether the picture itself is dragged, pixel by pixel."""
        return self.part is self.full

    @property
    def own_size(self) -> Window:
        """The part with every pixel of the picture."""
        return replace(self.window, shrink=1.0)

    def pasted(self, picture: Tensor, seam: Seam) -> Tensor:
        """Bring an edit of the part (1 3 h w) back into the picture, at its full size.

        Outside the feathered mask, or without one outside the part, every pixel is the picture's.
        """
        if self.is_whole:
            return picture
        image = self.full.request.image
        return self.window.put(picture, image, self.soft(seam))

    def seen(self, image: Tensor) -> Tensor:
        """The part of an edited picture (1 3 h w) as the model and the judges see it."""
        return image if self.is_whole else self.window.take(image)

    def soft(self, seam: Seam) -> Tensor:
        """How much of an edit is seen at every pixel of the picture, (1 1 H W) in [0, 1]."""
        mask, window = self.full.request.mask, self.window
        if mask is not None and seam.composite:
            return feathered(mask, round(seam.feather_px * window.shrink))
        height, width = self.full.request.image.shape[-2:]
        wide = round(min(window.height, window.width) * SEAM_SHARE)
        return feathered(window.inside(height, width, wide), wide - 1)

    def told(self, backbone: Backbone) -> str:
        """One line for a person on what is done to a large picture; empty where nothing is."""
        height, width = self.full.request.image.shape[-2:]
        own = native_size(backbone)
        known = f"the picture is {width}x{height} px, the {backbone.name} model knows {own} px"
        if self.is_whole:
            far = max(height, width) > FAR * own
            return f"{known}: it is worked on as it is; plugin.side_px={own} is faster" * far
        window, (rows, columns) = self.window, self.window.work_px
        whole = (window.height, window.width) == (height, width)
        what = "it" if whole else f"a part of {window.width}x{window.height} px around the drag"
        size = "its own size" if window.shrink == 1 else f"{columns}x{rows} px"
        return (
            f"{known}: {what} is worked on at {size} and pasted back at full size; "
            f"plugin.side_px={max(height, width)} works on the whole picture as it is"
        )

    def points_report(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Carry what the judges saw in the part (see ``Judge.report``) to px of the picture."""
        if self.is_whole:
            return rows
        return [
            {
                **row,
                "handle": asked[:2],
                "target": asked[2:],
                "reached_px": self._carried(row["reached_px"]),
                "final_px_error": row["final_px_error"] * self.window.shrink,
                "judges": {name: self._carried(xy) for name, xy in row["judges"].items()},
            }
            for row, asked in zip(rows, self.full.request.points.rows, strict=True)
        ]

    def scores_report(self, table: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Carry distances of ``scores`` to px of the picture."""
        return {
            name: {
                **row,
                "error_px": {by: px * self.window.shrink for by, px in row["error_px"].items()},
            }
            for name, row in table.items()
        }

    def record(self) -> dict[str, Any]:
        """Say in run.json what was worked on: left, top, width, height of the part; its work."""
        window, (rows, columns) = self.window, self.window.work_px
        part = [window.left, window.top, window.width, window.height]
        return {"part_px": part, "at_px": [columns, rows]}

    def _carried(self, xy: list[float]) -> list[float]:
        found: list[float] = self.window.points_to_picture(
            torch.tensor([xy], dtype=torch.float64)
        ).tolist()[0]
        return found


def view_of(image: Tensor, side_px: int) -> Window:
    """The whole of a picture (1 c h w) at the size that the model works at.

    Args:
        image: of any size.
        side_px: of the longer side of the view; 0, or more than the picture has: as it is.
    """
    height, width = image.shape[-2:]
    longest = max(height, width)
    return Window(0, 0, width, height, longest / min(side_px or longest, longest))


def screen_of(image: Tensor) -> Window:
    """The whole of a picture (1 c h w) as a screen shows it in an animation."""
    return view_of(image, SCREEN_PX)


def window_of(request: Request, side_px: int) -> Window:
    """Choose the part of a request's picture that is worked on.

    Args:
        request: with picture, points and mask.
        side_px: what the longer side of the work may have; 0 takes the picture as it is.
    """
    height, width = request.image.shape[-2:]
    box = _box(request)
    around = AROUND_BOX * max(box[2] - box[0], box[3] - box[1])
    least = max(around, AROUND_DRAG * float(request.points.lengths.max()))
    return window_around(
        box,
        height=height,
        width=width,
        least_px=round(least),
        side_px=side_px or max(height, width),
    )


def work_on(subject: Subject, side_px: int) -> Work:
    """Cut out and shrink what is dragged; a picture that is small enough stays as it is."""
    request, window = subject.request, window_of(subject.request, side_px)
    height, width = request.image.shape[-2:]
    if window == Window(0, 0, width, height, 1.0):
        return Work(subject, subject, window)
    truth = None if subject.truth is None else window.take(subject.truth)
    changed = None if subject.changed is None else window.take_mask(subject.changed.float()) > 0
    part = replace(subject, request=taken(request, window), truth=truth, changed=changed)
    return Work(subject, part, window)


def taken(request: Request, window: Window) -> Request:
    """Carry a request to a part of its picture, at the size of the window's work."""
    points = request.points
    return replace(
        request,
        image=window.take(request.image),
        points=Points(window.points_to_work(points.handles), window.points_to_work(points.targets)),
        mask=None if request.mask is None else window.take_mask(request.mask),
        pins=window.points_to_work(request.pins),
        regions=tuple(
            Region(window.take_mask(one.mask), one.move / window.shrink) for one in request.regions
        ),
    )


def _box(request: Request) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of mask, handles, targets, and regions before and after."""
    pins = request.pins.to(request.points.handles)
    xy = torch.cat([request.points.handles, request.points.targets, pins])
    if request.mask is not None:
        xy = torch.cat([xy, _corners(request.mask).to(xy)])
    for region in request.regions:
        corners = _corners(region.mask).to(xy)
        xy = torch.cat([xy, corners, corners + region.move.to(xy)])
    if request.regions:  # what is moved out of the picture is not looked for there
        height, width = request.image.shape[-2:]
        xy = torch.minimum(xy.clamp_min(0), xy.new_tensor([width, height]))
    (left, top), (right, bottom) = xy.amin(dim=0).tolist(), xy.amax(dim=0).tolist()
    return left, top, right, bottom


def _corners(mask: Tensor) -> Tensor:
    """Left top and right bottom of what a mask (1 1 h w) holds, (2 2)."""
    rows, columns = mask[0, 0].nonzero(as_tuple=True)
    return torch.stack(
        [torch.stack([columns.min(), rows.min()]), torch.stack([columns.max(), rows.max()]) + 1]
    )
