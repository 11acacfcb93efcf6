"""Buildings: a house, barn, church, castle, tower or skyscraper seen from the front."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from featurekit.scenes.colours import COLOURS
from featurekit.scenes.geometry import Point
from featurekit.scenes.kind import Range, within

RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "centre_x": (0.38, 0.62),
        "ground_y": (0.8, 0.93),
        "tip_shift": (-0.35, 0.35),
        "door_x": (-1.0, 1.0),
        "door_width": (0.28, 0.46),
        "door_height": (0.6, 0.88),
        "opening": (0.0, 0.8),
        "window_size": (0.048, 0.07),
        "window_level": (0.0, 1.0),
        "horizon": (0.02, 0.15),
        "cloud_x": (0.1, 0.9),
        "cloud_y": (0.08, 0.3),
        "flag_angle": (-35.0, 45.0),
    }
)


@dataclass(frozen=True)
class Form:
    """What the buildings of one name have in common; ranges are in fractions of the side."""

    half_width: Range
    wall_height: Range
    roof_height: Range
    windows: tuple[int, ...]  # numbers to choose from; a skyscraper's are rows
    core: float = 1.0  # half of the wall that carries the roof, in half_width
    overhang: float = 1.0  # of the roof, in that half
    front: float = 1.0  # half of the wall that has the door, in half_width
    face: float = 1.0  # height of that wall, in wall_height
    finial: float = 0.0  # what stands on the roof's tip: a flag, a cross
    doors_slide: bool = False  # whether the door may stand out of the middle


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "house": Form(
            (0.26, 0.37), (0.26, 0.5), (0.16, 0.4), (1, 2, 3), overhang=1.12, doors_slide=True
        ),
        "barn": Form((0.26, 0.37), (0.24, 0.48), (0.2, 0.44), (1,), overhang=1.1, doors_slide=True),
        "church": Form(
            (0.27, 0.4), (0.36, 0.62), (0.15, 0.38), (3,), 0.46, 1.2, 0.46, 0.46, finial=0.1
        ),
        "castle": Form(
            (0.29, 0.42), (0.4, 0.62), (0.12, 0.34), (3,), 0.42, 1.28, 0.54, 0.46, finial=0.14
        ),
        "tower": Form(
            (0.14, 0.25), (0.36, 0.64), (0.12, 0.34), (1, 2), 1.0, 1.25, 1.0, 0.46, finial=0.14
        ),
        "skyscraper": Form(
            (0.17, 0.28), (0.52, 0.78), (0.06, 0.28), (3, 4), face=0.3, doors_slide=True
        ),
    }
)

SKIES = ("blue", "cyan", "pink", "orange", "purple", "gray", "yellow")
WALLS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "gray")
ROOFS = ("red", "orange", "yellow", "green", "blue", "purple", "brown", "black")
DOORS = ("red", "orange", "yellow", "green", "blue", "purple", "brown", "white")
GROUNDS = ("green", "yellow", "white", "gray", "brown", "pink")
CHOICES: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        "form": tuple(FORMS),
        "hinge": (-1, 1),
        "light": (-1, 1),
        "flag_side": (-1, 1),
        "lit": (False, True),
        "cloudy": (False, True),
        "wall": WALLS,
        "roof": ROOFS,
        "door": DOORS,
        "sky": SKIES,
        "ground": GROUNDS,
        "flag": ("red", "yellow", "green", "blue", "white"),
        "wall_pattern": (None, "tiled", "tiled", "tiled", "striped", "striped"),
        "roof_pattern": (None, "tiled", "tiled", "checkered", "striped"),
        "sky_pattern": (None, "striped", "wavy", "striped", "checkered", "dotted", "wavy"),
        "ground_pattern": (None, "checkered", "checkered", "striped", "wavy"),
        "yard": (None, "fence", "hedge"),
    }
)

FLAGGED = ("castle", "tower")
ALIKE = 95.0  # colours nearer to each other than this, in levels, do not meet
LOWEST, MARGIN = 0.58, 0.025  # least height; from the frame to the building
WIDEST = 1.15  # a door, in its height
ENTRY = 0.035  # from a door to the wall's corner, at least
LINTEL = 0.03  # from a door's leaf to its frame's outer edge


@dataclass(frozen=True)
class Building:
    """Parameters of a building; lengths are fractions of the picture's side unless said so."""

    form: str
    centre_x: float
    ground_y: float
    half_width: float
    wall_height: float
    roof_height: float
    tip_shift: float  # of the roof's tip from the middle, in the roofed half
    door_x: float  # -1 and 1: as far aside as the wall allows
    door_width: float  # half of it, in half of the wall that has it
    door_height: float  # in the height of that wall
    opening: float  # how much narrower the leaf looks than the doorway; 0: closed
    hinge: int  # the leaf's fixed side: -1 or 1
    windows: int
    window_size: float  # half of its width
    window_level: float  # of a window above the door; 0: just above it, 1: under the roof
    lit: bool
    wall: str
    roof: str
    door: str
    wall_pattern: str | None
    roof_pattern: str | None
    sky: str
    sky_pattern: str | None
    cloudy: bool
    cloud_x: float
    cloud_y: float
    ground: str
    ground_pattern: str | None
    horizon: float  # above the building's foot
    yard: str | None  # what is behind it: a fence, a hedge
    light: int  # side from which the sun shines: -1 or 1
    flag: str
    flag_angle: float  # degrees by which it falls
    flag_side: int


def sample(rng: Random) -> Building:
    """Draw a building; the order of the draws is part of what a seed means."""
    form = rng.choice(tuple(FORMS))
    while True:
        drawn = _drawn(rng, form)
        if _stands(drawn):
            return drawn


def _drawn(rng: Random, form: str) -> Building:
    kind = FORMS[form]
    values: dict[str, object] = {name: rng.uniform(*ends) for name, ends in RANGES.items()}
    for name in ("half_width", "wall_height", "roof_height"):
        values[name] = rng.uniform(*getattr(kind, name))
    values |= {name: rng.choice(options) for name, options in CHOICES.items()}
    values |= {"form": form, "windows": rng.choice(kind.windows)}
    if rng.random() < 0.5:
        values["opening"] = 0.0
    if not kind.doors_slide or values["windows"] == 2 or rng.random() < 0.3:
        values["door_x"] = 0.0
    return Building(**values)  # type: ignore[arg-type]  # names and types are the fields' own


def fits(building: Building) -> bool:
    """Whether every parameter lies in the range or list it is drawn from, and all agree."""
    if any(getattr(building, name) not in options for name, options in CHOICES.items()):
        return False
    kind = FORMS[building.form]
    sizes = ("half_width", "wall_height", "roof_height")
    return (
        all(within(getattr(building, name), ends) for name, ends in RANGES.items())
        and all(within(getattr(building, name), getattr(kind, name)) for name in sizes)
        and building.windows in kind.windows
        and _stands(building)
    )


def _stands(building: Building) -> bool:
    """Whether the parts have room, and no colour meets one that is like it."""
    kind, height = FORMS[building.form], total_height(building)
    if height < LOWEST or not _is_whole(building):
        return False
    left, door_top, right = doorway(building)
    if right - left > (building.ground_y - door_top) * WIDEST:
        return False
    if building.door_x and (not kind.doors_slide or _beside(building)):
        return False
    # A wall stands out from what is right behind it.
    if (building.wall, building.yard) in (("green", "hedge"), ("white", "fence")):
        return False
    bottom, top = window_span(building)
    # Two windows over each other need room between them.
    room = 2.6 * building.window_size if building.form == "tower" and building.windows == 2 else 0
    if bottom - top < room:
        return False
    meetings = (
        (building.wall, building.sky),
        (building.wall, building.ground),
        (building.wall, building.roof),
        (building.wall, building.door),
        (building.roof, building.sky),
        (building.ground, building.sky),
        (building.flag, building.roof),
        (building.flag, building.sky),
    )
    return not any(math.dist(COLOURS[a], COLOURS[b]) < ALIKE for a, b in meetings)


def _is_whole(building: Building) -> bool:
    """Whether the frame cuts nothing of it."""
    (left, _), (right, _) = eaves(building)
    left = min(left, building.centre_x - building.half_width * 1.06)
    right = max(right, building.centre_x + building.half_width * 1.06)
    top = building.ground_y - total_height(building)
    if building.form in FLAGGED:
        x, y = flag_corners(building)[2]
        left, right, top = min(left, x), max(right, x), min(top, y)
    return min(left, top, 1 - right) >= MARGIN


def total_height(building: Building) -> float:
    """From the foot to the top of what stands on the roof."""
    return building.wall_height + building.roof_height + FORMS[building.form].finial


def _beside(building: Building) -> bool:
    """Whether windows keep a door in the middle."""
    return building.form == "house" and building.windows > 1


def eaves(building: Building) -> tuple[Point, Point]:
    """The roof's lower corners."""
    kind = FORMS[building.form]
    half = building.half_width * kind.core * kind.overhang
    y = building.ground_y - building.wall_height
    return (building.centre_x - half, y), (building.centre_x + half, y)


def tip(building: Building) -> Point:
    """The roof's highest point."""
    half = building.half_width * FORMS[building.form].core
    y = building.ground_y - building.wall_height - building.roof_height
    return building.centre_x + building.tip_shift * half, y


def doorway(building: Building) -> tuple[float, float, float]:
    """Left, top and right of the door's opening; it stands on the ground."""
    kind = FORMS[building.form]
    half = building.half_width * kind.front
    width = half * building.door_width
    middle = building.centre_x + building.door_x * (half - width - ENTRY)
    top = building.ground_y - building.wall_height * kind.face * building.door_height
    return middle - width, top, middle + width


def leaf(building: Building) -> tuple[Point, Point, Point, Point]:
    """The door's leaf: both corners at its hinges, top first, then the free ones, bottom first."""
    left, top, right = doorway(building)
    fixed, free = (left, right) if building.hinge < 0 else (right, left)
    edge = fixed + (free - fixed) * (1 - building.opening)
    # The free edge comes nearer as the door opens, so it looks longer.
    near, foot = 0.05 * building.opening, building.ground_y
    return (fixed, top), (fixed, foot), (edge, foot + near), (edge, top - near)


def on_leaf(building: Building, across: float, down: float) -> Point:
    """A point of the leaf: ``across`` from its hinges, ``down`` from its top, both in [0, 1]."""
    (x, top), (_, bottom), (edge, low), (_, high) = leaf(building)
    upper, lower = top + (high - top) * across, bottom + (low - bottom) * across
    return x + (edge - x) * across, upper + (lower - upper) * down


def window_span(building: Building) -> Range:
    """Y of a window above the door that is as low, and as high, as it may be."""
    size = building.window_size * 1.15
    low = doorway(building)[1] - LINTEL - size - 0.02
    high = building.ground_y - building.wall_height + 0.04 + size
    return (low, high) if building.form in ("church", "tower") else (high, high)


def flag_corners(building: Building) -> tuple[Point, Point, Point]:
    """The flag: top and bottom on its pole, and the end that turns."""
    x, y = tip(building)
    top, turned = y - FORMS[building.form].finial, math.radians(building.flag_angle)
    end = (x + building.flag_side * 0.2 * math.cos(turned), top + 0.04 + 0.2 * math.sin(turned))
    return (x, top), (x, top + 0.085), end
