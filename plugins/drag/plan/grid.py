"""The grid that a plan is made on: four units per cell of the model, whatever its size."""

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

from featurekit.diffusion.backbone import Backbone

UNITS_PER_CELL = 4  # every length of a plan is told in units: a pixel of the embedded model


@dataclass(frozen=True)
class Grid:
    """Units over a picture: unit (i, j) covers ``unit_px`` px from its corner at i and j units."""

    height: int  # units
    width: int
    unit_px: float  # px of the picture per unit

    @classmethod
    def over(cls, height_px: int, width_px: int, cell_px: int) -> "Grid":
        """Lay a grid over a picture for a model with that many px per cell, see ``cell_px_of``."""
        unit = cell_px / UNITS_PER_CELL
        return cls(max(1, round(height_px / unit)), max(1, round(width_px / unit)), unit)

    @property
    def cell_px(self) -> int:
        """Pixels of the picture per cell of the model."""
        return round(self.unit_px * UNITS_PER_CELL)

    @cached_property
    def centres(self) -> Tensor:
        """Centres of all units in units, (h w 2), x before y."""
        rows, columns = torch.arange(self.height) + 0.5, torch.arange(self.width) + 0.5
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        return torch.stack([x, y], dim=-1)

    def shrunk(self, field: Tensor) -> Tensor:
        """Carry a picture or mask (b c H W) to the grid, by the mean of what a unit covers."""
        size = (self.height, self.width)
        if field.shape[-2:] == size:
            return field
        return F.interpolate(field, size=size, mode="area")

    def near(self, points: Tensor, radius: float) -> Tensor:
        """Which units have their centre nearer than a radius to one of some points, (h w) bool.

        Args:
            points: (n 2) in units.
            radius: in units.
        """
        apart = torch.cdist(self.centres.reshape(-1, 2), points.to(torch.float32))
        return (apart.amin(dim=1) < radius).view(self.height, self.width)


def cell_px_of(backbone: Backbone) -> int:
    """Pixels of the input image per cell of a model: of a latent's cell, or of a token.

    What lies between the cells is read from pictures that are moved by parts of one.
    """
    return min(tap.stride for tap in backbone.taps.values())


def read_at(field: Tensor, at: Tensor, *, mode: str = "bilinear") -> Tensor:
    """Read a field at positions; beyond its border the border's value.

    Args:
        field: (1 c h w).
        at: positions (H W 2) in cells of the field, x before y, the first cell's centre at .5.
        mode: bilinear or bicubic.

    Returns:
        (1 c H W).
    """
    size = at.new_tensor([field.shape[-1], field.shape[-2]])
    where = (at / size).mul_(2).sub_(1)[None]
    read: Tensor = F.grid_sample(
        field, where.to(field), mode=mode, padding_mode="border", align_corners=False
    )
    return read


def grown(mask: Tensor, radius: int) -> Tensor:
    """Grow a mask (1 1 h w) by a square of that radius in cells."""
    wide = mask.to(torch.float32)
    for side, pad in (((2 * radius + 1, 1), (radius, 0)), ((1, 2 * radius + 1), (0, radius))):
        wide = F.max_pool2d(wide, side, stride=1, padding=pad)
    return wide


def reached(mask: Tensor, radius: int) -> Tensor:
    """Grow a mask (1 1 h w) of 0 and 1 as ``grown`` does, whatever the radius, in the same time."""
    wide = mask.to(torch.float32)
    for axis in (2, 3):
        wide = (summed(wide, radius, axis) > 0).to(wide)
    return wide


def summed(field: Tensor, radius: int, axis: int) -> Tensor:
    """Sum a field (b c h w) over that many cells on both sides along an axis, within the frame.

    By running sums, which are exact for whole numbers as far as their sum is below 2**24.
    """
    around = (radius + 1, radius)
    total = F.pad(field, (0, 0, *around) if axis == 2 else around).cumsum(axis)
    width, size = 2 * radius + 1, field.shape[axis]
    return total.narrow(axis, width, size) - total.narrow(axis, 0, size)


def share_around(mask: Tensor, radius: int) -> Tensor:
    """Share of a mask (1 1 h w) of 0 and 1 in a square of that radius, as far as in the frame."""
    for axis in (2, 3):
        size = mask.shape[axis]
        at = torch.arange(size, device=mask.device)
        cells = (at + radius + 1).clamp_max(size) - (at - radius).clamp_min(0)
        mask = summed(mask, radius, axis).div_(cells.view((-1, 1) if axis == 2 else (-1,)))
    return mask
