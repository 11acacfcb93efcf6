"""What a scene is drawn on: a painting in colour, or a line drawing of the same parts.

A kind describes its parts once, to a ``Canvas``; the canvas decides what they become. Both are
antialiased by drawing at four times the size and averaging boxes of 4 x 4 pixels.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from featurekit.errors import ShapeError
from featurekit.scenes.colours import Colour
from featurekit.scenes.geometry import Point

SUPERSAMPLING = 4  # drawn pixels per pixel and axis; 8 costs four times as much and looks alike
SMALLEST, LARGEST = 8, 2048  # px; a drawing at 2048 px already takes 64 million drawn pixels
PEN_WIDTH = 0.02  # of the picture's side: every line of a line drawing

Floats: TypeAlias = NDArray[np.float32]


class Canvas(Protocol):
    """The marks a kind may make; lengths and points are fractions of the picture's side."""

    def background(self, top: Colour, bottom: Colour, *, texture: str | None = None) -> None:
        """Fill everything with a vertical gradient; textures are striped, checkered, dotted."""

    def glow(self, centre: Point, *, radius: float, colour: Colour) -> None:
        """Let a colour fade out around a point; ``radius`` is the Gaussian's sigma."""

    def part(
        self,
        outline: Sequence[Point],
        colour: Colour,
        *,
        fade: Colour | None = None,
        light: Point | None = None,
    ) -> None:
        """Draw a closed part, fading from top to bottom, or outwards from ``light``."""

    def shade(
        self, outline: Sequence[Point], colour: Colour, *, fade: Colour | None = None
    ) -> None:
        """Colour an area that is no part of its own (a shadow): drawings leave it out."""

    def stroke(self, points: Sequence[Point], colour: Colour, *, width: float = PEN_WIDTH) -> None:
        """Draw a line that is a part itself, with round ends."""

    def edge(self, points: Sequence[Point], colour: Colour, *, width: float) -> None:
        """Line a part's rim in colour: drawings have that line already and leave it out."""


class Painting:
    """A picture in colour."""

    def __init__(self, size: int) -> None:
        """Start a white picture; ``size`` is its side in px."""
        self._sheet = _sheet(size)
        self._pen = ImageDraw.Draw(self._sheet)
        self._side = self._sheet.width
        self._x, self._y = _centres(self._side)

    def background(self, top: Colour, bottom: Colour, *, texture: str | None = None) -> None:
        """Fill everything, see ``Canvas``."""
        pixels = _blend(top, bottom, self._y[..., None])
        shaded, factor = _TEXTURES[texture](self._x, self._y) if texture else (None, 1.0)
        if shaded is not None:
            pixels = np.where(shaded[..., None], pixels * factor, pixels)
        self._replace(pixels)

    def glow(self, centre: Point, *, radius: float, colour: Colour) -> None:
        """Let a colour fade out around a point, see ``Canvas``."""
        squared = (self._x - centre[0]) ** 2 + (self._y - centre[1]) ** 2
        share = np.exp(-squared / (2 * radius**2))[..., None] * 0.6
        below = np.asarray(self._sheet).astype(np.float32)
        self._replace(below * (1 - share) + np.array(colour) * share)

    def part(
        self,
        outline: Sequence[Point],
        colour: Colour,
        *,
        fade: Colour | None = None,
        light: Point | None = None,
    ) -> None:
        """Draw a closed part, see ``Canvas``."""
        if fade is None:
            self._pen.polygon(_scaled(outline, self._side), fill=colour)
            return
        xs, ys = zip(*outline, strict=True)
        left, right = self._cells(min(xs), max(xs))
        top, bottom = self._cells(min(ys), max(ys))
        if right <= left or bottom <= top:
            return
        x, y = self._x[top:bottom, left:right], self._y[top:bottom, left:right]
        if light is None:
            share = (y - min(ys)) / max(max(ys) - min(ys), 1e-6)
        else:
            extent = max(max(xs) - min(xs), max(ys) - min(ys))
            share = np.sqrt((x - light[0]) ** 2 + (y - light[1]) ** 2) / (0.75 * extent)
        pixels = _blend(colour, fade, share.clip(0, 1)[..., None])
        stencil = Image.new("L", (right - left, bottom - top), 0)
        corners = [(a - left, b - top) for a, b in _scaled(outline, self._side)]
        ImageDraw.Draw(stencil).polygon(corners, fill=255)
        self._sheet.paste(_image(pixels), (left, top), stencil)

    def shade(
        self, outline: Sequence[Point], colour: Colour, *, fade: Colour | None = None
    ) -> None:
        """Colour an area, see ``Canvas``."""
        self.part(outline, colour, fade=fade)

    def stroke(self, points: Sequence[Point], colour: Colour, *, width: float = PEN_WIDTH) -> None:
        """Draw a line, see ``Canvas``."""
        _line(self._pen, _scaled(points, self._side), colour, _thickness(width, self._side))

    def edge(self, points: Sequence[Point], colour: Colour, *, width: float) -> None:
        """Line a rim, see ``Canvas``."""
        self.stroke(points, colour, width=width)

    def image(self) -> Image.Image:
        """The finished picture, RGB."""
        return _reduced(self._sheet)

    def _replace(self, pixels: NDArray[np.floating]) -> None:
        self._sheet = _image(pixels)
        self._pen = ImageDraw.Draw(self._sheet)

    def _cells(self, low: float, high: float) -> tuple[int, int]:
        """First and one past the last drawn pixel of a range, with one to spare, on the sheet."""
        return max(0, int(low * self._side) - 1), min(self._side, int(high * self._side) + 2)


class LineDrawing:
    """The parts' outlines, black on white; a part hides what it is drawn over."""

    def __init__(self, size: int) -> None:
        """Start a white sheet; ``size`` is its side in px."""
        self._sheet = _sheet(size)
        self._pen = ImageDraw.Draw(self._sheet)
        self._side = self._sheet.width

    def background(self, top: Colour, bottom: Colour, *, texture: str | None = None) -> None:
        """Leave the paper white."""

    def glow(self, centre: Point, *, radius: float, colour: Colour) -> None:
        """Draw nothing: light has no outline."""

    def part(
        self,
        outline: Sequence[Point],
        colour: Colour,
        *,
        fade: Colour | None = None,
        light: Point | None = None,
    ) -> None:
        """Draw the outline, white inside; colours are not used."""
        self._pen.polygon(_scaled(outline, self._side), fill=(255, 255, 255))
        # Two corners again, so that the line's joint at the first corner is as round as the others.
        self.stroke([*outline, outline[0], outline[1]], colour)

    def shade(
        self, outline: Sequence[Point], colour: Colour, *, fade: Colour | None = None
    ) -> None:
        """Draw nothing: a shadow has no outline."""

    def stroke(self, points: Sequence[Point], colour: Colour, *, width: float = PEN_WIDTH) -> None:
        """Draw a black line of the pen's own width."""
        thickness = _thickness(PEN_WIDTH, self._side)
        _line(self._pen, _scaled(points, self._side), (0, 0, 0), thickness)

    def edge(self, points: Sequence[Point], colour: Colour, *, width: float) -> None:
        """Draw nothing: the part's outline is there already."""

    def image(self) -> Image.Image:
        """The finished drawing, RGB, grey only where a line is antialiased."""
        return _reduced(self._sheet)


def _sheet(size: int) -> Image.Image:
    if not SMALLEST <= size <= LARGEST:
        raise ShapeError(f"a scene's size must be {SMALLEST} to {LARGEST} px, got {size}")
    side = size * SUPERSAMPLING
    return Image.new("RGB", (side, side), (255, 255, 255))


def _reduced(sheet: Image.Image) -> Image.Image:
    size = sheet.width // SUPERSAMPLING
    return sheet.resize((size, size), Image.Resampling.BOX)


@lru_cache(maxsize=4)
def _centres(side: int) -> tuple[Floats, Floats]:
    """X and y of every drawn pixel's centre, (side, side) each, read-only because shared."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    x, y = (columns + np.float32(0.5)) / side, (rows + np.float32(0.5)) / side
    x.flags.writeable = y.flags.writeable = False
    return x, y


def _striped(x: Floats, y: Floats) -> tuple[NDArray[np.bool_], float]:
    return np.floor((x + y) * 8) % 2 != 0, 0.78


def _checkered(x: Floats, y: Floats) -> tuple[NDArray[np.bool_], float]:
    return (np.floor(x * 6) + np.floor(y * 6)) % 2 != 0, 0.78


def _dotted(x: Floats, y: Floats) -> tuple[NDArray[np.bool_], float]:
    u, v = (x * 6) % 1 - 0.5, (y * 6) % 1 - 0.5
    return u * u + v * v < 0.06, 0.7


_TEXTURES = {"striped": _striped, "checkered": _checkered, "dotted": _dotted}


def _blend(first: Colour, second: Colour, share: Floats) -> Floats:
    return np.array(first, np.float32) * (1 - share) + np.array(second, np.float32) * share


def _image(pixels: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _scaled(points: Sequence[Point], side: int) -> list[Point]:
    return [(x * side, y * side) for x, y in points]


def _thickness(width: float, side: int) -> int:
    return max(1, round(width * side))


def _line(pen: ImageDraw.ImageDraw, points: list[Point], colour: Colour, thickness: int) -> None:
    pen.line(points, fill=colour, width=thickness, joint="curve")
    radius = thickness / 2
    for x, y in (points[0], points[-1]):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
