"""Marks on a picture: where a handle was, where it should go, where it went. Pillow only."""

from collections.abc import Callable, Sequence
from math import cos, hypot, pi, sin
from typing import TypeAlias

from PIL import Image, ImageDraw

Moves: TypeAlias = Sequence[Sequence[float]]
"""Rows (x0, y0, x1, y1), handle then target, pixels of the image."""

Points: TypeAlias = Sequence[Sequence[float]]
"""Rows (x, y), pixels of the image."""

Colour: TypeAlias = tuple[int, int, int]

Mark: TypeAlias = Callable[[ImageDraw.ImageDraw, float, float], None]
"""Draws itself; told how many dots of the canvas are an image pixel, and how many a line width."""

# Okabe and Ito's palette, told apart with any colour vision; each mark has a shape of its own too.
HANDLE: Colour = (213, 94, 0)
TARGET: Colour = (0, 114, 178)
ENDED: Colour = (240, 228, 66)
PAPER: Colour = (255, 255, 255)
INK: Colour = (34, 34, 34)

_FINER = 4  # marks are drawn this much larger and shrunk, for smooth edges
_DOT, _RING, _HEAD = 4.0, 7.0, 9.0  # radii and length in units of width


def marked(tile: Image.Image, scale: float, *marks: Mark) -> Image.Image:
    """Draw marks over a picture.

    Args:
        tile: the picture as it is shown.
        scale: pixels of ``tile`` per pixel of the image that the marks' points belong to.
        *marks: from the functions below, first at the bottom.
    """
    layer = Image.new("RGBA", (tile.width * _FINER, tile.height * _FINER), (*PAPER, 0))
    unit = _FINER * max(1.0, max(tile.size) / 400)
    for mark in marks:
        mark(ImageDraw.Draw(layer), scale * _FINER, unit)
    smooth = layer.resize(tile.size, Image.Resampling.BOX)
    return Image.alpha_composite(tile.convert("RGBA"), smooth).convert("RGB")


def arrows(moves: Moves) -> Mark:
    """An arrow per move, from a round handle to the diamond of its target."""

    def draw(pen: ImageDraw.ImageDraw, dots: float, unit: float) -> None:
        for x0, y0, x1, y1 in _scaled(moves, dots):
            _arrow(pen, (x0, y0), (x1, y1), unit)
            _diamond(pen, (x1, y1), unit)
            _disc(pen, (x0, y0), unit)

    return draw


def targets(moves: Moves) -> Mark:
    """The diamonds alone."""

    def draw(pen: ImageDraw.ImageDraw, dots: float, unit: float) -> None:
        for _, _, x, y in _scaled(moves, dots):
            _diamond(pen, (x, y), unit)

    return draw


def handles(points: Points) -> Mark:
    """The round handles alone."""

    def draw(pen: ImageDraw.ImageDraw, dots: float, unit: float) -> None:
        for x, y in _scaled(points, dots):
            _disc(pen, (x, y), unit)

    return draw


def rings(points: Points) -> Mark:
    """A ring per point: where a handle really is."""

    def draw(pen: ImageDraw.ImageDraw, dots: float, unit: float) -> None:
        for x, y in _scaled(points, dots):
            _ring(pen, (x, y), unit)

    return draw


def trails(ways: Sequence[Points]) -> Mark:
    """A line per way that a handle has come, and the handle at its end."""

    def draw(pen: ImageDraw.ImageDraw, dots: float, unit: float) -> None:
        for way in ways:
            steps = [(x, y) for x, y in _scaled(way, dots)]
            for colour, width in ((INK, 4.5), (PAPER, 2.0)):
                pen.line(steps, fill=colour, width=round(width * unit), joint="curve")
            _disc(pen, steps[-1], unit)

    return draw


def _scaled(rows: Sequence[Sequence[float]], dots: float) -> list[list[float]]:
    return [[number * dots for number in row] for row in rows]


def _arrow(
    pen: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float], unit: float
) -> None:
    (x0, y0), (x1, y1) = start, end
    length = hypot(x1 - x0, y1 - y0)
    if length < 1e-6:
        return
    along = ((x1 - x0) / length, (y1 - y0) / length)
    tip = (x1 - along[0] * (_DOT + 1) * unit, y1 - along[1] * (_DOT + 1) * unit)
    for colour, width, grown in ((INK, 4.5, 1.6), (PAPER, 2.0, 0.0)):
        head = (_HEAD + grown) * unit
        neck = (tip[0] - along[0] * head * 0.6, tip[1] - along[1] * head * 0.6)
        pen.line((start, neck), fill=colour, width=round(width * unit))
        pen.polygon(_triangle(tip, along, head, grown * unit), fill=colour)


def _triangle(
    tip: tuple[float, float], along: tuple[float, float], length: float, ahead: float
) -> list[tuple[float, float]]:
    (x, y), (u, v) = (tip[0] + along[0] * ahead, tip[1] + along[1] * ahead), along
    back = (x - u * (length + ahead), y - v * (length + ahead))
    half = length * 0.42
    return [
        (x, y),
        (back[0] - v * half, back[1] + u * half),
        (back[0] + v * half, back[1] - u * half),
    ]


def _disc(pen: ImageDraw.ImageDraw, at: tuple[float, float], unit: float) -> None:
    for colour, radius in ((INK, _DOT + 2.0), (PAPER, _DOT + 1.2), (HANDLE, _DOT)):
        pen.circle(at, radius * unit, fill=colour)


def _diamond(pen: ImageDraw.ImageDraw, at: tuple[float, float], unit: float) -> None:
    for colour, radius in ((INK, _DOT + 3.4), (PAPER, _DOT + 2.4), (TARGET, _DOT + 0.6)):
        corners = [
            (at[0] + radius * unit * cos(k * pi / 2), at[1] + radius * unit * sin(k * pi / 2))
            for k in range(4)
        ]
        pen.polygon(corners, fill=colour)


def _ring(pen: ImageDraw.ImageDraw, at: tuple[float, float], unit: float) -> None:
    for colour, radius, width in ((INK, _RING + 1.2, 5.0), (ENDED, _RING, 2.6)):
        pen.circle(at, radius * unit, outline=colour, width=round(width * unit))
