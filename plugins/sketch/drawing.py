"""The user's drawing as ink on white paper, refused or mended where it is something else."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from featurekit.errors import ImageError
from featurekit.io import image_to_pil, load_image
from featurekit.measures.lines import gradient
from featurekit.photo import Source
from featurekit.shapes import expect

FAINTEST = 5e-4  # least share of pixels that must be darker than mid grey
PROPORTIONS = 0.02  # sides may differ by so much and still be the same picture
FARTHEST = 0.05  # of the side: how far a drawing is looked for
CLEARLY = 0.1  # how much better than unmoved a place must agree with the picture
ADVICE = "give plugin.fit=true to have it mended"
SIGNAL = (213, 94, 0)  # colour of lines on an overlay, Okabe and Ito's palette


@dataclass(frozen=True, eq=False)
class Drawing:
    """A drawing that fits its picture."""

    ink: Tensor  # (1 1 h w) in [0, 1], white paper is 1
    mended: tuple[str, ...] = ()  # what had to be done to it, a sentence each


def read_drawing(source: Source, *, height: int, width: int) -> Drawing:
    """Read a drawing that is as it should be.

    Args:
        source: a picture of any mode; paper shows through transparency.
        height: of the picture that was drawn, px.
        width: likewise.

    Raises:
        ImageError: it cannot be read, is blank, all black or light on dark, or has another size.
    """
    ink = _ink(source)
    found = (ink.shape[-1], ink.shape[-2])
    if found != (width, height):
        raise ImageError(
            f"a drawing must have the size of its picture, {width}x{height} px, "
            f"got {found[0]}x{found[1]} px; {ADVICE}"
        )
    if _is_inverted(ink):
        raise ImageError(f"a drawing must be dark on white paper, this one is inverted; {ADVICE}")
    _refuse_blank(ink)
    return Drawing(ink)


def fit_drawing(source: Source, *, image: Tensor) -> Drawing:
    """Read a drawing and mend what can be: polarity, size and a small shift.

    A drawing of other proportions is laid on the middle of the page, never stretched. A shift is
    taken back where the lines then agree clearly better with the picture's edges.

    Args:
        source: a picture of any mode.
        image: what was drawn, (1 3 h w) in [-1, 1].

    Raises:
        ImageError: it cannot be read, is blank or all black.
    """
    sizes = expect(image, "1 3 h w", of="image")
    ink, mended = _ink(source), []
    if _is_inverted(ink):
        ink = 1 - ink
        mended.append("it was light on dark and is inverted")
    _refuse_blank(ink)
    size = (sizes["h"], sizes["w"])
    if tuple(ink.shape[-2:]) != size:
        ink, how = _on_page(ink, size)
        mended.append(how)
    dy, dx = _shift(ink, image)
    if (dy, dx) != (0, 0):
        ink = _moved(ink, dy, dx)
        mended.append(f"it was moved by {dx} px to the right and {dy} px down")
    return Drawing(ink, tuple(mended))


def overlay(image: Tensor, ink: Tensor) -> Image.Image:
    """Lay a drawing (1 1 h w) in a signal colour over its paled picture (1 3 h w)."""
    pale = image_to_pil(0.5 + 0.5 * image)
    mask = ImageOps.invert(image_to_pil((2 * ink - 1).expand(-1, 3, -1, -1)).convert("L"))
    return Image.composite(Image.new("RGB", pale.size, SIGNAL), pale, mask)


def _ink(source: Source) -> Tensor:
    """Grey of a drawing, (1 1 h w); of lines that vanish on white paper, their opacity."""
    drawn = (load_image(source).mean(1, keepdim=True) + 1) / 2
    if float(drawn.min()) <= 0.5 or isinstance(source, np.ndarray):
        return drawn
    if isinstance(source, Image.Image):
        return _see_through(source, drawn)
    with Image.open(Path(source).expanduser()) as picture:
        return _see_through(picture, drawn)


def _see_through(picture: Image.Image, drawn: Tensor) -> Tensor:
    """Opacity as ink, (1 1 h w); ``drawn`` where the picture is opaque."""
    if not picture.has_transparency_data:
        return drawn
    opacity = ImageOps.exif_transpose(picture).convert("RGBA").getchannel("A")
    if opacity.getextrema() == (255, 255):
        return drawn
    return 1 - (load_image(opacity)[:, :1] + 1) / 2


def _is_inverted(ink: Tensor) -> bool:
    return float(ink.median()) < 0.5 and bool((ink > 0.5).float().mean() > FAINTEST)


def _refuse_blank(ink: Tensor) -> None:
    dark = float((ink < 0.5).float().mean())
    if dark < FAINTEST:
        raise ImageError("a drawing must have lines, this one is blank; check the file")
    if dark > 1 - FAINTEST:
        raise ImageError("a drawing must have white paper, this one is all black; check the file")


def _on_page(ink: Tensor, size: tuple[int, int]) -> tuple[Tensor, str]:
    height, width = size
    rows, columns = ink.shape[-2:]
    told = f"it was {columns}x{rows} px and is resized to {width}x{height} px"
    scale = min(height / rows, width / columns)
    if abs(height / rows / (width / columns) - 1) <= PROPORTIONS:
        return _resized(ink, height, width), told
    part = _resized(ink, max(1, round(rows * scale)), max(1, round(columns * scale)))
    down, right = height - part.shape[-2], width - part.shape[-1]
    sides = (right // 2, right - right // 2, down // 2, down - down // 2)
    page: Tensor = functional.pad(part, sides, value=1.0)
    return page, f"{told}, with white paper at the sides, since its proportions are others"


def _resized(ink: Tensor, height: int, width: int) -> Tensor:
    resized: Tensor = functional.interpolate(
        ink, (height, width), mode="bilinear", antialias=True, align_corners=False
    )
    return resized.clamp(0, 1)  # weights add up to 1 but for rounding


def _shift(ink: Tensor, image: Tensor) -> tuple[int, int]:
    """Rows and columns to move a drawing by so that its lines lie on the picture's edges."""
    reach = max(1, round(FARTHEST * min(ink.shape[-2:])))
    edges = functional.avg_pool2d(gradient(image), 3, stride=1, padding=1)
    agreement = _agreement(1 - ink[0, 0], edges[0, 0], reach)
    row, column = divmod(int(agreement.argmax()), 2 * reach + 1)
    if float(agreement[row, column]) <= float(agreement[reach, reach]) + CLEARLY:
        return 0, 0
    return row - reach, column - reach


def _agreement(dark: Tensor, edges: Tensor, reach: int) -> Tensor:
    """Correlation (r r) of edges (h w) with lines moved by -reach to reach rows and columns."""
    size = [side + reach for side in dark.shape]  # what leaves one side must not enter the other

    def met(lines: Tensor, field: Tensor) -> Tensor:
        spectra = [torch.fft.rfft2(one.double(), s=size) for one in (lines, field)]
        sums: Tensor = torch.fft.irfft2(spectra[0].conj() * spectra[1], s=size)
        return sums.roll((reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]

    page, field = torch.ones_like(edges), edges.double()
    inside, squares = met(dark, page), met(dark.square(), page)
    common = met(dark, edges) - inside * field.mean()
    spread = (squares - inside.square() / dark.numel()) * (field - field.mean()).square().sum()
    return common / spread.clamp(min=1e-9).sqrt()


def _moved(ink: Tensor, dy: int, dx: int) -> Tensor:
    height, width = ink.shape[-2:]
    wide: Tensor = functional.pad(ink, (abs(dx), abs(dx), abs(dy), abs(dy)), value=1.0)
    top, left = abs(dy) - dy, abs(dx) - dx
    return wide[..., top : top + height, left : left + width]
