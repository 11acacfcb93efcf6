"""Three ways to draw a scene in black on white; none is an edge map of its picture.

A style goes by what a part is (``Ink``), never by its colours: light, shadow and prints leave no
line, small dark parts are black, and what one style shades another leaves white.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from featurekit.scenes.canvas import Ink, Paint, Pattern
from featurekit.scenes.colours import Colour
from featurekit.scenes.geometry import Point
from featurekit.scenes.stencil import SUPERSAMPLING, check_size, drawn_pixel, line

WHITE, BLACK = 255, 0
FINE, BROAD = 0.017, 0.034  # widths of lines, in fractions of the picture's side
DENSE, WIDE = 0.06, 0.09  # from one line of a hatching to the next
HALO = 0.07  # width of the white around a line, with the line
SHADOW = 0.06  # how far along x and y a brush draws the side away from the light
INSET_BOX = 0.05  # half the box whose mean says how far inside its rim a point is
INSET = (0.77, 0.9)  # of that mean's highest value: where the line inside a rim lies


class Hand(Protocol):
    """How one style draws parts and lines on its sheet."""

    def part(self, outline: Sequence[Point], ink: Ink) -> None:
        """Draw a closed part over what is there."""

    def stroke(self, points: Sequence[Point], ink: Ink) -> None:
        """Draw a line that is a part itself."""

    def sheet(self) -> Image.Image:
        """What is drawn so far, "L", at ``SUPERSAMPLING`` times the size."""


class Drawing:
    """A canvas on which one hand draws: parts and strokes leave lines, nothing else does."""

    def __init__(self, hand: Hand) -> None:
        """Start with what is on the hand's sheet: nothing."""
        self._hand = hand

    def background(self, top: Colour, bottom: Colour, *, pattern: Pattern | None = None) -> None:
        """Leave the paper white."""

    def glow(self, centre: Point, *, radius: float, colour: Colour) -> None:
        """Draw nothing: light has no outline."""

    def part(self, outline: Sequence[Point], paint: Paint, ink: Ink = Ink.CONTOUR) -> None:
        """Draw a closed part; its paint is not used."""
        self._hand.part(outline, ink)

    def shade(
        self, outline: Sequence[Point], colour: Colour, *, soft: float = 0.0, opacity: float = 1.0
    ) -> None:
        """Draw nothing: a shadow has no outline."""

    def stroke(
        self, points: Sequence[Point], colour: Colour, *, width: float, ink: Ink = Ink.DETAIL
    ) -> None:
        """Draw a line; its colour and width are not used."""
        self._hand.stroke(points, ink)

    def edge(self, points: Sequence[Point], colour: Colour, *, width: float) -> None:
        """Draw nothing: the part's outline is there already."""

    def image(self) -> Image.Image:
        """The finished drawing, RGB, grey only where a line is antialiased."""
        return self._hand.sheet().reduce(SUPERSAMPLING).convert("RGB")


class Brush:
    """Black masses: what one would shade, and of things the side away from the light alone."""

    def __init__(self, size: int) -> None:
        """Take a white sheet; ``size`` is the picture's side in px."""
        self._page = _Page(size)

    def part(self, outline: Sequence[Point], ink: Ink) -> None:
        """Draw a closed part, see ``Hand``."""
        if ink is not Ink.NONE:
            self._page.close(outline, HALO, grey=WHITE)
        self._page.fill(outline, BLACK if ink in (Ink.SOLID, Ink.TONE) else WHITE)
        if ink is Ink.CONTOUR:
            self._page.paper.paste(BLACK, (0, 0), self._page.shadow(outline))
        elif ink is Ink.DETAIL:
            self._page.close(outline, FINE)

    def stroke(self, points: Sequence[Point], ink: Ink) -> None:
        """Draw a line, see ``Hand``."""
        width = BROAD if ink is Ink.CONTOUR else FINE
        self._page.stroke(points, width + HALO - BROAD, grey=WHITE)
        self._page.stroke(points, width)

    def sheet(self) -> Image.Image:
        """What is drawn so far."""
        return self._page.paper


class Hatching:
    """No outlines: things are hatched, what one would shade more densely and the other way."""

    def __init__(self, size: int) -> None:
        """Take a white sheet; ``size`` is the picture's side in px."""
        self._page = _Page(size)
        side = self._page.paper.width
        self._hatches = {
            Ink.TONE: _hatched(side, step=DENSE, falling=False),
            Ink.CONTOUR: _hatched(side, step=WIDE, falling=True),
        }

    def part(self, outline: Sequence[Point], ink: Ink) -> None:
        """Draw a closed part, see ``Hand``."""
        self._page.fill(outline, BLACK if ink is Ink.SOLID else WHITE)
        if ink in self._hatches:
            self._page.paper.paste(self._hatches[ink], (0, 0), self._page.area(outline))
        elif ink is not Ink.NONE:
            self._page.close(outline, FINE)

    def stroke(self, points: Sequence[Point], ink: Ink) -> None:
        """Draw a line, see ``Hand``."""
        self._page.stroke(points, FINE)

    def sheet(self) -> Image.Image:
        """What is drawn so far."""
        return self._page.paper


class Inline:
    """Fine lines that keep inside the rims of things, as on a printed cloth; no rim has a line."""

    def __init__(self, size: int) -> None:
        """Take a white sheet; ``size`` is the picture's side in px."""
        self._page = _Page(size)

    def part(self, outline: Sequence[Point], ink: Ink) -> None:
        """Draw a closed part, see ``Hand``."""
        self._page.fill(outline, WHITE)
        if ink is not Ink.NONE:
            self._page.paper.paste(BLACK, (0, 0), self._page.inset(outline))

    def stroke(self, points: Sequence[Point], ink: Ink) -> None:
        """Draw a line, see ``Hand``."""
        self._page.stroke(points, FINE)

    def sheet(self) -> Image.Image:
        """What is drawn so far."""
        return self._page.paper


STYLES: Mapping[str, Callable[[int], Hand]] = MappingProxyType(
    {"brush": Brush, "hatching": Hatching, "inline": Inline}
)
"""Every style by its name: what takes a picture's size and gives a hand."""


class _Page:
    """A white sheet at ``SUPERSAMPLING`` times the size, and the three marks that a hand makes."""

    def __init__(self, size: int) -> None:
        side = check_size(size) * SUPERSAMPLING
        self.paper = Image.new("L", (side, side), WHITE)
        self._pen = ImageDraw.Draw(self.paper)

    def fill(self, outline: Sequence[Point], grey: int) -> None:
        """Fill a closed outline."""
        self._pen.polygon(self._corners(outline), fill=grey)

    def area(self, outline: Sequence[Point]) -> Image.Image:
        """The inside of a closed outline, "L"."""
        mask = Image.new("L", self.paper.size, 0)
        ImageDraw.Draw(mask).polygon(self._corners(outline), fill=255)
        return mask

    def shadow(self, outline: Sequence[Point]) -> Image.Image:
        """What a closed outline covers and, moved against the light, does not, "L"."""
        moved = self.area([(x - SHADOW, y - SHADOW) for x, y in outline])
        return ImageChops.subtract(self.area(outline), moved)

    def inset(self, outline: Sequence[Point]) -> Image.Image:
        """A line inside a closed outline that keeps its distance to it where there is room, "L"."""
        area = self.area(outline)
        # The mean over a box grows evenly from 1/2 at the rim to 1 half a box inside.
        deep = area.filter(ImageFilter.BoxBlur(INSET_BOX * self.paper.width))
        deepest = int(np.asarray(ImageChops.darker(deep, area)).max())
        low, high = (round(level * deepest) for level in INSET)
        band = deep.point([255 * (low <= level <= high) for level in range(256)])
        return ImageChops.darker(band, area)

    def stroke(self, points: Sequence[Point], width: float, *, grey: int = BLACK) -> None:
        """Draw a line."""
        side = self.paper.width
        line(self._pen, [(x * side, y * side) for x, y in points], grey, width * side)

    def close(self, outline: Sequence[Point], width: float, *, grey: int = BLACK) -> None:
        """Draw a closed outline."""
        self.stroke([*outline, outline[0]], width, grey=grey)

    def _corners(self, outline: Sequence[Point]) -> list[tuple[int, int]]:
        side = self.paper.width
        return [drawn_pixel((x * side, y * side)) for x, y in outline]


@lru_cache(maxsize=8)
def _hatched(side: int, *, step: float, falling: bool) -> Image.Image:
    """A sheet full of parallel lines, rising or falling to the right; read only."""
    page = Image.new("L", (side, side), WHITE)
    pen = ImageDraw.Draw(page)
    along, width = step * side * math.sqrt(2), max(1, round(FINE * 0.8 * side))
    for i in range(math.ceil(2 * side / along)):
        pen.line([(0, i * along), (i * along, 0)], fill=BLACK, width=width)
    return page.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if falling else page
