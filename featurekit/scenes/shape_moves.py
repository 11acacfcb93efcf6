"""How shapes move, and the record that makes them a kind.

A mover changes the first shape of a scene: which of several comes first is chance already.
"""

import math
from dataclasses import replace
from random import Random

from featurekit.scenes import shapes
from featurekit.scenes.geometry import Outline, Point
from featurekit.scenes.kind import Kind, Mover, two_places, two_values
from featurekit.scenes.shapes import ALONE, ANGLES_DEG, ASPECTS, Shape, Shapes, clear, corners, room

FRAME = 0.01  # from the frame to a moved shape, at least

Pair = tuple[Shapes, Shapes]


def _move(scene: Shapes, rng: Random, at_least: float) -> Pair | None:
    shape, others = scene.shapes[0], list(scene.shapes[1:])
    span = room(shape.radius)
    places = two_places(rng, span, span, at_least)
    if places is None or not all(clear(x, y, shape.radius, others) for x, y in places):
        return None
    return _pair(scene, *(replace(shape, x=x, y=y) for x, y in places))


def _turn(scene: Shapes, rng: Random, at_least: float) -> Pair | None:
    """Turn a square or a triangle; a circle does not turn, a star has five ways to look alike."""
    shape = scene.shapes[0]
    if shape.form not in ("square", "triangle"):
        return None
    arm = min(math.dist(handle, (shape.x, shape.y)) for handle in _tips(scene))
    if at_least > 2 * arm:
        return None
    angles = two_values(rng, ANGLES_DEG, math.degrees(2 * math.asin(at_least / (2 * arm))))
    if angles is None:
        return None
    return _pair(scene, *(replace(shape, angle_deg=angle) for angle in angles))


def _stretch(scene: Shapes, rng: Random, at_least: float) -> Pair | None:
    """Make a lone shape larger and wider, or smaller and narrower."""
    if len(scene.shapes) > 1:
        return None
    shape = scene.shapes[0]
    radii = two_values(rng, ALONE, at_least / 2)
    aspects = two_values(rng, ASPECTS, 0.2)
    if radii is None or aspects is None:
        return None
    sizes = list(zip(sorted(radii), sorted(aspects), strict=True))
    rng.shuffle(sizes)
    before, after = (replace(shape, radius=r, aspect=a) for r, a in sizes)
    return _pair(scene, before, after)


def _pair(scene: Shapes, before: Shape, after: Shape) -> Pair | None:
    """Both scenes, if neither shape is cut by the frame."""
    whole = all(FRAME <= c <= 1 - FRAME for s in (before, after) for xy in corners(s) for c in xy)
    if not whole:
        return None
    rest = scene.shapes[1:]
    return replace(scene, shapes=(before, *rest)), replace(scene, shapes=(after, *rest))


def _centre(scene: Shapes) -> tuple[Point, ...]:
    return ((scene.shapes[0].x, scene.shapes[0].y),)


def _tips(scene: Shapes) -> tuple[Point, ...]:
    """The two corners that lie farthest out to either side; a circle's ends."""
    outline: Outline = corners(scene.shapes[0])
    first, second = _OUTER[scene.shapes[0].form]
    return outline[first], outline[second]


_OUTER = {"circle": (0, 24), "square": (0, 2), "triangle": (1, 2), "star": (2, 8)}

SHAPES: Kind[Shapes] = Kind(
    name="shapes",
    share=0.25,
    sample=shapes.sample,
    fits=shapes.fits,
    draw=shapes.draw,
    keypoints=shapes.keypoints,
    caption=shapes.caption,
    movers=(
        Mover("move", False, 0.5, _move, _centre),
        Mover("turn", True, 0.2, _turn, _tips),
        Mover("stretch", True, 0.2, _stretch, _tips),
    ),
)
