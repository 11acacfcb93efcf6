"""What a person gives a session: pictures, masks and drags, read with care."""

from collections.abc import Sequence
from enum import Enum
from typing import Any, TypeAlias

import torch
from torch import Tensor

from featurekit.core.errors import ImageError, MaskError, UnknownNameError
from featurekit.core.shapes import expect
from featurekit.images.io import load_image
from featurekit.images.masks import load_mask
from featurekit.images.photo import Source
from featurekit_drag.engine.settings import MODES
from featurekit_drag.inputs import read_drags
from featurekit_drag.session.history import Asked

LEAST_PX = 8  # of a picture's side, as for files

Rows = Sequence[Any]  # whatever a person wrote


class Present(Enum):
    """What stands for the mask that a session has already."""

    MASK = "the present one"


MaskSource: TypeAlias = Source | Tensor | Present | None


def read_asked(image: Tensor, rows: tuple[Rows, Rows, Rows], mode: str | None) -> Asked:
    """Read points, pins and regions of a picture (1 3 h w).

    Raises:
        PointsError, MaskError, ImageError, ShapeError: a row cannot be used.
        UnknownNameError: there is no such mode.
    """
    height, width = image.shape[-2:]
    points, pins, regions = read_drags(*rows, height=height, width=width)
    for one in regions:
        expect(one.mask, "1 1 h w", of="mask of a region", h=height, w=width)
    known_mode(mode)
    return Asked(_table(points.rows), _table(pins.tolist()), regions, mode)


def known_mode(mode: str | None) -> None:
    """Refuse a mode that there is not; None is that of the settings.

    Raises:
        UnknownNameError: there is no such mode.
    """
    if mode is not None and mode not in MODES:
        raise UnknownNameError("mode", mode, MODES)


def image_of(image: Source | Tensor) -> Tensor:
    """Read a picture, (1 3 h w) in [-1, 1], float32 on the CPU.

    Raises:
        ImageError, ShapeError: it cannot be used.
    """
    if not isinstance(image, Tensor):
        return load_image(image)
    size = expect(image, "1 3 h w", of="image")
    if min(size["h"], size["w"]) < LEAST_PX:
        raise ImageError(
            f"an image must have sides of at least {LEAST_PX} px, got {size['w']}x{size['h']} px"
        )
    found = image.detach().to("cpu", torch.float32)
    if not (found.abs() <= 1).all():
        raise ImageError(
            f"an image must hold numbers in [-1, 1], got {float(found.min()):g} to "
            f"{float(found.max()):g}; use load_image"
        )
    return found.clone()


def mask_of(mask: Source | Tensor | None, image: Tensor) -> Tensor | None:
    """Read a mask of a picture, (1 1 h w) of 0 and 1, float32 on the CPU.

    Raises:
        ImageError, ShapeError, MaskError: it cannot be used.
    """
    height, width = image.shape[-2:]
    if mask is None:
        return None
    if not isinstance(mask, Tensor):
        return load_mask(mask, height, width)
    expect(mask, "1 1 h w", of="mask", h=height, w=width)
    found = mask.detach().to("cpu", torch.float32)
    if not ((found == 0) | (found == 1)).all() or not found.any():
        raise MaskError(
            "a mask must hold 0 and 1, and 1 where the image may change, got "
            f"{float(found.min()):g} to {float(found.max()):g}; leave the mask out to change all"
        )
    return found.clone()


def _table(rows: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in rows)
