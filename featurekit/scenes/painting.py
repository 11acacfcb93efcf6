"""A picture in colour, and the mask of what stands before its background."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featurekit.core.errors import UnknownNameError
from featurekit.scenes.canvas import Ink, Paint, Pattern
from featurekit.scenes.colours import Colour
from featurekit.scenes.geometry import Point
from featurekit.scenes.stencil import Floats, Stencil, Window, check_size, drawn, filled

Bools: TypeAlias = NDArray[np.bool_]

GLOW = 0.6  # opacity of a glow at its centre


class Painting:
    """A picture in colour, blended in float32 and rounded once."""

    def __init__(self, size: int) -> None:
        """Start a white picture; ``size`` is its side in px."""
        self._size = check_size(size)
        self._pixels = np.full((3, size, size), 255, np.float32)
        self._whole = (slice(0, size), slice(0, size))

    def background(self, top: Colour, bottom: Colour, *, pattern: Pattern | None = None) -> None:
        """Fill everything, see ``Canvas``."""
        _, y = _centres(self._whole, self._size)
        self._pixels[:] = _mixed(top, bottom, y)
        if pattern is not None:
            self._pixels *= _print(pattern, self._whole, self._size)

    def glow(self, centre: Point, *, radius: float, colour: Colour) -> None:
        """Let a colour fade out around a point, see ``Canvas``."""
        x, y = _centres(self._whole, self._size)
        squared = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
        share = np.exp(-squared / (2 * radius**2)) * np.float32(GLOW)
        self._pixels += share * (_planes(colour) - self._pixels)

    def part(self, outline: Sequence[Point], paint: Paint, ink: Ink = Ink.CONTOUR) -> None:
        """Draw a closed part, see ``Canvas``."""
        stencil = filled(outline, self._size)
        if stencil is not None:
            self._blend(stencil, self._colours(outline, paint, stencil.window))

    def shade(
        self, outline: Sequence[Point], colour: Colour, *, soft: float = 0.0, opacity: float = 1.0
    ) -> None:
        """Colour an area, see ``Canvas``."""
        stencil = filled(outline, self._size, soft=soft)
        if stencil is not None:
            self._blend(stencil, _planes(colour), opacity)

    def stroke(
        self, points: Sequence[Point], colour: Colour, *, width: float, ink: Ink = Ink.DETAIL
    ) -> None:
        """Draw a line, see ``Canvas``."""
        stencil = drawn(points, self._size, width=width)
        if stencil is not None:
            self._blend(stencil, _planes(colour))

    def edge(self, points: Sequence[Point], colour: Colour, *, width: float) -> None:
        """Line a rim, see ``Canvas``."""
        self.stroke(points, colour, width=width)

    def image(self) -> Image.Image:
        """The finished picture, RGB."""
        pixels = (self._pixels + np.float32(0.5)).clip(0, 255).astype(np.uint8)
        return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))

    def _blend(self, stencil: Stencil, colours: Floats, opacity: float = 1.0) -> None:
        below = self._pixels[:, *stencil.window]
        below += stencil.cover * np.float32(opacity) * (colours - below)

    def _colours(self, outline: Sequence[Point], paint: Paint, window: Window) -> Floats:
        """The paint's colours in a window, (3 h w) or one size where they do not differ."""
        pixels = _planes(paint.colour)
        if paint.fade is not None:
            share = _faded(outline, paint.light, _centres(window, self._size))
            pixels = _mixed(paint.colour, paint.fade, share)
        if paint.pattern is not None:
            pixels = pixels * _print(paint.pattern, window, self._size)
        return pixels


class Matte:
    """How much of every pixel lies under parts and strokes."""

    def __init__(self, size: int) -> None:
        """Start with nothing; ``size`` is its side in px."""
        self._cover = np.zeros((check_size(size),) * 2, np.float32)

    def background(self, top: Colour, bottom: Colour, *, pattern: Pattern | None = None) -> None:
        """Leave it: a background is no part."""

    def glow(self, centre: Point, *, radius: float, colour: Colour) -> None:
        """Leave it: light is no part."""

    def part(self, outline: Sequence[Point], paint: Paint, ink: Ink = Ink.CONTOUR) -> None:
        """Add what a closed part covers."""
        self._add(filled(outline, len(self._cover)))

    def shade(
        self, outline: Sequence[Point], colour: Colour, *, soft: float = 0.0, opacity: float = 1.0
    ) -> None:
        """Leave it: a shadow is no part."""

    def stroke(
        self, points: Sequence[Point], colour: Colour, *, width: float, ink: Ink = Ink.DETAIL
    ) -> None:
        """Add what a line covers."""
        self._add(drawn(points, len(self._cover), width=width))

    def edge(self, points: Sequence[Point], colour: Colour, *, width: float) -> None:
        """Add what a rim covers."""
        self.stroke(points, colour, width=width)

    def image(self) -> Image.Image:
        """The mask, "L": 255 where parts cover all, 0 where the background shows."""
        return Image.fromarray((self._cover * 255 + 0.5).astype(np.uint8))

    def _add(self, stencil: Stencil | None) -> None:
        if stencil is not None:
            below = self._cover[stencil.window]
            below += stencil.cover * (1 - below)


def _planes(colour: Colour) -> Floats:
    """A colour for pixels of (3 h w)."""
    return np.array(colour, np.float32)[:, None, None]


def _mixed(colour: Colour, other: Colour, share: Floats) -> Floats:
    """Colours from the one, where the other's share is 0, to the other; (3 h w)."""
    return _planes(colour) * (1 - share) + _planes(other) * share


def _faded(outline: Sequence[Point], light: Point | None, centres: tuple[Floats, Floats]) -> Floats:
    """How far the paint of a part has faded at every pixel, in [0, 1]."""
    xs, ys = zip(*outline, strict=True)
    height, (x, y) = max(max(ys) - min(ys), 1e-6), centres
    if light is None:
        share = (y - min(ys)) / height
    else:
        extent = 0.75 * max(max(xs) - min(xs), height)
        share = np.sqrt((x - light[0]) ** 2 + (y - light[1]) ** 2) / extent
    clipped: Floats = np.clip(share, 0, 1).astype(np.float32)
    return clipped


def _centres(window: Window, size: int) -> tuple[Floats, Floats]:
    """X (1 w) and y (h 1) of the centres of a window's pixels, in fractions of the side."""
    rows, columns = window
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None]
    return (x + np.float32(0.5)) / np.float32(size), (y + np.float32(0.5)) / np.float32(size)


def _print(pattern: Pattern, window: Window, size: int) -> Floats:
    """What a pattern multiplies a window's pixels with, (h w), antialiased 2 x 2."""
    if pattern.name not in _PATTERNS:
        raise UnknownNameError("pattern", pattern.name, _PATTERNS)
    rows, columns = (slice(2 * part.start, 2 * part.stop) for part in window)
    x, y = _centres((rows, columns), size * 2)
    across = (x - np.float32(pattern.origin[0])) / np.float32(pattern.period)
    down = (y - np.float32(pattern.origin[1])) / np.float32(pattern.period)
    dark = _PATTERNS[pattern.name](across, down).astype(np.float32)
    # Four slices: numpy's mean over axes of length 2 takes ten times as long.
    quarters = dark[::2, ::2] + dark[::2, 1::2] + dark[1::2, ::2] + dark[1::2, 1::2]
    printed: Floats = np.float32(1) - np.float32((1 - pattern.factor) / 4) * quarters
    return printed


def _rest(x: Floats) -> Floats:
    """What is left of a number after its floor; numpy's remainder takes five times as long."""
    return x - np.floor(x)


def _striped(x: Floats, y: Floats) -> Bools:
    return _rest(x + y) >= 0.5


def _checkered(x: Floats, y: Floats) -> Bools:
    return (_rest(x) >= 0.5) ^ (_rest(y) >= 0.5)


def _dotted(x: Floats, y: Floats) -> Bools:
    return (_rest(x) - 0.5) ** 2 + (_rest(y) - 0.5) ** 2 < 0.075


def _wavy(x: Floats, y: Floats) -> Bools:
    return _rest(y + 0.18 * np.sin(2 * np.pi * x)) >= 0.5


def _tiled(x: Floats, y: Floats) -> Bools:
    shifted = np.where(y % 2 >= 1, _rest(x + 0.5) < 0.16, _rest(x) < 0.16)
    return (_rest(y) < 0.16) | shifted


_PATTERNS: Mapping[str, Callable[[Floats, Floats], Bools]] = MappingProxyType(
    {
        "striped": _striped,
        "checkered": _checkered,
        "dotted": _dotted,
        "wavy": _wavy,
        "tiled": _tiled,
    }
)
