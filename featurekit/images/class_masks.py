"""Masks of classes: pictures in which each flat colour, grey level or palette index is a class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from featurekit.core.errors import MaskError
from featurekit.core.shapes import expect
from featurekit.images.photo import open_labels

MOST = 64  # flat colours of a mask without a palette; more come from soft edges or JPEG
LOSSY = "JPEG"  # the format whose pictures always have more colours than were painted
STRAY = 0.5  # share of the colours that may lie in no spot of 2 by 2 px; more are soft edges

# for classes that a mask shows as grey: Okabe and Ito's palette
TINTS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (213, 94, 0),
    (0, 114, 178), (204, 121, 167), (240, 228, 66),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of a mask, and where they lie in it."""

    values: tuple[int, ...]  # of each class in a written mask, 0 to 255, rising
    colours: tuple[tuple[int, int, int], ...]  # of each class in a written mask
    labels: Tensor  # (1 k h w) of 0 and 1, float32

    @property
    def tints(self) -> tuple[tuple[int, int, int] | None, ...]:
        """A colour to show each class in; None for black, which is no thing."""
        grey = all(red == green == blue for red, green, blue in self.colours)
        things = [colour for colour in self.colours if any(colour)]
        shown = [TINTS[i % len(TINTS)] for i in range(len(things))] if grey else things
        given = iter(shown)
        return tuple(next(given) if any(colour) else None for colour in self.colours)

    def picture(self, labels: Tensor) -> Image.Image:
        """Paint labels as the mask was painted: a picture with a palette, its indices the values.

        Args:
            labels: how much of each pixel is of each class, (1 k h w); the largest has it.

        Returns:
            Pillow image of mode P.

        Raises:
            ShapeError: there is another number of classes.
        """
        expect(labels, "1 k h w", of="labels", k=len(self.values))
        places = labels[0].argmax(0).cpu()
        indices = torch.tensor(self.values, dtype=torch.uint8)[places]
        return _indexed(indices.numpy(), self.values, self.colours)


def load_classes(path: Path | str, height: int, width: int) -> Classes:
    """Read a mask of classes.

    In a picture with a palette each index is a class, in a grey one each level, in any other each
    colour (numbered from the darkest), as it is stored: a colour profile is not applied.
    Transparency counts as black.

    Args:
        path: of the mask.
        height: rows of the picture that it belongs to, pixels.
        width: columns, likewise.

    Returns:
        At least two classes.

    Raises:
        ImageError: it cannot be read.
        MaskError: it has another size than its picture, one class alone, more flat colours than
            ``MOST``, is a JPEG, or most of its colours are no more than edges.
    """
    seen = open_labels(path, of="mask")
    if seen.size != (width, height):
        raise MaskError(
            f"a mask must have the size of its picture, {width}x{height} px, got "
            f"{seen.width}x{seen.height} px; redraw or resize it without smoothing"
        )
    indices, colours = _of_palette(path) or _of_flat_colours(path, np.asarray(seen))
    values = np.unique(indices)
    if len(values) < 2:
        raise MaskError(
            f"a mask must have two classes or more, got {len(values)} in {str(path)!r}; paint what "
            f"is to be found in another colour"
        )
    labels = torch.from_numpy(indices[None] == values[:, None, None]).float()[None]
    named = tuple(int(value) for value in values)
    return Classes(named, tuple(colours[value] for value in named), labels)


Found = tuple[NDArray[np.uint8], dict[int, tuple[int, int, int]]]


def _of_palette(path: Path | str) -> Found | None:
    """Indices (h w) and the colour of each; None if the file has no palette."""
    with Image.open(Path(path).expanduser()) as file:
        if file.mode != "P":
            return None
        upright = ImageOps.exif_transpose(file)
        indices = np.array(upright, dtype=np.uint8)
        flat: Sequence[int] = upright.getpalette() or []
    padded = [*flat, *[0] * (768 - len(flat))]
    return indices, {i: (padded[3 * i], padded[3 * i + 1], padded[3 * i + 2]) for i in range(256)}


def _of_flat_colours(path: Path | str, pixels: NDArray[np.uint8]) -> Found:
    """The same of a picture without a palette; refuses colours that nobody painted."""
    with Image.open(Path(path).expanduser()) as file:
        if file.format == LOSSY:
            raise MaskError(
                f"a mask of classes must be saved without loss, got a JPEG, {str(path)!r}, which "
                f"has more colours at every edge than were painted; save the original as PNG"
            )
    indices, colours = _of_colours(pixels)
    corner = indices[:-1, :-1]
    spots = (corner == indices[1:, :-1]) & (corner == indices[:-1, 1:])
    spots &= corner == indices[1:, 1:]
    strays = len(colours) - len(np.unique(corner[spots]))
    if strays > STRAY * len(colours):
        raise MaskError(
            f"a mask must be painted in flat colours, got {len(colours)} in {str(path)!r}, "
            f"{strays} of them nowhere in 2x2 px together, as soft edges and JPEG leave them; "
            f"paint it without soft edges and save it as PNG"
        )
    return indices, colours


def _of_colours(pixels: NDArray[np.uint8]) -> Found:
    """The same of flat colours (h w 3): their level where all are grey, else their rank."""
    flat, inverse = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    if len(flat) > MOST:
        raise MaskError(
            f"a mask must be painted in at most {MOST} flat colours, got {len(flat)}; save it "
            f"as PNG without soft edges"
        )
    grey = bool((flat == flat[:, :1]).all())
    darkest = np.argsort(flat.astype(int).sum(1), kind="stable")
    values = flat[:, 0] if grey else np.argsort(darkest).astype(np.uint8)
    colours = {int(v): (int(r), int(g), int(b)) for v, (r, g, b) in zip(values, flat, strict=True)}
    return values[inverse.reshape(-1)].reshape(pixels.shape[:2]), colours


def _indexed(
    indices: NDArray[np.uint8],
    values: Sequence[int],
    colours: Sequence[tuple[int, int, int]],
) -> Image.Image:
    palette = [0] * 768
    for value, colour in zip(values, colours, strict=True):
        palette[3 * value : 3 * value + 3] = colour
    picture = Image.fromarray(indices)
    picture.putpalette(palette)
    return picture
