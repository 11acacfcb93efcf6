"""Rectangles of a large picture: what lies in one, and what an enlargement shows there."""

from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

# Cells that each pixel of an enlargement is a mean of, along an axis.
TAPS = {"nearest-exact": 1, "bilinear": 2, "bicubic": 4}


@dataclass(frozen=True)
class Box:
    """A rectangle of a picture, whole pixels; rows before columns."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def whole(cls, size: tuple[int, int]) -> "Box":
        """All of a picture of that height and width."""
        return cls(0, 0, *size)

    @classmethod
    def around(cls, mask: Tensor) -> "Box | None":
        """The smallest box that holds what a mask (1 1 h w) does; None: it holds nothing."""
        seen = mask[0, 0] > 0
        rows, columns = (seen.any(dim=axis).nonzero()[:, 0] for axis in (1, 0))
        if not len(rows):
            return None
        return cls(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.bottom - self.top, self.right - self.left

    def bands(self, pixels: int) -> list["Box"]:
        """Whole rows of it, one below the other, with about that many pixels each."""
        rows = max(1, pixels // max(1, self.right - self.left))
        return [
            Box(top, self.left, min(top + rows, self.bottom), self.right)
            for top in range(self.top, self.bottom, rows)
        ]

    def of(self, picture: Tensor) -> Tensor:
        """Cut it out of a picture (... H W); a view."""
        return picture[..., self.top : self.bottom, self.left : self.right]

    def grown(self, rows: int, columns: int, size: tuple[int, int]) -> "Box":
        """Grow it by some pixels on each side, as far as a picture of that size goes."""
        height, width = size
        return Box(
            max(0, self.top - rows),
            max(0, self.left - columns),
            min(height, self.bottom + rows),
            min(width, self.right + columns),
        )

    def with_(self, other: "Box") -> "Box":
        """The smallest box that holds both."""
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def laid(self, part: Tensor, picture: Tensor) -> Tensor:
        """A picture (b c H W), which stays as it is, with a part (b c h w) in this place."""
        if self.size == picture.shape[-2:]:
            return part
        result = picture.clone()
        self.of(result).copy_(part)
        return result

    def carried(self, part: Tensor, other: "Box") -> Tensor:
        """What another box holds of a part (b c h w) that lies here; 0 where it has nothing."""
        found = part.new_zeros(*part.shape[:-2], *other.size)
        both = Box(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )
        if min(both.size) > 0:
            both.relative_to(other).of(found).copy_(both.relative_to(self).of(part))
        return found

    def placed_in(self, other: "Box") -> "Box":
        """The same place in the picture, where this one is counted from another box's corner."""
        return Box(
            self.top + other.top,
            self.left + other.left,
            self.bottom + other.top,
            self.right + other.left,
        )

    def relative_to(self, other: "Box") -> "Box":
        """The same place, counted from the corner of another box."""
        return Box(
            self.top - other.top,
            self.left - other.left,
            self.bottom - other.top,
            self.right - other.left,
        )


def enlarged(field: Tensor, size: tuple[int, int], box: Box, mode: str = "bilinear") -> Tensor:
    """A part of a field enlarged to a size, as ``interpolate`` makes it but for rounding.

    Args:
        field: (b c h w).
        size: height and width of all of it, enlarged; no smaller than the field.
        box: the part that is wanted.
        mode: nearest-exact, bilinear, or bicubic with antialiasing.

    Returns:
        (b c H W) of the size of the box.
    """
    if field.shape[-2:] == size:
        return box.of(field)
    # rows last: whole rows are copied far faster than columns are gathered
    for axis, part in ((3, slice(box.left, box.right)), (2, slice(box.top, box.bottom))):
        shares, cells = _taps(field.shape[axis], size[axis - 2], part, mode)
        shares = shares.to(field)[..., None] if axis == 2 else shares.to(field)
        terms = (
            field.index_select(axis, cell).mul_(share)
            for share, cell in zip(shares, cells.to(field.device), strict=True)
        )
        field = reduce(Tensor.add_, terms)
    return field


def _taps(count: int, size: int, part: slice, mode: str) -> tuple[Tensor, Tensor]:
    """Which cells a part of an enlarged axis is made of, and their shares, (k n) each."""
    cells = torch.eye(count)[None, None]
    table = F.interpolate(cells, (size, count), mode=mode, antialias=mode == "bicubic")[0, 0, part]
    index = table.abs().topk(min(TAPS[mode], count), dim=1).indices
    return table.gather(1, index).T, index.T
