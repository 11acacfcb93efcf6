"""One drag of a data set: where it lies, what it is called, and how it becomes a subject."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featurekit.core.errors import ConfigError, ImageError, MaskError, PointsError
from featurekit.images.io import load_image
from featurekit.images.masks import load_mask
from featurekit_drag.engine.points import read_points
from featurekit_drag.engine.request import Request
from featurekit_drag.inputs import Subject

CENTRE = 0.5  # of a pixel: published sets count pixels, a point here is a place in the picture


@dataclass(frozen=True)
class Sample:
    """A folder of a data set that is one drag."""

    name: str  # its path below the data set, with /
    category: str
    folder: Path


def subject(
    sample: Sample,
    image: Tensor,
    rows: Sequence[Any],
    *,
    mask: Tensor | None = None,
    prompt: object = "",
    truth: Tensor | None = None,
) -> Subject:
    """Put what a layout found together, and refuse what cannot be dragged or measured.

    Args:
        sample: for its name.
        image: (1 3 h w) in [-1, 1].
        rows: ``[x0, y0, x1, y1]``, px of the image, pixel centres at .5.
        mask: (1 1 h w), 1 where the image may change.
        prompt: of the edit; text.
        truth: the picture after the move, where the set has it.

    Raises:
        PointsError: see ``read_points``.
        ConfigError: the prompt is no text.
        ImageError: the truth has another size than the image.
    """
    height, width = image.shape[-2:]
    if truth is not None and truth.shape != image.shape:
        raise ImageError(
            f"the true picture must have the size of its source, {width}x{height} px, "
            f"got {truth.shape[-1]}x{truth.shape[-2]} px"
        )
    if not isinstance(prompt, str):
        raise ConfigError(f"the prompt must be text, got a {type(prompt).__name__}")
    points = read_points(rows, height=height, width=width)
    request = Request(image, points, mask, prompt)
    return Subject(request, sample.name, truth)


def rows_of_pixels(points: object) -> list[list[float]]:
    """Turn pixels in the order handle, target, handle, ... into rows of places.

    Args:
        points: a list, tuple or array of ``[x, y]``, counted from 0; the centre of such a pixel is
            half a pixel farther.

    Raises:
        PointsError: it is no list of an even number of pairs of numbers.
    """
    pairs = points.tolist() if isinstance(points, np.ndarray) else points
    if not isinstance(pairs, list | tuple) or len(pairs) % 2:
        raise PointsError("points must be a list of handle, target, handle, target, ...")
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise PointsError("points must be pairs [x, y], and some are not")
    flat = [[*handle, *target] for handle, target in zip(pairs[::2], pairs[1::2], strict=True)]
    if not all(isinstance(number, int | float) for row in flat for number in row):
        raise PointsError("points must be pairs of numbers, and some are not")
    return [[number + CENTRE for number in row] for row in flat]


def mask_of_numbers(numbers: object, image: Tensor) -> Tensor | None:
    """Turn an array of zeros and ones into a mask.

    Args:
        numbers: (h w) or (h w 1), nonzero where the image may change; None is no mask.
        image: (1 3 h w) that it belongs to.

    Returns:
        (1 1 h w) of zeros and ones, float32; None where the array is empty of ones, which
        published code takes for no mask.

    Raises:
        MaskError: it is no such array, or has another size than the image.
    """
    if numbers is None:
        return None
    if not isinstance(numbers, np.ndarray) or numbers.ndim not in (2, 3):
        raise MaskError("a mask must be an array of rows and columns, and is none")
    flat = numbers[..., 0] if numbers.ndim == 3 else numbers
    height, width = image.shape[-2:]
    if flat.shape != (height, width):
        raise MaskError(
            f"a mask must have the size of its image, {width}x{height} px, got an array of shape "
            f"{numbers.shape}"
        )
    mask = torch.from_numpy((flat != 0).astype(np.float32))[None, None]
    return mask if bool(mask.any()) else None


def picture(folder: Path, *names: str) -> Tensor:
    """Read the first picture of a folder that has one of these names.

    Raises:
        ImageError: there is none, or it cannot be read.
    """
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise ImageError(f"there must be a picture {' or '.join(names)}, and there is none")
    return load_image(found)


def painted(folder: Path, name: str, image: Tensor) -> Tensor | None:
    """Read a mask that is a picture, where there is one.

    Raises:
        ImageError, MaskError: see ``load_mask``.
    """
    path = folder / name
    return load_mask(path, *image.shape[-2:]) if path.exists() else None


def entry(record: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401  # of a file of others
    """What a record says under a name.

    Raises:
        ConfigError: it says nothing.
    """
    if name not in record:
        found = ", ".join(sorted(record)) or "none"
        raise ConfigError(f"there must be an entry {name!r}, got {found}")
    return record[name]
