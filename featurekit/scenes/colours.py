"""The world's colours by name, and the three ways a part darkens, lightens or blends."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

Colour: TypeAlias = tuple[int, int, int]
"""Red, green, blue, each 0 to 255."""

COLOURS: Mapping[str, Colour] = MappingProxyType(
    {
        "red": (205, 60, 55),
        "orange": (235, 140, 50),
        "yellow": (240, 210, 80),
        "green": (85, 165, 80),
        "blue": (70, 110, 200),
        "purple": (140, 85, 180),
        "pink": (235, 150, 180),
        "brown": (120, 80, 50),
        "black": (45, 42, 48),
        "white": (238, 236, 230),
        "gray": (140, 142, 148),
        "cyan": (90, 190, 205),
    }
)

SKINS: Mapping[str, Colour] = MappingProxyType(
    {"pale": (250, 222, 200), "tan": (225, 180, 140), "dark": (140, 95, 70)}
)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Blend two colours; ``share`` in [0, 1] is the part of the second."""
    red, green, blue = (
        round(a * (1 - share) + b * share) for a, b in zip(first, second, strict=True)
    )
    return red, green, blue


def darker(colour: Colour, factor: float = 0.7) -> Colour:
    """Scale a colour towards black; 1 leaves it as it is."""
    red, green, blue = (int(channel * factor) for channel in colour)
    return red, green, blue


def lighter(colour: Colour, share: float = 0.35) -> Colour:
    """Blend a colour with white; 0 leaves it as it is."""
    return mix(colour, (255, 255, 255), share)
