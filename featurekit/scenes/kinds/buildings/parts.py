"""How buildings look: what is behind them, walls, roofs, windows and doors."""

from featurekit.scenes.canvas import Canvas, Ink, Paint, Pattern
from featurekit.scenes.colours import COLOURS, Colour, darker, lighter, mix
from featurekit.scenes.geometry import Outline, arc, curve, ellipse, rectangle
from featurekit.scenes.kinds.buildings.building import FLAGGED, FORMS, Building, doorway, eaves, tip
from featurekit.scenes.kinds.buildings.details import (
    FLANK,
    draw_door,
    draw_flag,
    draw_window,
    windows,
)

SHADOW: Colour = (20, 20, 45)
NAVE = 0.5  # height of a church's nave, in wall_height


def backdrop(canvas: Canvas, b: Building) -> None:
    """Draw sky, ground, what grows behind the building, and the building's shadow."""
    sky, ground = COLOURS[b.sky], COLOURS[b.ground]
    print_ = None if b.sky_pattern is None else Pattern(b.sky_pattern, 0.15, 0.76)
    canvas.background(lighter(sky, 0.1), lighter(sky, 0.5), pattern=print_)
    sun = (0.5 + b.light * 0.42, 0.08)
    canvas.glow(sun, radius=0.1, colour=(255, 250, 215))
    canvas.shade(ellipse(sun, 0.065, 0.065), (255, 246, 190))
    if b.cloudy:
        _clouds(canvas, b)
    line = b.ground_y - b.horizon
    _hills(canvas, b, line)
    if b.yard is not None:
        _yard(canvas, b, line)
    tile = None if b.ground_pattern is None else Pattern(b.ground_pattern, 0.11, 0.68)
    field = rectangle(-0.05, line, 1.05, 1.05)
    canvas.part(field, Paint(lighter(ground, 0.15), darker(ground, 0.75), pattern=tile), Ink.DETAIL)
    left, _, right = doorway(b)
    path = [(left, b.ground_y), (right, b.ground_y), (right + 0.06, 1.02), (left - 0.06, 1.02)]
    canvas.shade(path, mix(ground, (235, 215, 180), 0.75), opacity=0.9)
    near, far, slant = b.half_width, b.ground_y + 0.1, -b.light * 0.22
    x, foot = b.centre_x, b.ground_y - 0.01
    cast = [(x - near, foot), (x + near, foot), (x + near + slant, far), (x - near + slant, far)]
    canvas.shade(cast, SHADOW, soft=0.012, opacity=0.5)


def _clouds(canvas: Canvas, b: Building) -> None:
    x, y = b.cloud_x, b.cloud_y
    for at, size in (((x, y), 0.07), ((x + 0.1, y + 0.025), 0.05), ((x - 0.1, y + 0.03), 0.045)):
        canvas.shade(ellipse(at, size * 1.5, size), (252, 252, 255), soft=0.005, opacity=0.85)


def _hills(canvas: Canvas, b: Building, line: float) -> None:
    """Far hills, which one who draws leaves out."""
    near = mix(COLOURS[b.ground], COLOURS[b.sky], 0.35)
    low, high = line - 0.12, line - 0.34
    middle = 0.5 + b.light * 0.28
    for at, top, wide, share in ((1 - middle, low - 0.14, 0.55, 0.3), (middle, high, 0.6, 0.0)):
        hill = curve((at - wide, line + 0.01), (at, 2 * top - line), (at + wide, line + 0.01))
        canvas.shade(hill, darker(lighter(near, share), 0.8))


def _yard(canvas: Canvas, b: Building, line: float) -> None:
    """A fence or a hedge along the horizon, in one outline."""
    top: Outline = []
    if b.yard == "hedge":
        for i in range(7):
            top += arc((0.075 + i * 0.145, line - 0.05), 0.085, 0.07, start_deg=195, end_deg=345)
        paint, ink = Paint((75, 130, 65), (30, 75, 45)), Ink.TONE
    else:
        for i in range(10):
            x = i * 0.12 - 0.04
            top += [(x - 0.03, line - 0.06), (x - 0.03, line - 0.1), (x, line - 0.13)]
            top += [(x + 0.03, line - 0.1), (x + 0.03, line - 0.06)]
        paint, ink = Paint((245, 240, 228), (180, 165, 150)), Ink.DETAIL
    canvas.part([(-0.06, line + 0.02), *top, (1.06, line + 0.02)], paint, ink)


def figure(canvas: Canvas, b: Building) -> None:
    """Draw the building from the back to the front."""
    _BODIES[b.form](canvas, b)
    for window in windows(b):
        draw_window(canvas, b, window)
    draw_door(canvas, b)
    if b.form in FLAGGED:
        draw_flag(canvas, b)


def _stone(b: Building, shade: float) -> Paint:
    wall = darker(COLOURS[b.wall], shade)
    origin = (b.centre_x - b.half_width, b.ground_y)
    if b.wall_pattern is None:
        return Paint(lighter(wall, 0.18), darker(wall, 0.85))
    size = 0.15 if b.wall_pattern == "tiled" else 0.16
    print_ = Pattern(b.wall_pattern, size, 0.66, origin)
    return Paint(lighter(wall, 0.18), darker(wall, 0.85), pattern=print_)


def _walls(
    canvas: Canvas, b: Building, ends: tuple[float, float], height: float, teeth: int = 0
) -> None:
    """Draw a wall between two ends, in half_width from the middle, and its shady side."""
    left, right = (b.centre_x + end * b.half_width for end in ends)
    top, foot = b.ground_y - height, b.ground_y
    outline: Outline = [(left, foot)]
    step = (right - left) / (2 * teeth - 1) if teeth else 0.0
    for i in range(teeth):
        x = left + 2 * i * step
        outline += [(x, top + 0.045), (x, top), (x + step, top), (x + step, top + 0.045)]
    if not teeth:
        outline += [(left, top), (right, top)]
    back = b.form in ("castle", "church") and not teeth and height < b.wall_height
    canvas.part([*outline, (right, foot)], _stone(b, 0.88 if back else 1.0))
    top += 0.045 if teeth else 0.0
    dark, reach = (left, right) if b.light > 0 else (right, left), 0.36
    inner = dark[0] + (dark[1] - dark[0]) * reach
    low = dark[0] + (dark[1] - dark[0]) * reach * 0.6
    canvas.shade([(dark[0], top), (inner, top), (low, foot), (dark[0], foot)], SHADOW, opacity=0.3)


def _roof(canvas: Canvas, b: Building, right: Outline, left: Outline | None = None) -> None:
    """Draw the roof from its tip over points of its right and left side, and its shady side."""
    peak, (west, east) = tip(b), eaves(b)
    colour = COLOURS[b.roof]
    tiles = None
    if b.roof_pattern is not None:
        tiles = Pattern(b.roof_pattern, 0.095, 0.64, (peak[0], west[1]))
    outline = [peak, *right, east, west, *(left or [])]
    canvas.part(outline, Paint(lighter(colour, 0.2), darker(colour, 0.82), pattern=tiles), Ink.TONE)
    half = b.half_width * FORMS[b.form].core
    under = [(b.centre_x - half, west[1]), (b.centre_x + half, west[1])]
    band = [*under, (under[1][0], west[1] + 0.035), (under[0][0], west[1] + 0.035)]
    canvas.shade(band, SHADOW, soft=0.006, opacity=0.45)
    middle = (b.centre_x + b.light * half * 0.3, west[1])
    side = [peak, *right, east, middle] if b.light < 0 else [peak, middle, west, *(left or [])]
    canvas.shade(side, SHADOW, opacity=0.28)


def _house(canvas: Canvas, b: Building) -> None:
    (x, y), side = tip(b), -b.light
    at = b.centre_x + side * b.half_width * 0.6
    # The roof's line on that side, from its tip to where the wall begins.
    corner = eaves(b)[0 if side < 0 else 1]
    share = (at - x) / (corner[0] - x)
    brick = mix(darker(COLOURS[b.wall], 0.7), (150, 80, 65), 0.5)
    high = y + share * b.roof_height - 0.12
    chimney = rectangle(at - 0.045, high, at + 0.045, corner[1])
    canvas.part(chimney, Paint(brick, darker(brick, 0.7), pattern=Pattern("tiled", 0.12, 0.85)))
    _walls(canvas, b, (-1, 1), b.wall_height)
    _roof(canvas, b, [])


def _barn(canvas: Canvas, b: Building) -> None:
    (x, y), (left, right) = tip(b), eaves(b)
    _walls(canvas, b, (-1, 1), b.wall_height)
    bend = y + b.roof_height * 0.42
    low = [x + (b.centre_x - x) * 0.45 + side * b.half_width * 0.78 for side in (-1, 1)]
    _roof(canvas, b, [(low[1], bend)], [(low[0], bend)])
    inner = [
        (b.centre_x + (px - b.centre_x) * 0.78, left[1] + (py - left[1]) * 0.78)
        for px, py in ((left), (low[0], bend), (x, y), (low[1], bend), (right))
    ]
    wall = COLOURS[b.wall]
    canvas.part(inner, Paint(lighter(wall, 0.1), wall, pattern=_stone(b, 1.0).pattern), Ink.DETAIL)


def _church(canvas: Canvas, b: Building) -> None:
    x, w, foot = b.centre_x, b.half_width, b.ground_y
    top, roof = foot - b.wall_height * NAVE, COLOURS[b.roof]
    nave_roof = [(x, foot - b.wall_height * 0.96), (x + w * 1.06, top), (x - w * 1.06, top)]
    _walls(canvas, b, (-1, 1), b.wall_height * NAVE)
    canvas.part(nave_roof, Paint(darker(roof, 0.85), darker(roof, 0.6)), Ink.TONE)
    core = FORMS[b.form].core
    _walls(canvas, b, (-core, core), b.wall_height)
    _roof(canvas, b, [])
    (x, y), bright = tip(b), b.sky not in ("yellow", "orange", "pink")
    trim = (250, 240, 190) if bright else (85, 55, 45)
    canvas.stroke([(x, y + 0.01), (x, y - 0.085)], trim, width=0.026, ink=Ink.CONTOUR)
    canvas.stroke([(x - 0.04, y - 0.055), (x + 0.04, y - 0.055)], trim, width=0.026)


def _castle(canvas: Canvas, b: Building) -> None:
    core = FORMS[b.form].core
    _walls(canvas, b, (-core, core), b.wall_height)
    _roof(canvas, b, [])
    _walls(canvas, b, (-0.8, 0.8), b.wall_height * 0.5, teeth=6)
    for side in (-1, 1):
        outer, inner = side, side * (1 - 2 * FLANK)
        ends = (min(outer, inner), max(outer, inner))
        _walls(canvas, b, ends, b.wall_height * 0.66, teeth=3)


def _tower(canvas: Canvas, b: Building) -> None:
    _walls(canvas, b, (-1, 1), b.wall_height)
    _roof(canvas, b, [])


def _skyscraper(canvas: Canvas, b: Building) -> None:
    (x, y), (left, right) = tip(b), eaves(b)
    _walls(canvas, b, (-1, 1), b.wall_height)
    inward = b.half_width * 0.28
    rising = curve((x, y), (x + inward * 0.4, left[1] - b.roof_height * 0.3), right)
    falling = curve(left, (x - inward * 0.4, left[1] - b.roof_height * 0.3), (x, y))
    _roof(canvas, b, rising[1:-1], falling[-2:0:-1])


_BODIES = {
    "house": _house,
    "barn": _barn,
    "church": _church,
    "castle": _castle,
    "tower": _tower,
    "skyscraper": _skyscraper,
}
