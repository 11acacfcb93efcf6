"""How shapes move, and the record that makes them a kind.

A mover changes the first shape of a scene: which of several comes first is chance already.
"""

import math
from dataclasses import replace
from random import Random

from featurekit.scenes.geometry import Point
from featurekit.scenes.kind import Kind, Mover, two_places, two_values
from featurekit.scenes.kinds.shapes import shape as shapes
from featurekit.scenes.kinds.shapes.shape import (
    ALONE,
    ANGLES_DEG,
    ASPECTS,
    Shape,
    Shapes,
    corners,
    room,
)

# The two points that lie farthest out to either side, as places in the form's outline.
_OUTER = {
    "circle": (0, 24),
    "square": (0, 2),
    "triangle": (1, 2),
    "star": (2, 8),
    "heart": (46, 58),
    "cross": (4, 10),
    "crescent": (0, 48),
}

_TURNED = ("square", "triangle", "heart", "cross", "crescent")

Pair = tuple[Shapes, Shapes]


def _move(scene: Shapes, rng: Random, at_least: float) -> Pair | None:
    shape = scene.shapes[0]
    span = room(shape.radius)
    places = two_places(rng, span, span, at_least)
    if places is None:
        return None
    before, after = (_with(scene, replace(shape, x=x, y=y)) for x, y in places)
    return before, after


def _turn(scene: Shapes, rng: Random, at_least: float) -> Pair | None:
    """Turn a shape; a circle does not turn, a star has five ways to look alike."""
    shape = scene.shapes[0]
    arm = min(math.dist(handle, (shape.x, shape.y)) for handle in _tips(scene))
    if shape.form not in _TURNED or at_least > 2 * arm:
        return None
    angles = two_values(rng, ANGLES_DEG, math.degrees(2 * math.asin(at_least / (2 * arm))))
    if angles is None:
        return None
    before, after = (_with(scene, replace(shape, angle_deg=angle)) for angle in angles)
    return before, after


def _stretch(scene: Shapes, rng: Random, at_least: float) -> Pair | None:
    """Make a lone shape larger and wider, or smaller and narrower."""
    if len(scene.shapes) > 1:
        return None
    radii = two_values(rng, ALONE, at_least / 2)
    aspects = two_values(rng, ASPECTS, 0.2)
    if radii is None or aspects is None:
        return None
    sizes = list(zip(sorted(radii), sorted(aspects), strict=True))
    rng.shuffle(sizes)
    shape = scene.shapes[0]
    before, after = (_with(scene, replace(shape, radius=r, aspect=a)) for r, a in sizes)
    return before, after


def _with(scene: Shapes, first: Shape) -> Shapes:
    return replace(scene, shapes=(first, *scene.shapes[1:]))


def _centre(scene: Shapes) -> tuple[Point, ...]:
    return ((scene.shapes[0].x, scene.shapes[0].y),)


def _tips(scene: Shapes) -> tuple[Point, ...]:
    shape = scene.shapes[0]
    outline = corners(shape)
    first, second = _OUTER[shape.form]
    return outline[first], outline[second]


SHAPES: Kind[Shapes] = Kind(
    name="shapes",
    share=0.16,
    sample=shapes.sample,
    fits=shapes.fits,
    backdrop=shapes.backdrop,
    figure=shapes.figure,
    keypoints=shapes.keypoints,
    caption=shapes.caption,
    movers=(
        Mover("move", False, 0.4, _move, _centre),
        Mover("turn", True, 0.25, _turn, _tips),
        Mover("stretch", True, 0.2, _stretch, _tips),
    ),
)
