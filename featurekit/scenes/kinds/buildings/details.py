"""What is on a building: windows, a door that opens, a flag that turns."""

from dataclasses import dataclass

from featurekit.scenes.canvas import Canvas, Ink, Paint, Pattern
from featurekit.scenes.colours import COLOURS, Colour, darker, lighter
from featurekit.scenes.geometry import Outline, Point, arc, ellipse, rectangle
from featurekit.scenes.kinds.buildings.building import (
    LINTEL,
    Building,
    doorway,
    flag_corners,
    leaf,
    on_leaf,
    tip,
    window_span,
)

DARK: Colour = (28, 24, 30)
GLASS = {True: ((255, 240, 150), (255, 195, 80)), False: ((60, 80, 120), (120, 160, 200))}
FLANK = 0.24  # half of a castle's outer towers, in half_width


@dataclass(frozen=True)
class Window:
    """Where a window is; ``shape`` is square, arched or round."""

    name: str
    centre: Point
    half_width: float
    half_height: float
    shape: str = "square"


def windows(b: Building) -> tuple[Window, ...]:
    """All windows, those with a name first."""
    return _WINDOWS[b.form](b)


def _of_house(b: Building) -> tuple[Window, ...]:
    left, top, right = doorway(b)
    found = []
    if b.windows != 2:
        x, y = tip(b)
        down = y + b.roof_height * 0.62
        size = min(b.window_size, b.roof_height * 0.24)
        found.append(Window("window", (_aslant(b, x, 0.62), down), size, size, "round"))
    if b.windows > 1:
        gap = left - (b.centre_x - b.half_width)
        half = min(b.window_size, gap * 0.36)
        y = min(top + half * 1.2, b.ground_y - b.wall_height * 0.5)
        for name, x in (("window_l", left - gap / 2), ("window_r", right + gap / 2)):
            found.append(Window(name, (x, y), half, half * 1.2))
    return tuple(found)


def _aslant(b: Building, x: float, down: float) -> float:
    """Middle of the roof at a share of its height below the tip."""
    return x + (b.centre_x - x) * down


def _of_barn(b: Building) -> tuple[Window, ...]:
    x, y = tip(b)
    size = min(b.window_size, b.roof_height * 0.22)
    return (Window("window", (_aslant(b, x, 0.6), y + b.roof_height * 0.62), size, size),)


def _of_church(b: Building) -> tuple[Window, ...]:
    size, y = b.window_size, b.ground_y - b.wall_height * 0.24
    aside = b.half_width * 0.74
    return (
        Window("window", (b.centre_x, _level(b)), size * 1.05, size * 1.05, "round"),
        Window("window_l", (b.centre_x - aside, y), size * 0.8, size * 1.2, "arched"),
        Window("window_r", (b.centre_x + aside, y), size * 0.8, size * 1.2, "arched"),
    )


def _of_castle(b: Building) -> tuple[Window, ...]:
    size, aside = b.window_size * 0.75, b.half_width * (1 - FLANK)
    low, high = b.ground_y - b.wall_height * 0.42, b.ground_y - b.wall_height * 0.76
    return (
        Window("window", (b.centre_x, high), size * 1.1, size * 1.4, "arched"),
        Window("window_l", (b.centre_x - aside, low), size * 0.8, size * 1.3, "arched"),
        Window("window_r", (b.centre_x + aside, low), size * 0.8, size * 1.3, "arched"),
    )


def _of_tower(b: Building) -> tuple[Window, ...]:
    size = (b.window_size * 0.9, b.window_size * 1.15)
    if b.windows == 1:
        return (Window("window", (b.centre_x, _level(b)), *size, "arched"),)
    low, high = window_span(b)
    return (
        Window("window", (b.centre_x, high), *size, "arched"),
        Window("", (b.centre_x, low), *size, "arched"),
    )


def _level(b: Building) -> float:
    low, high = window_span(b)
    return low + (high - low) * b.window_level


def _of_skyscraper(b: Building) -> tuple[Window, ...]:
    top = b.ground_y - b.wall_height + 0.035
    row = (doorway(b)[1] - LINTEL - 0.02 - top) / b.windows
    column = b.half_width * 2 / 3.25
    size = (column * 0.3, min(row * 0.29, b.window_size))
    names = {(0, -1): "window_l", (0, 0): "window", (0, 1): "window_r"}
    return tuple(
        Window(names.get((i, j), ""), (b.centre_x + j * column, top + (i + 0.5) * row), *size)
        for i in range(b.windows)
        for j in (-1, 0, 1)
    )


_WINDOWS = {
    "house": _of_house,
    "barn": _of_barn,
    "church": _of_church,
    "castle": _of_castle,
    "tower": _of_tower,
    "skyscraper": _of_skyscraper,
}


def draw_window(canvas: Canvas, b: Building, window: Window) -> None:
    """Draw one window with its frame."""
    (x, y), across, down = window.centre, window.half_width, window.half_height
    bright, dim = GLASS[b.lit]
    outline: Outline = rectangle(x - across, y - down, x + across, y + down)
    if window.shape == "round":
        outline = ellipse((x, y), across, down)
    elif window.shape == "arched":
        head = arc((x, y - down + across), across, across, start_deg=180, end_deg=360)
        outline = [*head, (x + across, y + down), (x - across, y + down)]
    canvas.part(outline, Paint(bright, dim), Ink.DETAIL)
    rim = _trim(b)
    if b.form != "skyscraper":
        canvas.stroke([(x, y - down), (x, y + down)], rim, width=0.014)
        canvas.edge([(x - across, y), (x + across, y)], rim, width=0.014)
    canvas.edge([*outline, outline[0]], rim, width=0.02 if b.form != "skyscraper" else 0.012)


def _trim(b: Building) -> Colour:
    """Colour of frames: it differs from the wall's."""
    return (75, 60, 65) if b.wall in ("white", "yellow") else (248, 244, 235)


def draw_door(canvas: Canvas, b: Building) -> None:
    """Draw the frame, the dark doorway, and the leaf that hides as much of it as it is closed."""
    left, top, right = doorway(b)
    foot, door = b.ground_y, COLOURS[b.door]
    frame: Outline = rectangle(left - LINTEL, top - LINTEL, right + LINTEL, foot)
    trim = _trim(b)
    canvas.part(frame, Paint(trim, darker(trim, 0.85)), Ink.DETAIL)
    canvas.part(rectangle(left, top, right, foot), Paint(DARK), Ink.SOLID)
    planks = Pattern("striped", 0.14, 0.87, (left, top)) if b.form == "barn" else None
    paint = Paint(lighter(door, 0.12), darker(door, 0.75), pattern=planks)
    canvas.part(leaf(b), paint, Ink.DETAIL)
    if b.form == "barn":
        for ends in (((0.05, 0.05), (0.95, 0.95)), ((0.05, 0.95), (0.95, 0.05))):
            canvas.stroke([on_leaf(b, *end) for end in ends], trim, width=0.02)
    else:
        for low, high in ((0.1, 0.45), (0.57, 0.9)):
            panel = ((0.2, low), (0.76, low), (0.76, high), (0.2, high))
            canvas.shade([on_leaf(b, *corner) for corner in panel], darker(door, 0.62), opacity=0.8)
    canvas.part(ellipse(knob(b), 0.017, 0.017), Paint((255, 225, 120), (200, 150, 40)), Ink.SOLID)


def knob(b: Building) -> Point:
    """Where the door's knob is."""
    return on_leaf(b, 0.84, 0.52)


def draw_flag(canvas: Canvas, b: Building) -> None:
    """Draw the pole on the roof's tip, and its flag."""
    top, low, end = flag_corners(b)
    flag = COLOURS[b.flag]
    canvas.part([top, end, low], Paint(lighter(flag, 0.1), darker(flag, 0.7)), Ink.DETAIL)
    canvas.stroke([top, tip(b)], (70, 55, 50), width=0.024, ink=Ink.CONTOUR)
