"""Heads of animals: ears, muzzles, beaks and eyes."""

import math

from featurekit.scenes.canvas import Canvas, Ink, Paint
from featurekit.scenes.colours import COLOURS, darker, lighter
from featurekit.scenes.geometry import Outline, Point, ellipse
from featurekit.scenes.kinds.animals.animal import SPECIES, Animal, ear_tip, head, on_head, placed
from featurekit.scenes.kinds.animals.parts import (
    DARK,
    HORN,
    PALE,
    ROSE,
    coat_print,
    fur,
    ribbon,
    world,
)


def draw_head(canvas: Canvas, animal: Animal) -> None:
    """Draw the head from the back to the front."""
    parts = {"cat": _cat, "dog": _dog, "rabbit": _rabbit, "bird": _bird}
    parts[animal.species](canvas, animal)


def _skull(canvas: Canvas, animal: Animal, wide: float, high: float) -> None:
    middle, size = placed(animal, *head(animal)), animal.head_size
    plain = fur(animal)
    # The head's print begins at the head: it stays on it when the head alone moves.
    printed = plain.printed(coat_print(animal, middle))
    canvas.part(ellipse(middle, size * wide, size * high), printed)
    sheen = ellipse(placed(animal, *on_head(animal, (-0.1, 0.6))), size * 0.5, size * 0.22)
    canvas.shade(sheen, (255, 250, 235), soft=0.006, opacity=0.3)


def _round(animal: Animal, place: Point, wide: float, high: float) -> Outline:
    size = animal.head_size
    return ellipse(placed(animal, *on_head(animal, place)), size * wide, size * high)


def _eye(canvas: Canvas, animal: Animal, place: Point) -> None:
    iris = COLOURS[animal.eye]
    rim = PALE if animal.coat == "black" or animal.eye == "brown" else lighter(iris, 0.1)
    canvas.part(_round(animal, place, 0.25, 0.27), Paint(rim), Ink.DETAIL)
    canvas.part(_round(animal, place, 0.15, 0.2), Paint(DARK), Ink.SOLID)
    glint = _round(animal, (place[0] - 0.06, place[1] + 0.1), 0.06, 0.06)
    canvas.shade(glint, (255, 255, 255))


def _whiskers(canvas: Canvas, animal: Animal, place: Point, ends: tuple[Point, ...]) -> None:
    shade = PALE if animal.coat == "black" else DARK
    for end in ends:
        line = world(animal, [on_head(animal, place), on_head(animal, end)])
        canvas.stroke(line, shade, width=0.009)


def _cat(canvas: Canvas, animal: Animal) -> None:
    x, y = on_head(animal, SPECIES["cat"].ear_root)
    tip_x, tip_y = ear_tip(animal)
    middle, size = head(animal)[0], animal.head_size
    for side in (1, -1):
        # The ear at the back as it is, the other one mirrored at the head's middle.
        base, tip = x - middle, tip_x - middle
        ear = [
            (base - 0.3 * size, y - 0.35 * size),
            (tip - 0.01, tip_y),
            (tip + 0.01, tip_y),
            (base + 0.5 * size, y),
        ]
        inner = [(base - 0.08 * size, y), (tip * 0.97, tip_y - 0.045), (base + 0.24 * size, y)]
        canvas.part(world(animal, [(middle + side * u, v) for u, v in ear]), fur(animal))
        lining = world(animal, [(middle + side * u, v) for u, v in inner])
        canvas.part(lining, Paint(ROSE), Ink.TONE)
    _skull(canvas, animal, 1.08, 0.95)
    canvas.part(_round(animal, (0.12, -0.45), 0.5, 0.34), Paint(PALE), Ink.NONE)
    u, v = SPECIES["cat"].eye
    for place in ((u, v), (u - 0.82, v)):
        _eye(canvas, animal, place)
    nose = [(-0.06, -0.2), (0.3, -0.2), (0.12, -0.42)]
    canvas.part(world(animal, [on_head(animal, p) for p in nose]), Paint((200, 85, 95)), Ink.SOLID)
    mouth = [(-0.14, -0.6), (0.12, -0.52), (0.12, -0.42), (0.12, -0.52), (0.38, -0.6)]
    canvas.stroke(world(animal, [on_head(animal, p) for p in mouth]), DARK, width=0.01)
    _whiskers(canvas, animal, (0.55, -0.4), ((1.3, -0.3), (1.25, -0.6)))
    _whiskers(canvas, animal, (-0.3, -0.4), ((-1.05, -0.3), (-1.0, -0.6)))


def _dog(canvas: Canvas, animal: Animal) -> None:
    _skull(canvas, animal, 0.95, 0.92)
    muzzle = [(0.3, 0.25), (0.9, 0.15), (1.38, 0.08), (1.5, -0.12), (1.42, -0.42), (0.9, -0.6)]
    outline = world(animal, [on_head(animal, p) for p in [*muzzle, (0.2, -0.65)]])
    pale = Paint(PALE, darker(PALE, 0.82)) if animal.socks else fur(animal)
    canvas.part(outline, pale)
    mouth = [(1.36, -0.32), (0.95, -0.36), (0.6, -0.28)]
    canvas.stroke(world(animal, [on_head(animal, p) for p in mouth]), DARK, width=0.014)
    canvas.part(_round(animal, (1.38, -0.02), 0.24, 0.2), Paint(DARK), Ink.SOLID)
    canvas.shade(_round(animal, (1.36, 0.06), 0.08, 0.06), (190, 190, 200))
    _eye(canvas, animal, SPECIES["dog"].eye)
    ear = fur(animal, 0.55)
    _ear(canvas, animal, (0.03, 0.05, 0.058, 0.05, 0.0), ear)


def _ear(canvas: Canvas, animal: Animal, widths: tuple[float, ...], paint: Paint) -> None:
    root, tip = on_head(animal, SPECIES[animal.species].ear_root), ear_tip(animal)
    canvas.part(world(animal, _leaf(root, tip, widths)), paint, Ink.TONE)


def _leaf(root: Point, tip: Point, widths: tuple[float, ...]) -> Outline:
    line = [
        (root[0] + (tip[0] - root[0]) * i / 12, root[1] + (tip[1] - root[1]) * i / 12)
        for i in range(13)
    ]
    return ribbon(line, widths)


def _rabbit(canvas: Canvas, animal: Animal) -> None:
    root, tip = on_head(animal, SPECIES["rabbit"].ear_root), ear_tip(animal)
    widths = (0.026, 0.04, 0.048, 0.046, 0.038, 0.0)
    angle = math.radians(animal.ear_tilt_deg - 28)
    length, far = animal.ear_length * 0.94, (root[0] + 0.04, root[1])
    end = (far[0] - length * math.sin(angle), far[1] + length * math.cos(angle))
    canvas.part(world(animal, _leaf(far, end, widths)), fur(animal, 0.75))
    canvas.part(world(animal, _leaf(root, tip, widths)), fur(animal))
    inside = tuple(width * 0.5 for width in widths)
    low = (root[0] + (tip[0] - root[0]) * 0.2, root[1] + (tip[1] - root[1]) * 0.2)
    high = (root[0] + (tip[0] - root[0]) * 0.9, root[1] + (tip[1] - root[1]) * 0.9)
    canvas.part(world(animal, _leaf(low, high, inside)), Paint(ROSE), Ink.TONE)
    _skull(canvas, animal, 1.0, 0.88)
    canvas.part(_round(animal, (0.65, -0.3), 0.4, 0.36), Paint(PALE), Ink.NONE)
    canvas.part(_round(animal, SPECIES["rabbit"].nose, 0.15, 0.13), Paint((200, 85, 95)), Ink.SOLID)
    mouth = world(animal, [on_head(animal, (0.95, -0.36)), on_head(animal, (0.66, -0.46))])
    canvas.stroke(mouth, DARK, width=0.011)
    _eye(canvas, animal, SPECIES["rabbit"].eye)
    _whiskers(canvas, animal, (0.6, -0.25), ((0.0, -0.15), (0.0, -0.4)))


def _bird(canvas: Canvas, animal: Animal) -> None:
    tip_x, tip_y = SPECIES["bird"].nose
    # Blunt, so that the tip is still seen at 64 px.
    upper = [(0.6, 0.38), (tip_x, tip_y + 0.1), (tip_x, tip_y - 0.1), (0.6, -0.12)]
    lower = [(0.6, -0.05), (1.4, -0.22), (0.6, -0.42)]
    for places, colour in ((lower, darker(HORN, 0.75)), (upper, HORN)):
        beak = world(animal, [on_head(animal, place) for place in places])
        canvas.part(beak, Paint(colour), Ink.DETAIL)
    _skull(canvas, animal, 0.82, 0.8)
    _eye(canvas, animal, SPECIES["bird"].eye)
