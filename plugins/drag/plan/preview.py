"""What a plan would give, while a target is being moved: a clean plate and one reading a layer."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

from featurekit.images.coordinates import Window
from featurekit_drag.engine.request import Request
from featurekit_drag.plan.around_handles import around_handles
from featurekit_drag.plan.grid import Grid
from featurekit_drag.plan.laying import (
    filled,
    refined,
    sharpened,
    surrounded,
    uncovered,
)
from featurekit_drag.plan.warp_plan import Found, Planner


@dataclass(frozen=True)
class Preview:
    """A picture whose layers are cut out, ready to be laid wherever they go.

    The layers and the clean plate (the picture with the layers removed and filled) depend on the
    handles, the pins, the regions and the mask, not on the targets.
    """

    texture: Tensor  # (1 3 h w) the picture at the size of the preview
    plate: Tensor  # (1 3 h w) without the layers
    alphas: tuple[Tensor, ...]  # (1 1 h w) of each layer
    left: Tensor  # (1 1 h w), 1 where the plate is not the texture
    inside: Tensor  # (1 1 h w), 1 where the picture may change
    planner: Planner
    found: Found | None  # the layer under the handles; None: regions, or what lies around them
    mode: str

    @classmethod
    def of(cls, planner: Planner, request: Request, mode: str, side_px: int) -> "Preview":
        """Cut out the layers of a request.

        Without a mask a plan looks for the layer around handles and targets; the one that is found
        for this request is kept, and shown wherever it goes.

        Args:
            planner: of the request's picture.
            request: its targets and moves are not read, but for its targets without a mask.
            mode: one of ``settings.MODES``.
            side_px: of the longer side of the texture at most.
        """
        image = planner.image
        height, width = image.shape[-2:]
        shrink = max(1.0, max(height, width) / side_px)
        view = Window(0, 0, width, height, shrink)
        texture = view.take(image)
        grid = replace(planner.grid, unit_px=planner.grid.unit_px / shrink)
        everywhere = torch.ones_like(texture[:, :1])
        shown = everywhere if request.mask is None else view.take_mask(request.mask)
        found: Found | None = None
        if request.regions:
            layers = [planner.grid.shrunk(one.mask) for one in request.regions]
        else:
            drags = planner.drags(request)
            found = planner.found(planner.may_change(request, drags), drags)
            layers = [found.alpha]
            if found.is_none(request):
                found = None
                layers = [one.alpha for one in around_handles(planner.grid, drags)]
        left = torch.zeros_like(layers[0])
        for alpha in layers if mode != "copy" else ():
            left = torch.maximum(left, surrounded(alpha))
        left = uncovered(left, shown)
        plate = filled(texture, left, grid)
        alphas = tuple(refined(alpha, texture, grid) for alpha in layers)
        return cls(texture, plate, alphas, left, shown, planner, found, mode)

    def laid(self, request: Request) -> Tensor:
        """Lay the layers where a request moves them.

        Args:
            request: of the handles, pins and regions that this was made of.

        Returns:
            Picture (1 3 h w) of the texture's size in [-1, 1]. Where the texture is as large as
            the picture and the whole layer moves, it is the picture of ``WarpPlan.laid`` but for
            rounding; a reshaped layer and a smaller texture are read bilinearly, which is faster.
        """
        picture = self.plate.clone()
        fields = self.fields(request)
        for alpha, (kind, back) in zip(self.alphas, fields, strict=True):
            where = self._where(back)
            moved = sharpened(_read(alpha, where, "bilinear") * self.inside)
            box = _box(moved)
            if box is None:
                continue
            opacity, under = moved[..., *box], picture[..., *box]
            picture[..., *box] = torch.lerp(under, self._content(kind, where[:, *box]), opacity)
        return picture

    def _content(self, kind: str, where: Tensor) -> Tensor:
        """What the texture shows at positions (1 h w 2), (1 3 h w)."""
        if self.texture.shape[-2:] != self.planner.image.shape[-2:]:
            return _read(self.texture, where, "bilinear")
        if kind in ("anchored", "elastic"):
            return _read(self._finer, where, "bilinear")
        return _read(self.texture, where, "bicubic").clamp_(-1, 1)

    @cached_property
    def _finer(self) -> Tensor:
        """The texture three times as large, (1 3 3h 3w); a pixel's centre stays one.

        Read bilinearly it differs from a bicubic reading of the texture by 0.1 grey levels (mean
        where a layer shows; the texture read bilinearly by 0.5), and takes two thirds of the time.
        """
        return F.interpolate(self.texture, scale_factor=3, mode="bicubic").clamp_(-1, 1)

    @cached_property
    def _unmoved(self) -> Tensor:
        """Positions of all pixels as ``grid_sample`` counts them, (1 2 h w)."""
        height, width = self.texture.shape[-2:]
        centres = Grid(height, width, 1.0).centres / torch.tensor([width, height])
        return (centres * 2 - 1).permute(2, 0, 1)[None].contiguous()

    def _where(self, back: Tensor) -> Tensor:
        """Carry a backward map from units to positions as ``grid_sample`` counts them, (1 h w 2).

        The same as ``laying.at_full_size`` and ``grid.read_at``, with the arithmetic on the grid.
        """
        grid, size = self.planner.grid, self.texture.shape[-2:]
        shift = (back - grid.centres) * (2 / torch.tensor([grid.width, grid.height]))
        finer = F.interpolate(shift.permute(2, 0, 1)[None], size=size, mode="bilinear")
        return finer.add_(self._unmoved).permute(0, 2, 3, 1)

    def fields(self, request: Request) -> list[tuple[str, Tensor]]:
        """For each layer the kind of its field and the backward map (h w 2) in units.

        Args:
            request: as for ``laid``.
        """
        grid = self.planner.grid
        if self.found is None:
            backs = [-one.move.float() / grid.unit_px for one in request.regions]
            backs = backs or list(self.planner.drags(request).back)
            return [("move", grid.centres + back) for back in backs]
        chosen = self.found.choice.field(self.mode, self.planner.drags(request).targets)
        return [(chosen.kind, chosen.back)]


def _read(field: Tensor, where: Tensor, mode: str) -> Tensor:
    read: Tensor = F.grid_sample(
        field, where, mode=mode, padding_mode="border", align_corners=False
    )
    return read


def _box(moved: Tensor) -> tuple[slice, slice] | None:
    """Rows and columns outside which a layer (1 1 h w) shows nothing; None: nowhere it does."""
    rows, columns = ((moved[0, 0] > 0).any(dim=axis).nonzero()[:, 0] for axis in (1, 0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
