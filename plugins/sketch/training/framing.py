"""Where a drawn picture lies in the frame that the networks see; its own borders are all learnt.

Networks read sides that are multiples of a size. A picture that has others lies in a larger frame,
filled by reflection, which is never learnt from. If it always lay in the same corner, the frame's
other two borders would only ever show filling, and what is drawn there of later pictures would be
left to chance.
"""

from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from featurekit.images import coordinates


class Corner(NamedTuple):
    """The corner of the frame that a picture lies in."""

    right: bool = False
    bottom: bool = False


def corners(height: int, width: int, multiple: int) -> tuple[Corner, ...]:
    """List the corners that differ for a picture: 1, 2 or 4, the top left one first.

    Args:
        height: rows of the picture, px.
        width: columns, likewise.
        multiple: what the sides of the frame are divisible by, px.
    """
    across = (False, True) if width % multiple else (False,)
    down = (False, True) if height % multiple else (False,)
    return tuple(Corner(right, bottom) for bottom, right in product(down, across))


def framed(image: Tensor, corner: Corner, multiple: int) -> Tensor:
    """Lay a picture into a corner of its frame and reflect it into the rest.

    Args:
        image: (b c h w), at least one pixel.
        corner: where it lies.
        multiple: what the sides of the frame are divisible by, px.

    Returns:
        Picture of the frame's size, (b c H W).
    """
    axes = _flipped(corner)
    return torch.flip(coordinates.pad(torch.flip(image, axes), multiple), axes)


def unframed(drawn: Tensor, corner: Corner, height: int, width: int) -> Tensor:
    """Take the picture's part of what was drawn of its frame.

    Args:
        drawn: (b c H W).
        corner: where the picture lies.
        height: rows of the picture, px, 1 to H.
        width: columns, likewise.

    Returns:
        Part of what was drawn, (b c height width); gradients reach it alone.

    Raises:
        ShapeError: the frame is smaller than the picture.
    """
    axes = _flipped(corner)
    return torch.flip(coordinates.crop(torch.flip(drawn, axes), height, width), axes)


def _flipped(corner: Corner) -> list[int]:
    return [axis for axis, far in ((-2, corner.bottom), (-1, corner.right)) if far]
