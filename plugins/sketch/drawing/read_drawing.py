"""The user's drawing as ink on white paper: read as it is, or mended until it fits its picture."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageChops, ImageOps
from torch import Tensor

from featurekit.core.errors import ImageError
from featurekit.core.shapes import expect
from featurekit.images.io import image_to_pil
from featurekit.images.marks import HANDLE
from featurekit.images.photo import Source, open_photo
from featurekit.images.photographs import is_photograph
from featurekit_sketch.drawing.registration import moved, offset, rough_agreement

WHITE, MID_GREY = 255, 128  # a level below mid grey is ink
LEAST_INK = 0.0005  # share of the pixels that a drawing must differ from its paper in
SAME_PROPORTIONS = 0.02  # how far two proportions may differ, as a share, and count as one
BORDER = 0.02  # width of the rim that tells paper from ink, as a share of the shorter side
RIM_VOTES, SHEET_VOTES = 1, 2  # a dark frame must not outvote the paper inside it
CLEARLY = 0.05  # by how much a placing must agree better than one that loses no line
LARGER = 1.05  # times the picture's sides: a page on which it may have been drawn as large as it is
PALE = 0.6  # share of white in the picture below an overlay

MEND = "set plugin.fit=true to have it mended"
INVERTED = "inverted: lines were light on dark"
UNSURE = "where the lines belong could not be told: check the overlay"
BY_ALPHA = "lines taken from the transparency: their colour was that of paper"


@dataclass(frozen=True, eq=False)
class Drawing:
    """Ink that fits its picture."""

    ink: Tensor  # (1 1 h w) in [0, 1], white paper is 1; float32 on the CPU
    mended: tuple[str, ...] = ()  # what had to be done for that, a sentence each


def read_drawing(source: Source, *, height: int, width: int) -> Drawing:
    """Read a drawing that already fits: of its picture's size, dark lines on white paper.

    Args:
        source: file, Pillow image of any mode but float, or uint8 array; white shows through
            transparency.
        height: rows of the picture that was drawn, px.
        width: columns, likewise.

    Raises:
        ImageError: it cannot be read, is empty or dark all over, looks like a photograph, or does
            not fit; the sentence says all that differs and how to have it mended.
    """
    sheet, hidden = _sheet(source)
    wanted, got = [], []
    if sheet.size != (width, height):
        wanted.append(f"have the size of its picture, {width}x{height} px")
        got.append(f"{sheet.width}x{sheet.height} px")
    if hidden:
        wanted.append("have lines darker than white paper")
        got.append("lines that only its transparency tells from paper")
    elif not _on_white(sheet):
        wanted.append("have dark lines on white paper")
        got.append("light lines on dark")
    if wanted:
        raise ImageError(
            f"a drawing must {' and '.join(wanted)}, got {' and '.join(got)}; redraw it, or {MEND}"
        )
    return Drawing(_ink(sheet))


def fit_drawing(source: Source, *, image: Tensor) -> Drawing:
    """Read a drawing and mend what keeps it from fitting its picture.

    Light lines on dark are inverted. Another size is resized, or placed in the middle and
    padded with paper or cropped where the proportions differ, never stretched. A drawing that
    lies up to 5 % of a side beside the picture's edges is moved onto them.

    Args:
        source: as in ``read_drawing``.
        image: the picture that was drawn, (1 3 h w) in [-1, 1].

    Raises:
        ImageError: it cannot be read, is empty or dark all over, looks like a photograph, or
            nothing of it is left at the picture's size.
        ShapeError: the image is not (1 3 h w).
    """
    sizes = expect(image, "1 3 h w", of="image")
    picture = image.detach().cpu().double()
    sheet, hidden = _sheet(source)
    mended = [BY_ALPHA] if hidden else []
    if not _on_white(sheet):
        sheet = ImageOps.invert(sheet)
        mended += [] if hidden else [INVERTED]  # of transparency neither side is the light one
    sheet, notes = _placed(sheet, picture, (sizes["w"], sizes["h"]))
    mended += notes
    ink = _ink(sheet)
    by = offset(ink, picture)
    if by != (0, 0):
        ink = moved(ink, by)
        mended.append(f"moved by ({by[0]}, {by[1]}) px")
    if (ink < 0.5).float().mean() < LEAST_INK:
        raise ImageError(
            f"a drawing must keep its lines at {sizes['w']}x{sizes['h']} px, got hardly any after "
            f"it was {', '.join(mended) or 'read'}; draw thicker lines, or at the picture's size"
        )
    return Drawing(ink, tuple(mended))


def overlay(image: Tensor, ink: Tensor) -> Image.Image:
    """Lay a drawing's lines in a signal colour over the paled picture, for a person to check.

    Args:
        image: (1 3 h w) in [-1, 1].
        ink: (1 1 h w) in [0, 1], white paper is 1.

    Raises:
        ShapeError: the two differ in size, or are no single pictures.
    """
    sizes = expect(image, "1 3 h w", of="image")
    expect(ink, "1 1 h w", of="ink", h=sizes["h"], w=sizes["w"])
    below = image_to_pil(image)
    pale = Image.blend(below, Image.new("RGB", below.size, "white"), PALE)
    paper = image_to_pil((ink * 2 - 1).expand(1, 3, -1, -1)).convert("L")
    return Image.composite(pale, Image.new("RGB", below.size, HANDLE), paper)


def _sheet(source: Source) -> tuple[Image.Image, bool]:
    """Grey sheet "L" with both ink and paper, and whether only transparency told them apart."""
    shown = open_photo(source, of="drawing", background="white")
    if is_photograph(shown):
        raise ImageError(
            "a drawing must be lines on paper, but this looks like a photograph; check that "
            "image=FILE and plugin.drawing=FILE are not swapped"
        )
    sheet = shown.convert("L")
    dark = _dark_share(sheet)
    if dark >= LEAST_INK:
        if 1 - dark < LEAST_INK:
            raise ImageError(
                "a drawing must have white paper, got a picture that is dark all over; "
                "check that it is the right file"
            )
        return sheet, False
    on_black = open_photo(source, of="drawing", background="black").convert("L")
    clear = ImageChops.subtract(sheet, on_black)  # white where nothing covers the background
    if LEAST_INK <= _dark_share(clear) <= 1 - LEAST_INK:
        return clear, True
    raise ImageError(
        f"a drawing must have lines, got a sheet with less than {LEAST_INK:.2%} of it darker than "
        f"mid grey; check that it is the right file, or darken its lines"
    )


def _on_white(sheet: Image.Image) -> bool:
    """Whether most of the rim and of the sheet is light."""
    light = np.asarray(sheet) >= MID_GREY
    width = max(1, round(BORDER * min(light.shape)))
    inside = light[width:-width, width:-width]
    rim = (light.sum() - inside.sum()) / (light.size - inside.size)
    votes = RIM_VOTES * rim + SHEET_VOTES * light.mean()
    return bool(votes > (RIM_VOTES + SHEET_VOTES) / 2)


def _placed(
    sheet: Image.Image, picture: Tensor, size: tuple[int, int]
) -> tuple[Image.Image, list[str]]:
    """Bring a sheet to another size (w, h), and say how."""
    if sheet.size == size:
        return sheet, []
    across, down = (there / here for there, here in zip(size, sheet.size, strict=True))
    alike = abs(across / down - 1) <= SAME_PROPORTIONS
    if alike:
        resized = sheet.resize(size, Image.Resampling.LANCZOS)
        placings = [(resized, [f"resized from {_px(sheet.size)} to {_px(size)}"])]
        if min(1 / across, 1 / down) >= LARGER:
            placings.append(_centred(sheet, 1.0, size))
    else:  # whole inside the picture first, then covering the picture, then as large as it is
        scales = min(across, down), max(across, down), 1.0
        placings = [_centred(sheet, scale, size) for scale in scales]
    first, *others = (rough_agreement(_ink(page), picture) for page, _ in placings)
    if not others:
        return placings[0]
    best = max(others)
    if best >= max(first, 0) + CLEARLY:  # one without any line has 0
        return placings[1 + others.index(best)]
    page, notes = placings[0]
    return page, notes + [UNSURE] * (alike and best > first - CLEARLY)


def _centred(
    sheet: Image.Image, scale: float, size: tuple[int, int]
) -> tuple[Image.Image, list[str]]:
    notes = []
    inner = (max(1, round(sheet.width * scale)), max(1, round(sheet.height * scale)))
    if inner != sheet.size:
        notes.append(f"resized from {_px(sheet.size)} to {_px(inner)}")
        sheet = sheet.resize(inner, Image.Resampling.LANCZOS)
    page = Image.new("L", size, WHITE)
    page.paste(sheet, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    kept = (min(inner[0], size[0]), min(inner[1], size[1]))
    if kept != inner:
        notes.append(f"cropped from {_px(inner)} to {_px(kept)}")
    if kept != size:
        notes.append(f"padded with paper from {_px(kept)} to {_px(size)}")
    return page, notes


def _px(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} px"


def _dark_share(sheet: Image.Image) -> float:
    return float((np.asarray(sheet) < MID_GREY).mean())


def _ink(sheet: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(sheet, dtype=np.float32) / WHITE)[None, None]
