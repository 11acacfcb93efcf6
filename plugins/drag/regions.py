"""Regions: brushed parts of a picture, and how far each is moved."""

from math import isfinite
from typing import Any

import torch

from featurekit.core.errors import PointsError
from featurekit.images.masks import load_mask
from featurekit_drag.engine.request import Region


def read_region(row: Any, number: int, *, height: int, width: int) -> Region:  # noqa: ANN401
    """Read a row ``[mask, dx, dy]``.

    Args:
        row: what a person wrote: the file of a mask, white is what moves, and px to the right
            and down.
        number: of the row, for messages.
        height: of the picture, px.
        width: likewise.

    Raises:
        PointsError: another form, no move, or its middle would leave the picture.
        MaskError, ImageError: the mask cannot be used, see ``load_mask``.
    """
    try:
        file, *move = row
        dx, dy = (float(value) for value in move if not isinstance(value, bool))
    except (TypeError, ValueError) as error:
        raise PointsError(
            f"a region is [mask.png, dx, dy], row {number} is {row!r}; "
            f"give plugin.regions=[[mask.png,dx,dy]]"
        ) from error
    if not (isfinite(dx) and isfinite(dy)) or dx == dy == 0:
        raise PointsError(f"a region must move by finite px, row {number} moves ({dx:g}, {dy:g})")
    region = Region(load_mask(str(file), height, width), torch.tensor([dx, dy]).double())
    x, y = region.row[2:]
    if not (0 <= x <= width and 0 <= y <= height):
        raise PointsError(
            f"the middle of a region must stay inside the image (0 to {width}, 0 to {height}), "
            f"row {number} takes it to ({x:g}, {y:g})"
        )
    return region
