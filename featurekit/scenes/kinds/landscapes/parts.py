"""How a landscape looks, from the back to the front, and where its named points are."""

import math

from featurekit.scenes.canvas import Canvas, Ink, Paint, Pattern
from featurekit.scenes.colours import COLOURS, Colour, darker, lighter, mix
from featurekit.scenes.geometry import Outline, Point, curve, ellipse, rectangle
from featurekit.scenes.kinds.landscapes.landscape import EAVES, FOOT, Landscape

WHITE: Colour = (255, 255, 255)
NIGHT: Colour = (24, 26, 60)
SHADOW: Colour = (30, 30, 45)
STARS = ((0.07, 0.16), (0.24, 0.05), (0.41, 0.14), (0.58, 0.04), (0.74, 0.12), (0.93, 0.06))
PERIODS = {"striped": 0.2, "wavy": 0.16, "checkered": 0.22, "dotted": 0.17}
TIERS = ((0.18, 0.58, 1.0), (0.4, 0.8, 0.85), (0.62, 1.0, 0.68))  # of a pine: foot, top, width


def backdrop(canvas: Canvas, land: Landscape) -> None:
    """Draw sky, sun or moon, mountains and hill."""
    sky = COLOURS[land.sky]
    bands = Pattern(land.bands, 0.24, 0.87) if land.bands else None
    if land.moon:
        canvas.background(mix(sky, NIGHT, 0.7), mix(sky, NIGHT, 0.25), pattern=bands)
        for x, y in STARS:
            canvas.shade(ellipse((x, y), 0.011, 0.011), (250, 248, 225))
    else:
        canvas.background(mix(sky, WHITE, 0.1), lighter(sky, 0.7), pattern=bands)
    _sun(canvas, land)
    if land.clouds:
        _clouds(canvas, land)
    if land.mountain:
        _mountains(canvas, land)
    _hill(canvas, land)


def figure(canvas: Canvas, land: Landscape) -> None:
    """Draw house and tree with their shadows."""
    if land.tree:
        _tree(canvas, land)
    if land.house:
        _house(canvas, land)


def sunward(land: Landscape) -> int:
    """The side that the light comes from: -1 or 1."""
    return -1 if land.sun_x < 0.5 else 1


def _sun(canvas: Canvas, land: Landscape) -> None:
    (x, y), radius = (land.sun_x, land.sun_y), land.sun_radius
    if land.moon:
        canvas.glow((x, y), radius=radius * 1.4, colour=(190, 195, 220))
        disc = Paint((250, 248, 232), fade=(215, 215, 215), light=(x, y))
        canvas.part(ellipse((x, y), radius, radius), disc)
        for across, down, size in ((-0.35, -0.25, 0.26), (0.35, 0.1, 0.3), (-0.2, 0.5, 0.2)):
            spot = ellipse((x + across * radius, y + down * radius), size * radius, size * radius)
            canvas.shade(spot, (165, 165, 175))
        return
    canvas.glow((x, y), radius=radius * 1.6, colour=(250, 225, 120))
    for i in range(8):
        canvas.shade(_beam((x, y), radius, math.pi * (i + 0.5) / 4), (250, 234, 120), opacity=0.8)
    canvas.part(ellipse((x, y), radius, radius), Paint((255, 248, 190), (255, 205, 50), (x, y)))


def _beam(centre: Point, radius: float, angle: float) -> Outline:
    spots = ((1.25, -0.25), (1.85, 0.0), (1.25, 0.25))
    return [
        (
            centre[0] + radius * reach * math.cos(angle + turn),
            centre[1] + radius * reach * math.sin(angle + turn),
        )
        for reach, turn in spots
    ]


def _clouds(canvas: Canvas, land: Landscape) -> None:
    """Two clouds that keep off the sun: it is never hidden."""
    grey = (200, 205, 215) if land.moon else WHITE
    for x, y, size in (
        (land.cloud_x, land.cloud_y, 0.075),
        ((land.cloud_x + 0.45) % 1, land.cloud_y * 0.6 + 0.1, 0.055),
    ):
        if math.hypot(x - land.sun_x, y - land.sun_y) < land.sun_radius * 1.3 + size * 2.2:
            continue
        puffs = ((-1.1, 0.25, 0.75), (0.0, -0.1, 1.0), (1.1, 0.2, 0.8))
        for across, down, share in puffs:
            puff = ellipse((x + across * size, y + down * size), size * share, size * share * 0.75)
            canvas.shade(puff, grey, opacity=0.9)


def _mountains(canvas: Canvas, land: Landscape) -> None:
    rock, x, y, width = COLOURS[land.mountain_colour], land.peak_x, land.peak_y, land.mountain_width
    x2, y2 = land.second_x, land.second_y
    behind = [(x2, y2), (x2 + width, FOOT), (x2 - width, FOOT)]
    canvas.part(behind, Paint(lighter(rock, 0.45), fade=lighter(rock, 0.2)), Ink.NONE)
    _dark_side(canvas, land, behind, 0.3)
    front = [(x, y), (x + width, FOOT), (x - width, FOOT)]
    strata = Pattern(land.strata, 0.16, 0.85, (x, y))
    canvas.part(front, Paint(lighter(rock, 0.25), fade=darker(rock, 0.85), pattern=strata))
    if land.snow:
        canvas.shade(_snow(land), (240, 244, 250))
    _dark_side(canvas, land, front, 0.45)


def _dark_side(canvas: Canvas, land: Landscape, outline: Outline, opacity: float) -> None:
    """Shade the flank away from the sun, with a jagged ridge between light and dark."""
    (x, y), (right, _), (left, _) = outline
    side, width, rise = -sunward(land), (right - left) / 2, FOOT - y
    jags = ((0.1, 0.3), (-0.02, 0.45), (0.22, 0.7), (0.12, 1.0))
    middle = [(x + side * width * across, y + rise * down) for across, down in reversed(jags)]
    canvas.shade([(x, y), (x + side * width, FOOT), *middle], SHADOW, opacity=opacity)


def _snow(land: Landscape) -> Outline:
    x, y, width = land.peak_x, land.peak_y, land.mountain_width
    depth, teeth = (FOOT - y) * 0.3, ((1.0, 1.0), (0.6, 0.72), (0.25, 1.1), (-0.2, 0.75))
    rim = [(x + width * 0.3 * across, y + depth * down) for across, down in teeth]
    return [(x, y), *rim, (x - width * 0.3 * 0.55, y + depth * 1.05), (x - width * 0.3, y + depth)]


def _hill(canvas: Canvas, land: Landscape) -> None:
    y, fall, ground = land.horizon, land.hill, COLOURS[land.ground]
    top = curve((-0.05, y + fall), (0.5, y - 0.06 - fall), (1.05, y - fall), pieces=24)
    bright, dim = (0.3, 0.8) if not land.moon else (0.0, 0.6)
    field = Pattern(land.field, PERIODS[land.field], 0.82)
    paint = Paint(lighter(ground, bright), fade=darker(ground, dim), pattern=field)
    canvas.part([*top, (1.05, 1.05), (-0.05, 1.05)], paint, Ink.DETAIL)


def _tree(canvas: Canvas, land: Landscape) -> None:
    x, y = land.tree_x, land.tree_y
    away, leaves = -sunward(land), COLOURS[land.tree_colour]
    fallen = ellipse((x + away * 0.05, y + 0.01), land.tree_width * 1.05, 0.035)
    canvas.shade(fallen, SHADOW, soft=0.01, opacity=0.55)
    _trunk(canvas, land)
    leafy = Pattern(land.leaves, 0.15, 0.84, (x, y))
    bright, dim = lighter(leaves, 0.1), darker(leaves, 0.6)
    if land.tree_form == "pine":
        for foot, tip, share in TIERS:
            half = land.tree_width * share
            tier = [bent(land, 0, tip), bent(land, half, foot), bent(land, -half, foot)]
            canvas.part(tier, Paint(bright, fade=dim, pattern=leafy), Ink.TONE)
            dark = [tier[0], bent(land, away * half, foot), bent(land, away * half * 0.2, foot)]
            canvas.shade(dark, SHADOW, opacity=0.35)
        return
    light = bent(land, -away * land.tree_width * 0.5, 0.85)
    canvas.part(_crown(land, 0, 1), Paint(bright, dim, light, leafy), Ink.TONE)
    canvas.shade(_crown(land, -away * 0.35, 0.4), lighter(leaves, 0.5), soft=0.008, opacity=0.5)


def _trunk(canvas: Canvas, land: Landscape) -> None:
    heights = (0.0, 0.15, 0.3, 0.5)
    right = [bent(land, 0.034 - 0.02 * t, t) for t in heights]
    left = [bent(land, 0.02 * t - 0.034, t) for t in reversed(heights)]
    canvas.part([*right, *left], Paint((130, 85, 50), fade=(80, 50, 32)))


def _crown(land: Landscape, aside: float, scale: float) -> Outline:
    """A round crown bent with its tree; ``aside`` in half widths, ``scale`` about its middle."""
    middle = 0.66 + 0.3 * abs(aside)
    unit = ellipse((0, 0), scale, scale)
    return [bent(land, land.tree_width * (aside + u), middle - 0.34 * v) for u, v in unit]


def bent(land: Landscape, aside: float, height: float) -> Point:
    """A point of the tree, ``height`` in [0, 1] of it: the higher, the more it leans."""
    x = land.tree_x + aside + land.tree_lean * height * abs(height)
    return x, land.tree_y - land.tree_height * height


def _house(canvas: Canvas, land: Landscape) -> None:
    x, y, w, h = land.house_x, land.house_y, land.house_width, land.house_height
    away, wall, top = -sunward(land), COLOURS[land.wall], y - h
    side = x + away * w
    fallen = [(x - away * w, y), (side, y), (side, y - 0.07), (side + away * 0.09, y + 0.05)]
    canvas.shade([*fallen, (x - away * w * 0.8, y + 0.05)], SHADOW, soft=0.008, opacity=0.5)
    if land.chimney:
        _chimney(canvas, land)
    bricks = None
    if land.wall_print:
        brick = land.wall_print == "brick"
        name, period = ("tiled", 0.15) if brick else ("striped", 0.15)
        bricks = Pattern(name, period, 0.84, (x, y))
    canvas.part(rectangle(x - w, top, x + w, y), Paint(wall, darker(wall, 0.88), pattern=bricks))
    canvas.shade(rectangle(x - w, top, x + w, top + 0.03), SHADOW, opacity=0.4)
    canvas.shade(
        [(side, top), (side, y), (x + away * w * 0.7, y), (x + away * w * 0.7, top)],
        SHADOW,
        opacity=0.3,
    )
    _roof(canvas, land)
    _door(canvas, land)
    _window(canvas, land)


def _roof(canvas: Canvas, land: Landscape) -> None:
    x, roof, half = land.house_x, COLOURS[land.roof], land.house_width * EAVES
    eaves = land.house_y - land.house_height
    tip, sun = (x, eaves - land.roof_height), sunward(land)
    tiles = Pattern("tiled", 0.14, 0.84, tip)
    gable = [tip, (x + half, eaves), (x - half, eaves)]
    canvas.part(gable, Paint(lighter(roof, 0.12), fade=darker(roof, 0.85), pattern=tiles), Ink.TONE)
    canvas.shade([tip, (x + sun * half, eaves), (x + sun * half * 0.1, eaves)], WHITE, opacity=0.25)


def _chimney(canvas: Canvas, land: Landscape) -> None:
    """On the door's side, seen above the roof however flat that is."""
    x = land.house_x + land.door_side * land.house_width * 0.68
    eaves = land.house_y - land.house_height
    top = eaves - land.roof_height * 0.43 - max(land.roof_height * 0.47, 0.06)
    stack = rectangle(x - 0.028, top, x + 0.028, eaves)
    canvas.part(stack, Paint((165, 95, 80), fade=(120, 65, 55)))


def _door(canvas: Canvas, land: Landscape) -> None:
    (left, top), (right, _) = sorted(door_corners(land))
    door = COLOURS[land.door]
    canvas.shade(rectangle(left - 0.02, top - 0.02, right + 0.02, land.house_y), (250, 245, 235))
    leaf = rectangle(left, top, right, land.house_y)
    canvas.part(leaf, Paint(darker(door, 0.85), fade=darker(door, 0.6)), Ink.SOLID)


def door_corners(land: Landscape) -> tuple[Point, Point]:
    """The door's upper corners, the outer one first."""
    middle = land.house_x + land.door_side * land.house_width * 0.46
    top, half = land.house_y - land.house_height * 0.62, land.house_width * 0.29
    return (middle + land.door_side * half, top), (middle - land.door_side * half, top)


def _window(canvas: Canvas, land: Landscape) -> None:
    x, y = window(land)
    half, rise = land.house_width * 0.3, max(land.house_height * 0.19, 0.048)
    canvas.part(
        rectangle(x - half, y - rise, x + half, y + rise), Paint((250, 250, 245)), Ink.DETAIL
    )
    glass = rectangle(x - half + 0.016, y - rise + 0.016, x + half - 0.016, y + rise - 0.016)
    pane: Colour = (255, 225, 110) if land.moon else (60, 100, 150)
    canvas.shade(glass, pane)


def window(land: Landscape) -> Point:
    """The middle of the window."""
    across = land.door_side * land.house_width * 0.46
    return land.house_x - across, land.house_y - land.house_height * 0.52


def keypoints(land: Landscape) -> dict[str, Point]:
    """Where the named parts are; parts that are not there have none."""
    points = {"sun": (land.sun_x, land.sun_y)}
    if land.mountain:
        points["peak"] = (land.peak_x, land.peak_y)
    if land.house:
        x, y, w, side = land.house_x, land.house_y, land.house_width, land.door_side
        eaves, inner = y - land.house_height, door_corners(land)[1]
        points |= {
            "roof": (x, eaves - land.roof_height),
            "eaves_door": (x + side * w * EAVES, eaves),
            "eaves_window": (x - side * w * EAVES, eaves),
            "wall_door": (x + side * w, y),
            "wall_window": (x - side * w, y),
            "door": inner,
            "window": window(land),
        }
    if land.tree:
        points |= {
            "tree_base": (land.tree_x, land.tree_y),
            "tree_mid": bent(land, 0, 0.66),
            "tree_top": bent(land, 0, 1),
        }
    return points
