"""Shapes: one to three forms, plain or printed, on a plain or printed ground."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType

from featurekit.scenes.canvas import Canvas, Ink, Paint, Pattern
from featurekit.scenes.colours import COLOURS, Colour, darker, lighter
from featurekit.scenes.geometry import Outline, Point, arc, ellipse
from featurekit.scenes.kind import Range, within
from featurekit.scenes.wording import article, on_background

ALONE: Range = (0.19, 0.38)  # radius of a shape that is meant to be the only one
TOGETHER: Range = (0.15, 0.23)  # of one among several
ANGLES_DEG: Range = (-40, 40)
ASPECTS: Range = (0.72, 1.35)
PERIODS: Range = (0.18, 0.3)  # of the print on the ground
MARGIN = 0.02  # between shapes, and between a shape and the frame
LARGE, SMALL = 0.31, 0.25  # a lone shape above is called large, one below small

PRINTS = (None, "striped", "checkered", "dotted", "wavy", "tiled")
PAINTS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black", "white", "cyan")
ALIKE = ({"blue", "purple"}, {"red", "brown"})  # too near to tell a shape from its ground
SHADED = ("star", "heart", "crescent")  # forms whose inside one hatches in a drawing
SHADOW: Colour = (25, 25, 40)


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
    pattern: str | None


@dataclass(frozen=True)
class Shapes:
    """Parameters of a scene of shapes; no two have the same form or colour."""

    shapes: tuple[Shape, ...]
    background: str
    texture: str | None
    period: float  # of the texture
    light: int  # the side that the light comes from, -1 or 1


def _heart() -> Outline:
    """A heart with its tip below: two lobes and two bowed flanks."""
    right = arc((0.46, -0.42), 0.46, 0.46, start_deg=-170, end_deg=20)
    flank = [(0.62, 0.3), (0.3, 0.68)]
    half = [(0.0, -0.5), *right, *flank]
    return [*half, (0.0, 0.98), *((-x, y) for x, y in reversed(half[1:]))]


def _crescent() -> Outline:
    """A moon's crescent: a disc without a smaller one that lies off its middle."""
    outer = arc((0.36, 0), 0.84, 0.84, start_deg=55, end_deg=305)
    inner = arc((0.64, 0), 0.5, 0.66, start_deg=-115, end_deg=-245)
    return [*outer, *inner]


def _star() -> Outline:
    tips = [(1 if i % 2 == 0 else 0.45, math.pi * i / 5) for i in range(10)]
    return [(r * math.sin(angle), -r * math.cos(angle)) for r, angle in tips]


def _cross() -> Outline:
    arm, bar = 0.92, 0.32
    quarter = [(-bar, -arm), (bar, -arm), (bar, -bar)]
    outline, corner = [], quarter
    for _ in range(4):
        outline += corner
        corner = [(-y, x) for x, y in corner]
    return outline


FORMS: Mapping[str, Outline] = MappingProxyType(
    {
        "circle": ellipse((0, 0), 1, 1),
        "square": [(-0.75, -0.75), (0.75, -0.75), (0.75, 0.75), (-0.75, 0.75)],
        "triangle": [(0, -1), (0.9, 0.75), (-0.9, 0.75)],
        "star": _star(),
        "heart": _heart(),
        "cross": _cross(),
        "crescent": _crescent(),
    }
)
"""Every form with its outline about the origin, clockwise, as large as a circle of radius 1."""

CORNERS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "circle": {"end_1": 0, "end_2": 12, "end_3": 24, "end_4": 36},
        "square": {f"corner_{i + 1}": i for i in range(4)},
        "triangle": {"tip": 0, "corner_1": 1, "corner_2": 2},
        "star": {f"tip_{i + 1}": 2 * i for i in range(5)},
        "heart": {"notch": 0, "tip": 52, "lobe_1": 46, "lobe_2": 58},
        "cross": {f"corner_{i + 1}": i for i in range(12)},
        "crescent": {"horn_1": 0, "horn_2": 48, "back": 24, "hollow": 73},
    }
)
"""Every form's named points, as places in its outline."""


def sample(rng: Random) -> Shapes:
    """Draw a scene; the order of the draws is part of what a seed means."""
    count = rng.choice([1, 1, 2, 2, 3])
    background = rng.choice(list(COLOURS))
    colours = rng.sample([paint for paint in PAINTS if _differ(paint, background)], count)
    forms = rng.sample(list(FORMS), count)
    empty = Shapes(
        shapes=(),
        background=background,
        texture=rng.choice(PRINTS),
        period=rng.uniform(*PERIODS),
        light=rng.choice([-1, 1]),
    )
    prints = [None if colour == "black" else rng.choice(PRINTS) for colour in colours]
    radii = ALONE if count == 1 else TOGETHER
    while True:
        scene = empty
        for look in zip(forms, colours, prints, strict=True):
            scene = _joined(rng, scene, radii, look)
        if len(scene.shapes) == count:
            return scene


def _joined(rng: Random, scene: Shapes, radii: Range, look: tuple[str, str, str | None]) -> Shapes:
    """The scene with one shape more, or as it was if 30 tries found no room."""
    for _ in range(30):
        shape = _shape(rng, radii, look)
        if _fits(shape, radii) and _clear(shape, scene.shapes):
            return replace(scene, shapes=(*scene.shapes, shape))
    return scene


def _shape(rng: Random, radii: Range, look: tuple[str, str, str | None]) -> Shape:
    # The larger of two: what does not fit is drawn again, which favours small ones.
    radius = max(rng.uniform(*radii), rng.uniform(*radii))
    # Mostly little stretched, so that a square is a square and a circle a circle.
    return Shape(
        form=look[0],
        x=rng.uniform(*room(radius)),
        y=rng.uniform(*room(radius)),
        radius=radius,
        angle_deg=rng.uniform(*ANGLES_DEG),
        colour=look[1],
        aspect=rng.triangular(*ASPECTS, 1.0),
        pattern=look[2],
    )


def room(radius: float) -> Range:
    """The range of a shape's centre, along either axis."""
    return radius + MARGIN, 1 - MARGIN - radius


def fits(scene: Shapes) -> bool:
    """Whether all is within what it is drawn from, and no two shapes touch or look alike."""
    shapes = scene.shapes
    colours = {shape.colour for shape in shapes}
    return (
        1 <= len(shapes) <= 3
        and len(colours) == len(shapes)
        and colours <= set(PAINTS)
        and scene.background in COLOURS
        and all(_differ(colour, scene.background) for colour in colours)
        and len({shape.form for shape in shapes}) == len(shapes)
        and scene.texture in PRINTS
        and within(scene.period, PERIODS)
        and scene.light in (-1, 1)
        and all(_fits(shape, ALONE if len(shapes) == 1 else TOGETHER) for shape in shapes)
        and all(_clear(shape, shapes[:i]) for i, shape in enumerate(shapes))
    )


def _differ(colour: str, ground: str) -> bool:
    """Whether a shape of this colour can be told from its ground."""
    return colour != ground and {colour, ground} not in ALIKE


def _fits(shape: Shape, radii: Range) -> bool:
    """Whether a shape is within its ranges and inside the frame."""
    return (
        shape.form in FORMS
        and within(shape.radius, radii)
        and within(shape.x, room(shape.radius))
        and within(shape.y, room(shape.radius))
        and within(shape.angle_deg, ANGLES_DEG)
        and within(shape.aspect, ASPECTS)
        and shape.pattern in (PRINTS if shape.colour != "black" else (None,))
        and all(within(c, (MARGIN, 1 - MARGIN)) for point in corners(shape) for c in point)
    )


def _clear(shape: Shape, others: tuple[Shape, ...]) -> bool:
    """Whether a shape keeps its distance from others, however they are turned."""
    return all(
        math.hypot(shape.x - other.x, shape.y - other.y) > _extent(shape) + _extent(other) + MARGIN
        for other in others
    )


def _extent(shape: Shape) -> float:
    """How far the shape's farthest corner is from its centre."""
    return max(math.hypot(x - shape.x, y - shape.y) for x, y in corners(shape))


def corners(shape: Shape) -> Outline:
    """The shape's outline, in the order of its form's."""
    return placed(shape, FORMS[shape.form])


def placed(shape: Shape, outline: Outline) -> Outline:
    """What is drawn about the origin, stretched, turned and put where the shape is."""
    angle = 0.0 if shape.form == "circle" else math.radians(shape.angle_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    points = []
    for x, y in outline:
        wide = x * shape.aspect
        turned = (wide * cos - y * sin, wide * sin + y * cos)
        points.append((shape.x + shape.radius * turned[0], shape.y + shape.radius * turned[1]))
    return points


def backdrop(canvas: Canvas, scene: Shapes) -> None:
    """Draw the ground and the light on it."""
    ground = COLOURS[scene.background]
    pattern = Pattern(scene.texture, scene.period, 0.82) if scene.texture else None
    canvas.background(lighter(ground, 0.3), lighter(ground, 0.1), pattern=pattern)
    canvas.glow((0.5 + scene.light * 0.6, -0.1), radius=0.4, colour=lighter(ground, 0.7))


def figure(canvas: Canvas, scene: Shapes) -> None:
    """Draw each shape with its shadow, the half that is in the shade, and a highlight."""
    for shape in scene.shapes:
        outline, colour = corners(shape), COLOURS[shape.colour]
        away = -scene.light * 0.16 * shape.radius
        fallen = [(x + away, y + 0.22 * shape.radius) for x, y in outline]
        canvas.shade(fallen, SHADOW, soft=0.012, opacity=0.55)
        light = (shape.x + scene.light * shape.radius * 0.4, shape.y - shape.radius * 0.5)
        pattern = None
        if shape.pattern:
            pattern = Pattern(shape.pattern, 0.15, 0.74, (shape.x, shape.y))
        paint = Paint(lighter(colour, 0.2), darker(colour, 0.85), light, pattern)
        canvas.part(outline, paint, Ink.TONE if shape.form in SHADED else Ink.CONTOUR)
        canvas.shade(placed(shape, _dim_half(shape.form, -scene.light)), SHADOW, opacity=0.25)


def _dim_half(form: str, side: int) -> Outline:
    """The half of a form on one side of its upright axis: paper folded along it."""
    outline = FORMS[form]
    return [(x if x * side > 0 else 0.0, y) for x, y in outline]


def keypoints(scene: Shapes) -> dict[str, Point]:
    """The shapes' named corners, by form: ``star_tip_1``."""
    points = {}
    for shape in scene.shapes:
        outline = corners(shape)
        for name, place in CORNERS[shape.form].items():
            points[f"{shape.form}_{name}"] = outline[place]
    return points


def caption(scene: Shapes, rng: Random) -> str:
    """Say what is seen; the background is left to chance, the size is said of a lone shape."""
    names = [_name(shape) for shape in scene.shapes]
    if len(names) == 1:
        radius = scene.shapes[0].radius
        size = "large " if radius > LARGE else "small " if radius < SMALL else ""
        names = [size + names[0]]
    rng.shuffle(names)
    text = " and ".join(article(name) for name in names)
    if rng.random() < 0.7:
        text += " " + on_background(scene.background, scene.texture)
    return text


def _name(shape: Shape) -> str:
    return f"{shape.pattern or ''} {shape.colour} {shape.form}".strip()
