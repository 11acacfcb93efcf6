"""Shapes: one to three circles, squares, triangles or stars on a textured ground."""

import math
from dataclasses import dataclass
from random import Random

from featurekit.scenes.canvas import Canvas
from featurekit.scenes.colours import COLOURS, darker, lighter
from featurekit.scenes.geometry import Outline, Point, ellipse
from featurekit.scenes.kind import Range, within
from featurekit.scenes.wording import article, on_background

ALONE: Range = (0.14, 0.28)  # radius of a shape that is meant to be the only one
TOGETHER: Range = (0.1, 0.2)  # of one among several
ANGLES_DEG: Range = (-25, 25)
ASPECTS: Range = (0.75, 1.3)
MARGIN = 0.02  # between shapes, and between a shape and the frame

_FORMS = ["circle", "square", "triangle", "star"]
_PAINTS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "black", "white"]


@dataclass(frozen=True)
class Shape:
    """One shape; lengths are fractions of the picture's side."""

    form: str
    x: float
    y: float
    radius: float
    angle_deg: float  # clockwise; a circle is stretched upright whatever its angle
    colour: str
    aspect: float  # width over height, before turning


@dataclass(frozen=True)
class Shapes:
    """Parameters of a scene of shapes; a later shape lies over an earlier one's shadow."""

    shapes: tuple[Shape, ...]
    background: str
    texture: str | None


def sample(rng: Random) -> Shapes:
    """Draw a scene; the order of the draws is part of what a seed means."""
    count = rng.choice([1, 1, 2, 2, 3])
    colours = rng.sample(_PAINTS, count)
    shapes: list[Shape] = []
    for colour in colours:
        place = _free_place(rng, shapes, ALONE if count == 1 else TOGETHER)
        if place is not None:
            shapes.append(_shape(rng, place, colour))
    return Shapes(
        shapes=tuple(shapes),
        background=rng.choice(list(COLOURS)),
        texture=rng.choice([None, "striped", "checkered", "dotted"]),
    )


def _free_place(
    rng: Random, shapes: list[Shape], radii: Range
) -> tuple[float, float, float] | None:
    """A radius and a centre clear of the other shapes; None if 50 tries found none."""
    for _ in range(50):
        radius = rng.uniform(*radii)
        low, high = room(radius)
        x, y = rng.uniform(low, high), rng.uniform(low, high)
        if clear(x, y, radius, shapes):
            return radius, x, y
    return None


def _shape(rng: Random, place: tuple[float, float, float], colour: str) -> Shape:
    radius, x, y = place
    return Shape(
        form=rng.choice(_FORMS),
        x=x,
        y=y,
        radius=radius,
        angle_deg=rng.uniform(*ANGLES_DEG),
        colour=colour,
        aspect=rng.uniform(*ASPECTS),
    )


def room(radius: float) -> Range:
    """The range of a shape's centre, along either axis."""
    return radius + MARGIN, 1 - MARGIN - radius


def clear(x: float, y: float, radius: float, others: list[Shape]) -> bool:
    """Whether a shape keeps its distance from others."""
    return all(math.hypot(x - o.x, y - o.y) > radius + o.radius + MARGIN for o in others)


def fits(scene: Shapes) -> bool:
    """Whether every length lies in the range it is drawn from, and no two shapes touch."""
    radii = (TOGETHER[0], ALONE[1] if len(scene.shapes) == 1 else TOGETHER[1])
    return bool(scene.shapes) and all(
        within(shape.radius, radii)
        and within(shape.x, room(shape.radius))
        and within(shape.y, room(shape.radius))
        and within(shape.angle_deg, ANGLES_DEG)
        and within(shape.aspect, ASPECTS)
        and clear(shape.x, shape.y, shape.radius, list(scene.shapes[:index]))
        for index, shape in enumerate(scene.shapes)
    )


def corners(shape: Shape) -> Outline:
    """The shape's outline: a circle from its right end, the others clockwise from the top."""
    angle = 0.0 if shape.form == "circle" else math.radians(shape.angle_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    outline = []
    for x, y in _unit_corners(shape.form):
        wide = x * shape.aspect
        turned = (wide * cos - y * sin, wide * sin + y * cos)
        outline.append((shape.x + shape.radius * turned[0], shape.y + shape.radius * turned[1]))
    return outline


def _unit_corners(form: str) -> Outline:
    if form == "circle":
        return ellipse((0, 0), 1, 1)
    if form == "square":
        return [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]
    if form == "triangle":
        return [(0, -1), (0.9, 0.75), (-0.9, 0.75)]
    tips = [(1 if i % 2 == 0 else 0.45, math.pi * i / 5) for i in range(10)]
    return [(r * math.sin(angle), -r * math.cos(angle)) for r, angle in tips]


def draw(canvas: Canvas, scene: Shapes) -> None:
    """Draw the ground, then each shape with its shadow."""
    ground = COLOURS[scene.background]
    canvas.background(lighter(ground, 0.55), lighter(ground, 0.3), texture=scene.texture)
    for shape in scene.shapes:
        outline, colour = corners(shape), COLOURS[shape.colour]
        shadow = [(x + 0.02, y + 0.03) for x, y in outline]
        canvas.shade(shadow, darker(lighter(ground, 0.3), 0.7))
        light = (shape.x - shape.radius * 0.4, shape.y - shape.radius * 0.5)
        canvas.part(outline, lighter(colour, 0.35), fade=darker(colour, 0.8), light=light)


def keypoints(scene: Shapes) -> dict[str, Point]:
    """The shapes' centres, by form and number."""
    return {f"{s.form}_{i}": (s.x, s.y) for i, s in enumerate(scene.shapes)}


def caption(scene: Shapes, rng: Random) -> str:
    """Say what is seen; the background is left to chance, the size is said of a lone shape."""
    names = [f"{shape.colour} {shape.form}" for shape in scene.shapes]
    if len(names) == 1:
        radius = scene.shapes[0].radius
        size = "large " if radius > 0.22 else "small " if radius < 0.17 else ""
        names = [size + names[0]]
    text = " and ".join(article(name) for name in names)
    if rng.random() < 0.7:
        text += " " + on_background(scene.background, scene.texture)
    return text
