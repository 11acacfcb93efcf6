"""What animals are made of: fur, tail, legs, neck and collar."""

import math
from collections.abc import Sequence

from featurekit.scenes.canvas import Canvas, Ink, Paint, Pattern
from featurekit.scenes.colours import COLOURS, Colour, darker, lighter
from featurekit.scenes.geometry import Outline, Point, curve, ellipse
from featurekit.scenes.kinds.animals.animal import (
    Animal,
    back,
    head,
    placed,
    tail_point,
    tail_root,
)

DARK: Colour = (28, 24, 28)
PALE: Colour = (246, 242, 234)
ROSE: Colour = (235, 165, 165)
HORN: Colour = (245, 165, 45)


def ribbon(points: Sequence[Point], widths: Sequence[float]) -> Outline:
    """Corners of a band along a line.

    Args:
        points: at least two, from the root to the tip.
        widths: half the band's width from the root to the tip, evenly spread.
    """
    one, other = [], []
    for i, (x, y) in enumerate(points):
        (x0, y0), (x1, y1) = points[max(0, i - 1)], points[min(len(points) - 1, i + 1)]
        norm = math.hypot(x1 - x0, y1 - y0)
        place = i / (len(points) - 1) * (len(widths) - 1)
        first = min(int(place), len(widths) - 2)
        width = widths[first] + (widths[first + 1] - widths[first]) * (place - first)
        across, down = -(y1 - y0) / norm * width, (x1 - x0) / norm * width
        one.append((x + across, y + down))
        other.append((x - across, y - down))
    return one + other[::-1]


def between(first: Point, second: Point, share: float) -> Point:
    """A point between two; ``share`` in [0, 1] is the way to the second."""
    return (
        first[0] + (second[0] - first[0]) * share,
        first[1] + (second[1] - first[1]) * share,
    )


def world(animal: Animal, points: Sequence[Point]) -> Outline:
    """Put points counted from the ground below the body into the picture."""
    return [placed(animal, *point) for point in points]


def coat_print(animal: Animal, origin: Point) -> Pattern | None:
    """The coat's print from an origin with which it travels; None for plain fur."""
    if animal.print_name is None:
        return None
    # Dark fur shows a print only if that is much darker still; all others are darkened alike.
    period = 0.12 if animal.print_name == "striped" else 0.1
    return Pattern(animal.print_name, period, 0.4 if animal.coat == "black" else 0.48, origin)


def fur(animal: Animal, share: float = 1.0) -> Paint:
    """The coat, lighter above; ``share`` darkens what is farther away."""
    coat = COLOURS[animal.coat]
    if animal.coat == "black":
        coat = lighter(coat, 0.12)
    bright, dim = lighter(coat, 0.18), darker(coat, 0.78)
    return Paint(darker(bright, share), darker(dim, share))


def body_fur(animal: Animal) -> Paint:
    """The coat with the print that travels with the body."""
    return fur(animal).printed(coat_print(animal, placed(animal, 0.0, back(animal))))


def draw_tail(canvas: Canvas, animal: Animal) -> None:
    """Draw the tail behind everything else."""
    if animal.species == "rabbit":
        scut = ellipse(placed(animal, *tail_point(animal, 0.4, 0.0)), 0.06, 0.055)
        canvas.part(scut, Paint(PALE, (205, 200, 195)))
        return
    bend = {"cat": 32.0, "dog": 22.0, "bird": 0.0}[animal.species]
    widths = {
        "cat": (0.03, 0.03, 0.03, 0.029, 0.026, 0.014),
        "dog": (0.045, 0.036, 0.03, 0.024, 0.019, 0.014),
        "bird": (0.035, 0.05, 0.06, 0.068, 0.076, 0.07),
    }[animal.species]
    line = curve(tail_root(animal), tail_point(animal, 0.6, bend), tail_point(animal, 1.0, 0.0))
    band = world(animal, ribbon(line, widths))
    plain = fur(animal, 0.88)
    canvas.part(band, plain)
    rings = (3, 6, 9) if animal.print_name else ()
    for start in rings:
        ring = [*band[start : start + 2], *band[32 - start : 34 - start][::1]]
        canvas.shade(ring, darker(plain.colour, 0.55))
    if animal.socks or animal.species == "bird":
        tip = band[12:22]
        canvas.part(tip, Paint(PALE) if animal.socks else fur(animal, 0.6), Ink.TONE)


def draw_leg(
    canvas: Canvas, animal: Animal, ends: tuple[Point, Point], *, thigh: float = 0.046
) -> None:
    """Draw a near leg from its root to its foot; ``thigh`` is half of it at its widest."""
    _leg(canvas, animal, ends, thigh, body_fur(animal), Ink.CONTOUR)


def draw_far_leg(canvas: Canvas, animal: Animal, ends: tuple[Point, Point]) -> None:
    """Draw a leg in the shadow of the body."""
    _leg(canvas, animal, ends, 0.046, fur(animal, 0.72), Ink.TONE)


def _leg(
    canvas: Canvas,
    animal: Animal,
    ends: tuple[Point, Point],
    thigh: float,
    paint: Paint,
    ink: Ink,
) -> None:
    line = curve(ends[0], between(*ends, 0.5), ends[1])
    widths = (thigh * 0.6, thigh, 0.042, 0.036, 0.034)
    canvas.part(world(animal, ribbon(line, widths)), paint, ink)
    x, y = ends[1]
    paw = ellipse(placed(animal, x + 0.012, y), 0.05, 0.028)
    canvas.part(paw, Paint(PALE, darker(PALE, 0.8)) if animal.socks else Paint(paint.colour))


def light_back(canvas: Canvas, animal: Animal) -> None:
    """Let the light fall on the back."""
    length, girth = animal.length, animal.girth
    sheen = ellipse(placed(animal, -0.02, back(animal) - girth * 0.45), length * 0.62, girth * 0.27)
    canvas.shade(sheen, (255, 250, 235), soft=0.008, opacity=0.3)


def _neck_sides(animal: Animal, share: float) -> Outline:
    (x, y), girth = head(animal), animal.girth
    root = (animal.length - girth * 1.05, animal.leg + girth * 1.1)
    if animal.species == "rabbit":
        root = (animal.length * 0.3, back(animal) * 0.7)
    widths = (girth * 0.85 * share, animal.head_size * 0.66 * share)
    return world(animal, ribbon([root, (x, y)], widths))


def draw_neck(canvas: Canvas, animal: Animal) -> None:
    """Draw the neck that the body lies over."""
    canvas.part(_neck_sides(animal, 1.0), body_fur(animal))


def join_neck(canvas: Canvas, animal: Animal) -> None:
    """Hide the body's line where the neck grows out of it; put the collar on."""
    canvas.part(_neck_sides(animal, 0.78), body_fur(animal), Ink.NONE)
    if animal.collar is None:
        return
    root_one, head_one, head_other, root_other = _neck_sides(animal, 1.04)
    reach = math.dist(between(root_one, root_other, 0.5), between(head_one, head_other, 0.5))
    near = 1 - min(0.95, (animal.head_size * 0.82) / reach)
    far = max(0.0, near - 0.06 / reach)
    colour = COLOURS[animal.collar]
    band = [
        between(root_one, head_one, far),
        between(root_one, head_one, near),
        between(root_other, head_other, near),
        between(root_other, head_other, far),
    ]
    canvas.part(band, Paint(lighter(colour, 0.1), darker(colour)), Ink.DETAIL)
