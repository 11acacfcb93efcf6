"""The size that a style works at: every picture is drawn at as many pixels as one learnt from.

What a network knows of strokes it knows in pixels of the size that it learnt at.
"""

from math import sqrt
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

THIN = 0.8  # share of its darkness that a line keeps at least when a drawing is made smaller


class Size(NamedTuple):
    """Height and width, px."""

    height: int
    width: int


def size_of(picture: Tensor) -> Size:
    """Height and width of a picture (b c h w)."""
    return Size(picture.shape[-2], picture.shape[-1])


def working_size(picture: Size, side_px: int) -> Size:
    """The size that a picture is drawn at: of ``side_px`` squared pixels, in its proportions.

    Args:
        picture: at least 1x1 px.
        side_px: side of a square picture at that size.
    """
    scale = side_px / sqrt(picture.height * picture.width)
    return Size(max(1, round(scale * picture.height)), max(1, round(scale * picture.width)))


def resized(image: Tensor, size: Size) -> Tensor:
    """A picture (b c h w) in [-1, 1] at another size; smaller by area, larger bicubically."""
    if size_of(image) == size:
        return image
    if size.height * size.width < image.shape[-2] * image.shape[-1]:
        return functional.interpolate(image, size, mode="area")
    return functional.interpolate(image, size, mode="bicubic").clamp(-1, 1)


def resized_tones(ink: Tensor, size: Size) -> Tensor:
    """A drawing with greys or colours (b c h w) in [0, 1] at another size."""
    return (resized(2 * ink - 1, size) + 1) / 2


def resized_ink(ink: Tensor, size: Size) -> Tensor:
    """A drawing (b c h w) in [0, 1] at another size, with all its lines.

    A line thinner than a pixel of the smaller size would become a pale one by area: where there is
    nothing darker beside it, it keeps most of its darkness instead. All else is as dark as it
    covers its pixels, so that strokes and masses do not grow.
    """
    if size_of(ink) == size:
        return ink
    if size.height * size.width >= ink.shape[-2] * ink.shape[-1]:
        return functional.interpolate(ink, size, mode="bicubic").clamp(0, 1)
    covered = functional.interpolate(1 - ink, size, mode="area")
    darkest = THIN * functional.adaptive_max_pool2d(1 - ink, list(size))
    around = functional.max_pool2d(covered, 3, stride=1, padding=1)
    return 1 - covered.where(around >= darkest, covered.maximum(darkest))
