"""Landscapes: sky with sun or moon, mountains, a hill, a house and a tree.

The lengths of a scene are drawn again until all that has a name is seen: ``fits`` says when.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from featurekit.scenes.geometry import Point
from featurekit.scenes.kind import Range, within
from featurekit.scenes.wording import article

RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "sun_x": (0.12, 0.88),
        "sun_y": (0.12, 0.34),
        "sun_radius": (0.06, 0.095),
        "cloud_x": (0.15, 0.85),
        "cloud_y": (0.1, 0.3),
        "peak_x": (0.2, 0.8),
        "peak_y": (0.14, 0.46),
        "mountain_width": (0.32, 0.48),
        "second_x": (0.1, 0.9),
        "second_y": (0.36, 0.5),
        "horizon": (0.58, 0.68),
        "hill": (-0.06, 0.06),
        "house_x": (0.16, 0.84),
        "house_y": (0.82, 0.95),
        "house_width": (0.14, 0.18),
        "house_height": (0.18, 0.3),
        "roof_height": (0.1, 0.2),
        "tree_x": (0.12, 0.88),
        "tree_y": (0.82, 0.95),
        "tree_height": (0.26, 0.52),
        "tree_width": (0.1, 0.14),
        "tree_lean": (-0.13, 0.13),
    }
)

CHOICES: Mapping[str, tuple[str | None, ...]] = MappingProxyType(
    {
        "sky": ("blue", "blue", "cyan", "orange", "pink", "purple", "gray"),
        "bands": (None, "wavy", "striped"),
        "mountain_colour": ("gray", "brown", "blue", "purple", "red"),
        "strata": ("wavy", "striped", "tiled"),
        "ground": ("green", "green", "yellow", "white", "orange"),
        "field": ("striped", "wavy", "checkered", "dotted"),
        "wall": ("white", "yellow", "blue", "pink", "cyan", "orange"),
        "wall_print": (None, "brick", "striped"),
        "roof": ("red", "brown", "black", "purple"),
        "door": ("red", "brown", "black", "green", "blue"),
        "tree_form": ("round", "pine"),
        "tree_colour": ("green", "orange", "pink", "red", "yellow"),
        "leaves": ("dotted", "wavy", "checkered"),
    }
)

EAVES = 1.2  # half the roof's width over half the wall's
FRAME = 0.02  # from the frame to house, tree and sun, at least
GAP = 0.06  # between a peak or the sun and what could hide it
FOOT = 0.85  # where the mountains' flanks end, behind the hill
NIGHTS = ("blue", "purple", "gray")  # skies that keep their colour when it is dark
WORDS = 26  # in a caption, at most


@dataclass(frozen=True)
class Landscape:
    """Parameters of a landscape; lengths are fractions of the picture's side."""

    sky: str
    bands: str | None  # the print on the sky
    sun_x: float
    sun_y: float
    sun_radius: float
    moon: bool
    cloud_x: float
    cloud_y: float
    clouds: bool
    peak_x: float
    peak_y: float
    mountain_width: float  # half of it, at its foot
    mountain_colour: str
    strata: str  # the print on the rock
    snow: bool
    second_x: float  # peak of the mountain behind
    second_y: float
    mountain: bool
    horizon: float
    hill: float  # how much the horizon falls to the right
    ground: str
    field: str  # the print on the ground
    house_x: float  # middle
    house_y: float  # ground
    house_width: float  # half of it
    house_height: float  # of the wall
    roof_height: float
    door_side: int  # -1 or 1; the window is on the other side
    wall: str
    wall_print: str | None
    roof: str
    door: str
    chimney: bool
    house: bool
    tree_x: float  # of its foot
    tree_y: float  # ground
    tree_height: float
    tree_width: float  # half of the crown's
    tree_lean: float  # how far the top is beside the foot
    tree_form: str
    tree_colour: str
    leaves: str  # the print on the crown
    tree: bool


def sample(rng: Random) -> Landscape:
    """Draw a landscape; the order of the draws is part of what a seed means."""
    drawn: dict[str, object] = {}
    for name, options in CHOICES.items():
        taken = [drawn[other] for other in _UNLIKE.get(name, ())]
        drawn[name] = rng.choice([option for option in options if option not in taken])
    house, tree = rng.choice([(True, True), (True, True), (True, False), (False, True)])
    drawn |= {
        "moon": rng.random() < 0.45 and drawn["sky"] in NIGHTS,
        "clouds": rng.random() < 0.6,
        "snow": rng.random() < 0.6,
        "mountain": rng.random() < 0.8,
        "chimney": rng.random() < 0.5,
        "door_side": rng.choice([-1, 1]),
        "house": house,
        "tree": tree,
    }
    while True:
        lengths = {name: rng.uniform(*ends) for name, ends in RANGES.items()}
        land = Landscape(**drawn, **lengths)  # type: ignore[arg-type]
        if fits(land):
            return land


def fits(land: Landscape) -> bool:
    """Whether lengths and colours are ones to draw from, and nothing is hidden or cut."""
    return (
        all(within(getattr(land, name), ends) for name, ends in RANGES.items())
        and all(getattr(land, name) in options for name, options in CHOICES.items())
        and not any(
            getattr(land, name) == getattr(land, other)
            for name, others in _UNLIKE.items()
            for other in others
        )
        and land.door_side in (-1, 1)
        and (land.sky in NIGHTS or not land.moon)
        and (land.house or land.tree)
        and _whole(land)
        and _stands_clear(land, (land.sun_x, land.sun_y + land.sun_radius))
        and (not land.mountain or (_sun_is_above(land) and _peak_is_seen(land)))
    )


# What has not the colour of what it may stand before.
_UNLIKE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "mountain_colour": ("sky",),
        "wall": ("sky", "mountain_colour", "ground"),
        "roof": ("sky", "mountain_colour"),
        "door": ("wall", "roof"),
        "tree_colour": ("sky", "mountain_colour", "ground"),
    }
)


def ridge(land: Landscape, x: float) -> float:
    """How low the hill's top is at ``x`` in [0, 1]: the curve runs evenly from side to side."""
    y, fall, t = land.horizon, land.hill, (x + 0.05) / 1.1
    first, middle, last = y + fall, y - 0.06 - fall, y - fall
    return (1 - t) ** 2 * first + 2 * t * (1 - t) * middle + t**2 * last


def _whole(land: Landscape) -> bool:
    """Whether house, tree and sun are inside the frame, house and tree beside each other."""
    house, tree = land.house_width * EAVES + FRAME, land.tree_width + FRAME
    crown = sorted((land.tree_x, land.tree_x + land.tree_lean))
    apart = land.house_x + house < crown[0] - tree or land.house_x - house > crown[1] + tree
    return (
        within(land.sun_x, (land.sun_radius + FRAME, 1 - land.sun_radius - FRAME))
        and (not land.house or within(land.house_x, (house, 1 - house)))
        and (not land.tree or (crown[0] > tree and crown[1] < 1 - tree))
        and (apart or not (land.house and land.tree))
    )


def _sun_is_above(land: Landscape) -> bool:
    """Whether the sun's disc is clear of both mountains."""
    peaks = ((land.peak_x, land.peak_y), (land.second_x, land.second_y))
    return all(_above(land, x, y) for x, y in peaks)


def _above(land: Landscape, x: float, y: float) -> bool:
    """Whether the sun's disc lies above a mountain's flanks, both drawn out beyond the peak."""
    rise, width = FOOT - y, land.mountain_width
    slope = math.hypot(rise, width)
    # Distance from the flank's line, positive above it.
    over = (y + rise * abs(land.sun_x - x) / width - land.sun_y) * width / slope
    return over > land.sun_radius + FRAME


def _peak_is_seen(land: Landscape) -> bool:
    """Whether neither hill nor house nor tree reaches the peak of the mountain in front."""
    by_hill = land.peak_y > ridge(land, land.peak_x) - GAP
    return not by_hill and _stands_clear(land, (land.peak_x, land.peak_y))


def _stands_clear(land: Landscape, point: Point) -> bool:
    """Whether a point of the backdrop is above house and tree, or beside them."""
    x, y = point
    roof = land.house_y - land.house_height - land.roof_height
    by_house = abs(x - land.house_x) < land.house_width * EAVES + GAP and y > roof - GAP
    crown, beside = sorted((land.tree_x, land.tree_x + land.tree_lean)), land.tree_width + GAP
    top = land.tree_y - land.tree_height
    by_tree = crown[0] - beside < x < crown[1] + beside and y > top - GAP
    return not ((land.house and by_house) or (land.tree and by_tree))


def caption(land: Landscape, rng: Random) -> str:
    """Say what is seen, in any order; details are left to chance."""
    things = []
    if land.mountain:
        snowy = "snowy " if land.snow else ""
        things.append(article(f"{land.mountain_colour} {snowy}mountain"))
    if land.house:
        printed = f"{land.wall_print} " if land.wall_print and rng.random() < 0.6 else ""
        things.append(_house(land, printed, rng))
    if land.tree:
        things.append(article(f"{land.tree_colour} {land.tree_form} tree"))
    if land.moon or rng.random() < 0.4:
        things.append("the moon" if land.moon else "the sun")
    if land.clouds and rng.random() < 0.3:
        things.append("clouds")
    rng.shuffle(things)
    text = "a landscape with " + " and ".join(things)
    for detail in (f"under {article(land.sky)} sky", f"on {land.field} {land.ground} ground"):
        if rng.random() < 0.5 and len(f"{text} {detail}".split()) <= WORDS:
            text += f" {detail}"
    return text


def _house(land: Landscape, printed: str, rng: Random) -> str:
    wall = f"striped {land.wall}" if printed == "striped " else f"{land.wall} {printed}".strip()
    extras = [f"{article(land.door)} door", *(["a chimney"] if land.chimney else [])]
    # Beside a mountain and a tree there is no room for more words.
    extra = "" if land.mountain and land.tree else rng.choice(["", *(f" and {e}" for e in extras)])
    return f"{article(wall)} house with {article(land.roof)} roof{extra}"
