"""Flowers: one to three of them with a leaf, in a vase on a table before a wall."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from random import Random
from types import MappingProxyType
from typing import Any

from featurekit.scenes.canvas import Canvas, Ink, Paint, Pattern
from featurekit.scenes.colours import COLOURS, darker, lighter
from featurekit.scenes.geometry import Outline, Point, curve, ellipse, rectangle
from featurekit.scenes.kind import Range, within

RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "x": (0.2, 0.8),
        "y": (0.8, 0.96),
        "table_y": (0.64, 0.74),
        "vase_width": (0.1, 0.31),
        "vase_height": (0.22, 0.43),
        "mouth": (0.055, 0.075),
        "leaf_length": (0.2, 0.28),
        "leaf_deg": (-40.0, 62.0),
        "light_x": (0.1, 0.7),
        "wall_period": (0.13, 0.22),
        "table_period": (0.12, 0.2),
    }
)
FLOWER_RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "reach": (-0.29, 0.29),
        "up": (0.15, 0.44),
        "radius": (0.105, 0.145),
        "notch": (0.2, 0.34),
        "squash": (0.46, 0.6),
    }
)
CHOICES: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        "mirrored": (False, True),
        "vase_form": ("round", "square", "pointed"),
        "vase": ("red", "orange", "yellow", "blue", "purple", "black", "white", "cyan", "brown"),
        "table": ("brown", "white", "gray", "red", "blue", "yellow"),
        "wall": ("cyan", "blue", "pink", "yellow", "orange", "purple"),
        "vase_print": (None, "striped", "dotted", "wavy", "checkered"),
        "table_print": ("striped", "checkered", "tiled"),
        "wall_print": ("striped", "checkered", "dotted", "wavy"),
    }
)
PETALS = (5, 6, 7, 8)
COUNTS = (1, 1, 2, 3)
BLOOMS = ("red", "orange", "yellow", "purple", "pink", "white", "blue")

MARGIN = 0.02  # from the frame to leaf, vase and blossoms, at least
GAP = 0.02  # between two blossoms, and between a blossom and what it must not hide

# Heights and half widths of a vase's side, in shares of its own, up to its neck.
_SIDES: Mapping[str, tuple[Point, ...]] = MappingProxyType(
    {
        "round": ((0.0, 0.6), (0.12, 0.8), (0.27, 0.95), (0.42, 1.0), (0.57, 0.94), (0.71, 0.75)),
        "square": ((0.0, 0.88), (0.72, 1.0)),
        "pointed": ((0.0, 0.42), (0.68, 1.0)),
    }
)


@dataclass(frozen=True)
class Flower:
    """One flower; lengths are fractions of the picture's side."""

    reach: float  # from above the vase's mouth to the side
    up: float  # from the mouth to the blossom's middle
    radius: float
    notch: float  # depth between two petals, in radii
    squash: float  # how much of its roundness the view leaves
    petals: int
    colour: str


@dataclass(frozen=True)
class Flowers:
    """Parameters of a vase with flowers; lengths are fractions of the picture's side."""

    flowers: tuple[Flower, ...]  # the first one in front
    mirrored: bool  # which side the leaf hangs on
    x: float  # the vase's middle
    y: float  # of its foot
    table_y: float  # of the table's far edge
    vase_form: str  # round, square or pointed
    vase_width: float  # half of it, at the widest place
    vase_height: float
    mouth: float  # half the width of the opening
    leaf_length: float
    leaf_deg: float  # above the horizontal
    light_x: float  # where light falls on the wall
    wall_period: float
    table_period: float
    vase: str
    table: str
    wall: str
    vase_print: str | None
    table_print: str
    wall_print: str


def sample(rng: Random) -> Flowers:
    """Draw a vase with flowers; the order of the draws is part of what a seed means."""
    count = rng.choice(COUNTS)
    drawn = _draft(rng, count)
    while not fits(drawn):
        drawn = _draft(rng, count)
    return drawn


def _draft(rng: Random, count: int) -> Flowers:
    lengths: dict[str, Any] = {name: rng.uniform(*ends) for name, ends in RANGES.items()}
    choices: dict[str, Any] = {name: rng.choice(allowed) for name, allowed in CHOICES.items()}
    alike = rng.random() < 0.4
    colours = [rng.choice(BLOOMS)] * count if alike else rng.sample(BLOOMS, count)
    flowers = tuple(_flower(rng, colour) for colour in colours)
    return Flowers(flowers=flowers, **lengths, **choices)


def _flower(rng: Random, colour: str) -> Flower:
    lengths = {name: rng.uniform(*ends) for name, ends in FLOWER_RANGES.items()}
    return Flower(**lengths, petals=rng.choice(PETALS), colour=colour)


def fits(scene: Flowers) -> bool:
    """Whether all is within its range, colours differ, and nothing is hidden or cut."""
    colours = {scene.vase, scene.table, scene.wall}
    return (
        all(within(getattr(scene, name), ends) for name, ends in RANGES.items())
        and all(getattr(scene, name) in allowed for name, allowed in CHOICES.items())
        and len(colours) == 3
        and len(scene.flowers) in COUNTS
        and all(_flower_fits(flower, scene) for flower in scene.flowers)
        and all(_apart(a, b) for a, b in combinations(scene.flowers, 2))
        and _inside(scene)
    )


def _flower_fits(flower: Flower, scene: Flowers) -> bool:
    """Whether a flower could have been drawn and hides neither the vase nor the leaf's tip."""
    tip, centre = keypoints(scene)["leaf_tip"], blossom(scene, flower)
    return (
        all(within(getattr(flower, name), ends) for name, ends in FLOWER_RANGES.items())
        and flower.petals in PETALS
        and flower.colour in BLOOMS
        and flower.colour != scene.wall
        and flower.up > flower.radius + GAP
        and math.dist(tip, centre) > flower.radius + GAP
    )


def _apart(first: Flower, second: Flower) -> bool:
    between = math.hypot(first.reach - second.reach, first.up - second.up)
    return between > first.radius + second.radius + GAP


def _inside(scene: Flowers) -> bool:
    """Whether the frame cuts nothing."""
    tip = keypoints(scene)["leaf_tip"]
    around = [(scene.x, scene.y - 0.1, scene.vase_width), (*tip, 0.0)]
    around += [(*blossom(scene, flower), flower.radius) for flower in scene.flowers]
    across = all(within(x, (MARGIN + r, 1 - MARGIN - r)) for x, _, r in around)
    return across and all(y - r > MARGIN for _, y, r in around[1:])


def _mouth(scene: Flowers) -> Point:
    return scene.x, scene.y - scene.vase_height


def blossom(scene: Flowers, flower: Flower) -> Point:
    """The middle of a flower's blossom."""
    x, y = _mouth(scene)
    return x + flower.reach, y - flower.up


def backdrop(canvas: Canvas, scene: Flowers) -> None:
    """Draw the wall with light on it, and the table."""
    wall, table, y = COLOURS[scene.wall], COLOURS[scene.table], scene.table_y
    paper = Pattern(scene.wall_print, scene.wall_period, 0.68)
    canvas.background(lighter(wall, 0.4), lighter(wall, 0.1), pattern=paper)
    x = scene.light_x
    light = [(x, 0.06), (x + 0.3, 0.06), (x + 0.4, 0.5), (x + 0.1, 0.5)]
    canvas.shade(light, lighter(wall, 0.85), opacity=0.75)
    cloth = Pattern(scene.table_print, scene.table_period, 0.58, (0.0, y))
    top = Paint(lighter(table, 0.25), darker(table, 0.85), pattern=cloth)
    canvas.part(rectangle(-0.1, y, 1.1, 1.1), top, Ink.NONE)
    canvas.shade(rectangle(-0.1, y - 0.01, 1.1, y + 0.015), darker(table, 0.5), opacity=0.8)


def figure(canvas: Canvas, scene: Flowers) -> None:
    """Draw vase, flowers and leaf with their shadows, from the back to the front."""
    _shadows(canvas, scene)
    for flower in reversed(scene.flowers):
        canvas.stroke(_stem(scene, flower), (50, 110, 55), width=0.03, ink=Ink.CONTOUR)
    for flower in reversed(scene.flowers):
        _blossom(canvas, scene, flower)
    _vase(canvas, scene)
    _leaf(canvas, scene)


def _shadows(canvas: Canvas, scene: Flowers) -> None:
    dark, x, y = darker(COLOURS[scene.wall], 0.35), scene.x, scene.y
    for flower in scene.flowers:
        cx, cy = blossom(scene, flower)
        cast = ellipse((cx + 0.07, cy + 0.05), flower.radius, flower.radius * flower.squash)
        canvas.shade(cast, dark, soft=0.003, opacity=0.5)
    wide, high = scene.vase_width, scene.vase_height
    lying = [(x - wide * 0.5, y), (x + wide * 0.6, y + 0.01), (x + wide + 0.2, y - high * 0.25)]
    lying += [(x + wide + 0.1, y - high * 0.36)]
    canvas.shade(lying, (20, 18, 25), soft=0.006, opacity=0.5)


def _stem(scene: Flowers, flower: Flower) -> Outline:
    x, y = _mouth(scene)
    root, bend = (x + flower.reach * 0.06, y + 0.03), (x + flower.reach * 0.1, y - flower.up * 0.65)
    return curve(root, bend, blossom(scene, flower))


def _blossom(canvas: Canvas, scene: Flowers, flower: Flower) -> None:
    """Draw a blossom that looks where its stem leads, so that a bend turns it."""
    centre, (before_x, before_y) = blossom(scene, flower), _stem(scene, flower)[-2]
    angle = math.atan2(centre[1] - before_y, centre[0] - before_x)
    cos, sin = math.cos(angle), math.sin(angle)

    def ring(size: float, notch: float) -> Outline:
        points = []
        for i in range(64):
            turn = 2 * math.pi * i / 64
            far = size * (1 - notch + notch * abs(math.cos(turn * flower.petals / 2)) ** 0.7)
            along, across = far * math.cos(turn) * flower.squash, far * math.sin(turn)
            x, y = along * cos - across * sin, along * sin + across * cos
            points.append((centre[0] + x, centre[1] + y))
        return points

    colour, radius = COLOURS[flower.colour], flower.radius
    paint = Paint(colour, lighter(colour, 0.35), centre)
    canvas.part(ring(radius, flower.notch), paint)
    canvas.shade(ring(radius * 0.66, flower.notch), darker(colour, 0.6), opacity=0.6)
    canvas.part(ring(radius * 0.32, 0.0), Paint((75, 48, 25), (40, 25, 15)), Ink.SOLID)
    gleam = ellipse((centre[0] - 0.008, centre[1] - 0.01), radius * 0.17, radius * 0.13)
    canvas.shade(gleam, (250, 215, 90), opacity=0.9)


def _side(scene: Flowers) -> list[Point]:
    """The vase's side from its foot to its rim: half widths and heights."""
    mouth, high = scene.mouth, scene.vase_height
    body = [(share * scene.vase_width, up * high) for up, share in _SIDES[scene.vase_form]]
    return [*body, (mouth, 0.84 * high), (mouth, 0.93 * high), (mouth * 1.2, high)]


def _vase(canvas: Canvas, scene: Flowers) -> None:
    colour, x, y = COLOURS[scene.vase], scene.x, scene.y
    side = _side(scene)

    def band(left: float, right: float) -> Outline:
        rising = [(x + right * wide, y - up) for wide, up in side]
        return rising + [(x + left * wide, y - up) for wide, up in reversed(side)]

    glaze = Paint(lighter(colour, 0.2), darker(colour, 0.8))
    if scene.vase_print is not None:
        glaze = glaze.printed(Pattern(scene.vase_print, 0.11, 0.5, (x, y)))
    canvas.part(band(-1, 1), glaze)
    canvas.shade(band(0.35, 1), darker(colour, 0.4), opacity=0.45)
    canvas.shade(band(-0.75, -0.45), (255, 255, 255), opacity=0.55)


def _leaf(canvas: Canvas, scene: Flowers) -> None:
    (x, y), tip = _mouth(scene), keypoints(scene)["leaf_tip"]
    foot = (x + (-0.5 if scene.mirrored else 0.5) * scene.mouth, y + 0.005)
    dx, dy = tip[0] - foot[0], tip[1] - foot[1]
    middle = (foot[0] + dx * 0.5, foot[1] + dy * 0.5)
    over, under = ((middle[0] + s * dy, middle[1] - s * dx) for s in (0.42, -0.42))
    blade = curve(foot, over, tip) + curve(tip, under, foot)[1:-1]
    canvas.part(blade, Paint((120, 190, 95), (45, 115, 55)), Ink.TONE)
    canvas.shade(curve(foot, over, tip), (35, 95, 50), opacity=0.6)


def keypoints(scene: Flowers) -> dict[str, Point]:
    """Where blossoms, leaf and the vase's corners are; "near" ones lie on the leaf's side."""
    towards, (x, y) = -1 if scene.mirrored else 1, _mouth(scene)
    side, angle = _side(scene), math.radians(scene.leaf_deg)
    start = x + towards * scene.mouth * 0.5
    points = {
        "rim": (x - towards * side[-1][0], y),
        "belly": (x - towards * max(side)[0], scene.y - max(side)[1]),
        "foot": (x - towards * side[0][0], scene.y),
        "near_foot": (x + towards * side[0][0], scene.y),
        "leaf_tip": (
            start + towards * scene.leaf_length * math.cos(angle),
            y + 0.005 - scene.leaf_length * math.sin(angle),
        ),
    }
    return points | {f"blossom_{i}": blossom(scene, f) for i, f in enumerate(scene.flowers)}
