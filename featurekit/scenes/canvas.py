"""What a scene is drawn on: a kind describes its parts, the canvas decides what they become."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Protocol

from featurekit.scenes.colours import Colour
from featurekit.scenes.geometry import Point


class Ink(Enum):
    """What a part is to somebody who draws; every style has its own hand for each.

    It says nothing of colours: a black cat is drawn like a white one.
    """

    CONTOUR = auto()  # a whole thing or a limb of it: head, wall, vase
    DETAIL = auto()  # something on a thing: nose, window, button
    SOLID = auto()  # small, and black in every drawing: pupil, tyre, doorway
    TONE = auto()  # what one would shade: hair, roof, leaves
    NONE = auto()  # hides what is behind it and has no line: snow on a mountain


@dataclass(frozen=True)
class Pattern:
    """A print on a part or on the ground; lengths are fractions of the picture's side."""

    name: str  # striped, checkered, dotted, wavy or tiled
    period: float  # after which it repeats, along x and y
    factor: float = 0.78  # what it multiplies the colour with where it is dark
    origin: Point = (0.0, 0.0)  # so that it travels with its part


@dataclass(frozen=True)
class Paint:
    """A part's colour: flat, fading downwards, or fading away from a light."""

    colour: Colour
    fade: Colour | None = None
    light: Point | None = None
    pattern: Pattern | None = None

    def printed(self, pattern: Pattern | None) -> "Paint":
        """The same paint with a pattern on it."""
        return replace(self, pattern=pattern)


class Canvas(Protocol):
    """The marks a kind may make; lengths and points are fractions of the picture's side."""

    def background(self, top: Colour, bottom: Colour, *, pattern: Pattern | None = None) -> None:
        """Fill everything with a vertical gradient."""

    def glow(self, centre: Point, *, radius: float, colour: Colour) -> None:
        """Let a colour fade out around a point; ``radius`` is the Gaussian's sigma."""

    def part(self, outline: Sequence[Point], paint: Paint, ink: Ink = Ink.CONTOUR) -> None:
        """Draw a closed part over what is there."""

    def shade(
        self,
        outline: Sequence[Point],
        colour: Colour,
        *,
        soft: float = 0.0,
        opacity: float = 1.0,
    ) -> None:
        """Colour an area that is no part of its own: a shadow, a highlight, the sunlit side.

        Drawings and masks leave it out. ``soft`` is the sigma of its rim.
        """

    def stroke(
        self, points: Sequence[Point], colour: Colour, *, width: float, ink: Ink = Ink.DETAIL
    ) -> None:
        """Draw a line that is a part itself, with round ends."""

    def edge(self, points: Sequence[Point], colour: Colour, *, width: float) -> None:
        """Line a part's rim in colour: drawings have that line already and leave it out."""
