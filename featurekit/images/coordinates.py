"""Coordinates: pixels of the input image, cells of a map, parts that are worked on apart.

A point is ``(x, y)`` in pixels, origin at the top-left corner of the top-left pixel, so pixel
centres lie at .5. A cell coordinate is an index coordinate: the centre of cell k is k. Pictures
grow on the right and at the bottom only, hence padding never changes a point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

from featurekit.core.errors import ConfigError, ShapeError
from featurekit.core.shapes import expect
from featurekit.images.parts import Box, enlarged

_ROUNDING = 1e-6  # px: a quotient that is whole but for its last bits is whole


def pad(image: Tensor, multiple: int) -> Tensor:
    """Reflect an image to the next multiple of a size, on the right and at the bottom.

    The reflection does not repeat the border pixel and folds back as often as needed, so any
    image can be padded, also one that is smaller than the amount to add.

    Args:
        image: picture or map, (b c h w), at least one pixel.
        multiple: what height and width are to be divisible by, >= 1.

    Returns:
        Padded image, (b c H W); the image itself where it fits already.

    Raises:
        ConfigError: ``multiple`` is below 1.
        ShapeError: the image has not four axes, or no pixel.
    """
    if multiple < 1:
        raise ConfigError(f"multiple must be at least 1, got {multiple}")
    sizes = expect(image, "b c h w", of="image")
    if sizes["h"] < 1 or sizes["w"] < 1:
        raise ShapeError(f"image must have at least one pixel, got {tuple(image.shape)}")
    for axis, size in ((2, sizes["h"]), (3, sizes["w"])):
        if size % multiple:
            index = _reflection(size, padded(size, multiple), image.device)
            image = image.index_select(axis, index)
    return image


def padded(size: int, multiple: int) -> int:
    """Round a height or width up to what ``pad`` makes of it.

    Args:
        size: pixels, >= 1.
        multiple: as for ``pad``.

    Returns:
        Pixels.
    """
    return -(-size // multiple) * multiple


def _reflection(size: int, target: int, device: torch.device) -> Tensor:
    """Triangle wave 0, 1, .., size-1, size-2, .., 0, 1, .. of length ``target``."""
    period = max(2 * (size - 1), 1)  # one pixel has nothing to reflect but itself
    phase = torch.arange(target, device=device) % period
    return torch.minimum(phase, period - phase)


def crop(image: Tensor, height: int, width: int) -> Tensor:
    """Take the top-left part of an image: what ``pad`` added goes away.

    Args:
        image: picture or map, (b c H W).
        height: rows to keep, 1 to H.
        width: columns to keep, 1 to W.

    Returns:
        View of the image, (b c height width).

    Raises:
        ShapeError: the image has not four axes, or is smaller than the part.
    """
    sizes = expect(image, "b c h w", of="image")
    if not (1 <= height <= sizes["h"] and 1 <= width <= sizes["w"]):
        raise ShapeError(
            f"the part to keep must lie inside the image of {sizes['h']} x {sizes['w']} "
            f"(rows x columns), got {height} x {width}"
        )
    return image[:, :, :height, :width]


def cells_from_px(xy: Tensor, stride: float) -> Tensor:
    """Convert points from pixels of the input image to cells of a map.

    Args:
        xy: points, (... 2), x before y, px.
        stride: pixels of the input image per cell, > 0.

    Returns:
        Cell coordinates, (... 2), x before y; the centre of cell k is k.

    Raises:
        ConfigError: ``stride`` is not positive.
        ShapeError: the last axis is not 2.
    """
    _check_points(xy, stride)
    return xy / stride - 0.5


def px_from_cells(xy: Tensor, stride: float) -> Tensor:
    """Convert points from cells of a map to pixels of the input image.

    Args:
        xy: cell coordinates, (... 2), x before y; the centre of cell k is k.
        stride: pixels of the input image per cell, > 0.

    Returns:
        Points, (... 2), x before y, px.

    Raises:
        ConfigError: ``stride`` is not positive.
        ShapeError: the last axis is not 2.
    """
    _check_points(xy, stride)
    return (xy + 0.5) * stride


def _check_points(xy: Tensor, stride: float) -> None:
    if not stride > 0:
        raise ConfigError(f"stride must be positive, got {stride}")
    if xy.ndim < 1 or xy.shape[-1] != 2:
        raise ShapeError(f"points must be (... 2), got {tuple(xy.shape)}")


@dataclass(frozen=True)
class Window:
    """A part of a picture that is worked on at a size of its own, and pasted back.

    The part is padded by reflection, by less than a pixel of the work, until the work has whole
    pixels; then height and width shrink to within half a pixel by one factor. Points are
    carried with the exact factor of each axis, so that going there and back changes none.
    """

    left: int  # px of the picture, 0 to its width
    top: int
    width: int  # of the part, px of the picture
    height: int
    shrink: float  # px of the picture per px of the work, >= 1; 1 leaves every pixel as it is

    @property
    def work_px(self) -> tuple[int, int]:
        """Height and width of the work."""
        rows, columns = self.height / self.shrink, self.width / self.shrink
        return ceil(rows - _ROUNDING), ceil(columns - _ROUNDING)

    @property
    def _padded_px(self) -> tuple[int, int]:
        """Height and width of the part with what is padded to it."""
        rows, columns = self.work_px
        height, width = round(rows * self.shrink), round(columns * self.shrink)
        return max(self.height, height), max(self.width, width)

    def points_to_work(self, xy: Tensor) -> Tensor:
        """Carry points (... 2) from px of the picture to px of the work."""
        _check_points(xy, self.shrink)
        return (xy - self._corner(xy)) / self._factors(xy)

    def points_to_picture(self, xy: Tensor) -> Tensor:
        """Carry points (... 2) from px of the work to px of the picture."""
        _check_points(xy, self.shrink)
        return xy * self._factors(xy) + self._corner(xy)

    def take(self, image: Tensor) -> Tensor:
        """Cut the part (b c h w) out of a picture and shrink it to the size of the work.

        Shrinking is bicubic with the antialiasing that makes of it an average over the pixels
        that fall together.
        """
        part = self._padded(image)
        if self.shrink == 1:
            return part
        return F.interpolate(part, self.work_px, mode="bicubic", antialias=True).clamp(-1, 1)

    def take_mask(self, mask: Tensor) -> Tensor:
        """Cut the part out of a mask (1 1 h w): 1 wherever any pixel that falls together is."""
        part = self._padded(mask)
        return part if self.shrink == 1 else F.adaptive_max_pool2d(part, self.work_px)

    def put(self, work: Tensor, image: Tensor, soft_mask: Tensor) -> Tensor:
        """Enlarge what was worked on and lay it over the picture.

        Args:
            work: (1 c h w) of the size of the work, in [-1, 1].
            image: the picture, (1 c H W), likewise.
            soft_mask: (1 1 H W) in [0, 1]; where it is 0, and outside the part, the pixels are
                the picture's own, bit for bit.

        Returns:
            (1 c H W).
        """
        large = self.enlarged(work, Box.whole((self.height, self.width))).to(image)
        own, soft = self.box.of(image), self.box.of(soft_mask)
        return self.box.laid(torch.where(soft > 0, soft * large + (1 - soft) * own, own), image)

    def enlarged(self, work: Tensor, box: Box) -> Tensor:
        """Enlarge what was worked on, where that lies in a box counted from the part's corner.

        Args:
            work: (b c h w) of the size of the work, in [-1, 1].
            box: within height and width of the part.

        Returns:
            (b c H W) of the size of the box.
        """
        return enlarged(work, self._padded_px, box, "bicubic").clamp(-1, 1)

    def inside(self, height: int, width: int, seam_px: int) -> Tensor:
        """Mask the part but for a seam at those of its sides that lie within the picture.

        Args:
            height: of the picture, px.
            width: likewise.
            seam_px: of each such side, less than half of the part.

        Returns:
            (1 1 height width) of zeros and ones.
        """
        mask = torch.zeros(1, 1, height, width)
        right, bottom = self.left + self.width, self.top + self.height
        rows = slice(self.top + seam_px * (self.top > 0), bottom - seam_px * (bottom < height))
        columns = slice(self.left + seam_px * (self.left > 0), right - seam_px * (right < width))
        mask[..., rows, columns] = 1
        return mask

    @property
    def box(self) -> Box:
        """Where the part lies in the picture."""
        return Box(self.top, self.left, self.top + self.height, self.left + self.width)

    def _padded(self, image: Tensor) -> Tensor:
        part = image if image.shape[-2:] == self.box.size else self.box.of(image)
        for axis, size in zip((2, 3), self._padded_px, strict=True):
            if part.shape[axis] < size:
                part = part.index_select(axis, _reflection(part.shape[axis], size, part.device))
        return part

    def _corner(self, xy: Tensor) -> Tensor:
        return torch.tensor([self.left, self.top]).to(xy)

    def _factors(self, xy: Tensor) -> Tensor:
        (height, width), (rows, columns) = self._padded_px, self.work_px
        return torch.tensor([width / columns, height / rows], dtype=torch.float64).to(xy)


def window_around(
    box: Sequence[float], *, height: int, width: int, least_px: int, side_px: int
) -> Window:
    """Choose the part of a picture to work on at ``side_px``: about square around a box.

    Args:
        box: left, top, right and bottom of what must lie in it, px of the picture.
        height: of the picture, px.
        width: likewise.
        least_px: what its sides are to have at least, where the picture has as much.
        side_px: what the longer side of the work may have at most, >= 1.

    Returns:
        The whole picture, as it is, where that is no larger than the work may be.

    Raises:
        ConfigError: ``side_px`` is below 1.
    """
    if side_px < 1:
        raise ConfigError(f"side_px must be at least 1, got {side_px}")
    if max(height, width) <= side_px:
        return Window(0, 0, width, height, 1.0)
    left, top, right, bottom = box
    side = max(ceil(right - left), ceil(bottom - top), least_px, side_px)
    columns, rows = min(side, width), min(side, height)
    x, y = round((left + right - columns) / 2), round((top + bottom - rows) / 2)
    return Window(
        min(max(x, 0), width - columns),
        min(max(y, 0), height - rows),
        columns,
        rows,
        max(columns, rows) / side_px if max(columns, rows) > side_px else 1.0,
    )
