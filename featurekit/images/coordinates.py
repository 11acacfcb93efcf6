"""Coordinates: pixels of the input image, cells of a map, and the padding that joins the two.

A point is ``(x, y)`` in pixels, origin at the top-left corner of the top-left pixel, so pixel
centres lie at .5. A cell coordinate is an index coordinate: the centre of cell k is k. Pictures
grow on the right and at the bottom only, hence padding never changes a point.
"""

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError, ShapeError
from featurekit.core.shapes import expect


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
