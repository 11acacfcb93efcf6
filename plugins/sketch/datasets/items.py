"""One picture of a data set with its true drawings: listed cheaply, read when its turn comes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core.errors import ImageError
from featurekit.core.metrics import SSIM_WINDOW_PX
from featurekit.images.folders import pictures_in
from featurekit.images.io import load_image
from featurekit.images.photo import open_photo

Drawings: TypeAlias = Mapping[str, Sequence[Tensor]]
"""Ink (1 1 h w) in [0, 1] by style, white paper is 1; one for each person who drew in it."""

SAME_PROPORTIONS = 0.02  # how far two proportions may differ, as a share, and count as one
DARKEST = 0.25  # mean ink below it is no drawing: black paper, or light lines on dark
GREY_LEVELS = 255


@dataclass(frozen=True, eq=False)
class Pair:
    """A picture and its drawings, all of its size."""

    image: Tensor  # (1 3 h w) in [-1, 1]
    drawings: Drawings
    resized: int  # drawings that had another size of the same proportions


@dataclass(frozen=True)
class Item:
    """A picture of a data set, not read yet."""

    name: str  # unique in its set, with / between parts
    picture: Path
    styles: tuple[str, ...]  # in which it is drawn
    drawings_of: Callable[[Tensor], Drawings]  # given the picture, reads or makes its drawings

    def read(self) -> Pair:
        """Read the picture and its drawings; drawings are brought to the size of the picture.

        Raises:
            ImageError: one of them cannot be read, is too small, or a drawing has other
                proportions than the picture or is mostly black.
        """
        image = load_image(self.picture)
        height, width = image.shape[-2:]
        if min(height, width) < SSIM_WINDOW_PX:
            raise ImageError(
                f"a picture to compare drawings of must be at least {SSIM_WINDOW_PX} px high and "
                f"wide, got {width}x{height} px"
            )
        found = self.drawings_of(image)
        drawings = {
            style: tuple(_fitted(ink, height, width) for ink in inks)
            for style, inks in found.items()
        }
        sizes = [ink.shape[-2:] for inks in found.values() for ink in inks]
        return Pair(image, drawings, sum(size != image.shape[-2:] for size in sizes))


@dataclass(frozen=True)
class Listed:
    """What a folder holds, by name."""

    items: tuple[Item, ...]
    broken: tuple[str, ...] = ()  # files that belong to the set and cannot be used, each with why


def read_ink(path: Path) -> Tensor:
    """Read a drawing as ink at its own size, (1 1 h w) in [0, 1].

    Raises:
        ImageError: it cannot be read.
    """
    sheet = open_photo(path, of="drawing", background="white").convert("L")
    return torch.from_numpy(np.array(sheet, dtype=np.float32) / GREY_LEVELS)[None, None]


def listed_pictures(folder: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The pictures of a folder by name, and those that cannot be read; none where there is none.

    What is no picture, such as what Windows leaves in folders of pictures, is passed over.
    """
    try:
        listing = pictures_in(folder)
    except ImageError:
        return (), ()
    broken = [f"{folder.name}/{path.name}: {why}" for path, why in listing.unreadable.items()]
    return listing.pictures, tuple(broken)


def by_stem(pictures: Iterable[Path]) -> dict[str, Path]:
    """Pictures by their name without ending; of several with one name the first."""
    found: dict[str, Path] = {}
    for path in pictures:
        found.setdefault(path.stem, path)
    return found


def _fitted(ink: Tensor, height: int, width: int) -> Tensor:
    """Ink at the picture's size; refused where it is no drawing of it."""
    rows, columns = ink.shape[-2:]
    if abs(rows * width / (columns * height) - 1) > SAME_PROPORTIONS:
        raise ImageError(
            f"a drawing must have the proportions of its picture, {width}x{height} px, "
            f"got {columns}x{rows} px"
        )
    if (rows, columns) != (height, width):
        ink = functional.interpolate(ink, (height, width), mode="bicubic", antialias=True)
        ink = ink.clamp(0, 1)
    if float(ink.mean()) < DARKEST:
        raise ImageError(
            f"a drawing must be dark lines on white paper, got one that is {1 - ink.mean():.0%} "
            f"ink; invert it if its lines are light"
        )
    return ink
