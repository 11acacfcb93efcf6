"""A sheet of pairs of pictures: their points, where they were found and where they truly are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image, ImageDraw

from featurekit.analysis.plots import INK, LINE_PX, captioned
from featurekit.images.photo import open_photo
from featurekit.images.pictures import contact_sheet
from featurekit.measures.points.correspondence import HIT, MISS

TILE_PX = 320
DOT_PX = 4
COLUMNS = 2  # pairs beside each other
WHITE = (255, 255, 255)
NAMES = {"random": "random weights", "pixels": "raw pixels", "same_place": "same place"}

Points: TypeAlias = tuple[tuple[float, float], ...]
"""(x, y) in px of the picture they belong to."""


@dataclass(frozen=True)
class Drawn:
    """A pair as it is shown."""

    category: str
    pictures: tuple[Image.Image | Path, Image.Image | Path]
    points: tuple[Points, Points, Points]  # asked for, found, and the truth of the second picture
    hits: tuple[bool, ...]


def pck_sheet(pairs: Sequence[Drawn], figures: Mapping[str, Any]) -> Image.Image:
    """Show pairs with what was found, the share of hits in words, and what the marks mean.

    Args:
        pairs: at least one.
        figures: as ``pck`` has them.
    """
    tiles: list[Image.Image | None] = []
    for pair in pairs:
        share = figures["categories"][pair.category]["box"]["points"]
        words = f"{pair.category}: {sum(pair.hits)} of {len(pair.hits)} here, {share:.0%} in all"
        tiles.append(captioned(_joined(pair), words))
    rows = {" " * i: tiles[i : i + COLUMNS] for i in range(0, len(tiles), COLUMNS)}
    sheet = contact_sheet(rows, ())
    share = f"{figures['box']['points']:.0%} of {figures['points']} points"
    lines = (
        f"found within {figures['alpha']:g} of the box: {share}",
        f"controls: {', '.join(_beside(figures))}",
    )
    return _headed(sheet, lines)


def _beside(figures: Mapping[str, Any]) -> list[str]:
    """The controls in words, by the box."""
    shares = {name: one["box"]["points"] for name, one in figures["controls"].items()}
    shares["same_place"] = figures["same_place"]["points"]
    return [f"{NAMES[name]}: {share:.0%}" for name, share in shares.items()]


def _joined(pair: Drawn) -> Image.Image:
    """Both pictures, hits joined to their points; a miss, dashed, to the true point besides."""
    sheet, scales = Image.new("RGB", (2 * TILE_PX, TILE_PX), "white"), []
    for place, source in enumerate(pair.pictures):
        photo = open_photo(source, of="image", background="white")
        scale = TILE_PX / max(photo.size)
        size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
        sheet.paste(photo.resize(size, Image.Resampling.LANCZOS), (place * TILE_PX, 0))
        scales.append(scale)
    pen = ImageDraw.Draw(sheet)
    asked, found, truth = pair.points
    for (x, y), (u, v), (p, q), hit in zip(asked, found, truth, pair.hits, strict=True):
        start = (x * scales[0], y * scales[0])
        end = (TILE_PX + u * scales[1], v * scales[1])
        true = (TILE_PX + p * scales[1], q * scales[1])
        pen.line((start, end), fill=HIT if hit else MISS, width=2)
        if not hit:
            _dashed(pen, end, true)
            _ring(pen, true)
        for spot in (start, end):
            _dot(pen, spot, hit=hit)
    return sheet


def _headed(sheet: Image.Image, lines: Sequence[str]) -> Image.Image:
    """Write lines above a sheet and, below them, what its marks mean."""
    top = LINE_PX * (len(lines) + 1) + 8
    whole = Image.new("RGB", (sheet.width, sheet.height + top), "white")
    whole.paste(sheet, (0, top))
    pen = ImageDraw.Draw(whole)
    for index, line in enumerate(lines):
        pen.text((LINE_PX, LINE_PX * (index + 0.7)), line, fill=INK, font_size=16, anchor="lm")
    x, y = float(LINE_PX + DOT_PX), LINE_PX * (len(lines) + 0.7)
    marks = (("found", HIT), ("missed", MISS), ("where a missed point truly is", None))
    for words, colour in marks:
        if colour is None:
            _ring(pen, (x, y))
        else:
            _dot(pen, (x, y), hit=colour == HIT)
        pen.text((x + 12, y), words, fill=INK, font_size=16, anchor="lm")
        x += 36 + pen.textlength(words, font_size=16)
    return whole


def _dot(pen: ImageDraw.ImageDraw, at: tuple[float, float], *, hit: bool) -> None:
    pen.circle(at, DOT_PX, fill=HIT if hit else MISS, outline=WHITE)


def _ring(pen: ImageDraw.ImageDraw, at: tuple[float, float]) -> None:
    pen.circle(at, DOT_PX + 2, outline=WHITE, width=4)
    pen.circle(at, DOT_PX + 1, outline=INK, width=2)


def _dashed(pen: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A line of short strokes, six px on and six px off."""
    (x, y), (u, v) = start, end
    strokes = max(1, round(((u - x) ** 2 + (v - y) ** 2) ** 0.5 / 6))
    for i in range(0, strokes, 2):
        a, b = i / strokes, min(1, (i + 1) / strokes)
        pen.line(
            (x + a * (u - x), y + a * (v - y), x + b * (u - x), y + b * (v - y)),
            fill=INK,
            width=1,
        )
