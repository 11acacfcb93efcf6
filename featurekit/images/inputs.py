"""What a person gives as a picture, as the tensor that a backbone takes."""

from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image
from torch import Tensor

from featurekit.core.errors import ImageError, ShapeError
from featurekit.images.io import load_image
from featurekit.images.photo import Source

Picture: TypeAlias = Tensor | Source
"""A tensor (b 3 h w) in [-1, 1], or what ``load_image`` reads."""

FARTHEST = 1.5  # from 0; decoders overshoot 1 a little, bytes do by far
FILES = (str, Path, Image.Image, np.ndarray)  # what ``load_image`` reads


def as_image(picture: Picture, *, of: str = "image") -> Tensor:
    """Take a picture in any of its forms, and refuse what cannot be one.

    Args:
        picture: tensor (b 3 h w) in [-1, 1], or a path, a Pillow image or a uint8 array.
        of: what the picture is, for the messages.

    Returns:
        A tensor as it was given; else (1 3 h w) in [-1, 1], float32 on the CPU.

    Raises:
        ImageError: it has no such form, cannot be read, or its pixels are whole numbers, NaN,
            infinite or far outside [-1, 1].
        ShapeError: it is a batch of no picture.
    """
    if isinstance(picture, FILES):
        return load_image(picture)
    if not isinstance(picture, Tensor):
        size = f" of {len(picture)}" if isinstance(picture, list | tuple) else ""
        raise ImageError(
            f"{of} must be a tensor (b 3 h w) in [-1, 1], a path, a Pillow image or a uint8 array, "
            f"got a {type(picture).__name__}{size}; an Extractor reads many pictures"
        )
    if not picture.is_floating_point():
        raise ImageError(f"{of} must hold numbers in [-1, 1], got {picture.dtype}; use load_image")
    if not bool(picture.isfinite().all()):
        raise ImageError(f"{of} must hold finite numbers, got NaN or infinity")
    if picture.ndim == 4 and not len(picture):
        raise ShapeError(f"{of} must be at least one picture, got {tuple(picture.shape)}")
    if picture.numel() and float(picture.detach().abs().max()) > FARTHEST:
        low, high = (float(edge) for edge in picture.detach().aminmax())
        raise ImageError(
            f"{of} must hold numbers in [-1, 1], got {low:.4g} to {high:.4g}; use load_image, or "
            f"divide by 127.5 and subtract 1"
        )
    return picture
