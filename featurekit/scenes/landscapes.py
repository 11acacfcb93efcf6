"""Landscapes: sky with sun or moon, mountains, a hill, a house and a tree."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType

from featurekit.scenes.canvas import Canvas
from featurekit.scenes.colours import COLOURS, Colour, darker, lighter, mix
from featurekit.scenes.geometry import Point, curve, ellipse, rectangle
from featurekit.scenes.kind import Range, within
from featurekit.scenes.wording import article

RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "sun_x": (0.12, 0.88),
        "sun_y": (0.1, 0.3),
        "sun_radius": (0.06, 0.1),
        "peak_x": (0.2, 0.8),
        "peak_y": (0.22, 0.45),
        "mountain_width": (0.28, 0.42),
        "second_peak": (-0.35, 0.35),
        "horizon": (0.58, 0.7),
        "hill": (-0.06, 0.06),
        "house_x": (0.2, 0.8),
        "house_y": (0.76, 0.9),
        "house_width": (0.11, 0.17),
        "house_height": (0.13, 0.19),
        "roof_height": (0.09, 0.15),
        "tree_x": (0.1, 0.9),
        "tree_y": (0.76, 0.92),
        "tree_height": (0.22, 0.38),
    }
)

APART = 0.28  # a tree nearer to the house's middle than this ...
ASIDE = 0.32  # ... is put this far from it
FOOT = 0.85  # where the mountain's flanks end, behind the hill


@dataclass(frozen=True)
class Landscape:
    """Parameters of a landscape; lengths are fractions of the picture's side."""

    sky: str
    sun_x: float
    sun_y: float
    sun_radius: float
    moon: bool
    peak_x: float
    peak_y: float
    mountain_width: float  # half of it, at its foot
    mountain_colour: str
    snow: bool
    second_peak: float  # where the mountain behind has its peak, from ``peak_x``
    mountain: bool
    horizon: float
    hill: float  # how much the horizon falls to the right
    ground: str
    house_x: float  # middle
    house_y: float  # ground
    house_width: float  # half of it
    house_height: float  # of the wall
    roof_height: float
    wall: str
    roof: str
    house: bool
    tree_x: float
    tree_y: float  # ground
    tree_height: float
    tree_form: str  # round or pine
    tree_colour: str
    tree: bool


def sample(rng: Random) -> Landscape:
    """Draw a landscape; the order of the draws is part of what a seed means."""

    def uniform(name: str) -> float:
        return rng.uniform(*RANGES[name])

    drawn = Landscape(
        sky=rng.choice(["blue", "orange", "pink", "purple", "gray"]),
        sun_x=uniform("sun_x"),
        sun_y=uniform("sun_y"),
        sun_radius=uniform("sun_radius"),
        moon=rng.random() < 0.25,
        peak_x=uniform("peak_x"),
        peak_y=uniform("peak_y"),
        mountain_width=uniform("mountain_width"),
        mountain_colour=rng.choice(["gray", "brown", "blue", "purple"]),
        snow=rng.random() < 0.6,
        second_peak=uniform("second_peak"),
        mountain=rng.random() < 0.8,
        horizon=uniform("horizon"),
        hill=uniform("hill"),
        ground=rng.choice(["green", "yellow", "white"]),
        house_x=uniform("house_x"),
        house_y=uniform("house_y"),
        house_width=uniform("house_width"),
        house_height=uniform("house_height"),
        roof_height=uniform("roof_height"),
        wall=rng.choice(["white", "yellow", "blue", "pink", "gray"]),
        roof=rng.choice(["red", "brown", "black", "purple"]),
        house=rng.random() < 0.75,
        tree_x=uniform("tree_x"),
        tree_y=uniform("tree_y"),
        tree_height=uniform("tree_height"),
        tree_form=rng.choice(["round", "pine"]),
        tree_colour=rng.choice(["green", "orange", "pink"]),
        tree=rng.random() < 0.8,
    )
    return _settled(drawn)


def _settled(land: Landscape) -> Landscape:
    """Keep house and tree apart, and have at least one of them."""
    if land.house and land.tree and abs(land.house_x - land.tree_x) < APART:
        aside = ASIDE if land.house_x < 0.5 else -ASIDE
        return replace(land, tree_x=land.house_x + aside)
    return land if land.house or land.tree else replace(land, tree=True)


def fits(land: Landscape) -> bool:
    """Whether every length lies in the range it is drawn from, and house and tree are apart."""
    return land == _settled(land) and all(
        within(getattr(land, name), ends) for name, ends in RANGES.items()
    )


def draw(canvas: Canvas, land: Landscape) -> None:
    """Draw a landscape from the back to the front."""
    sky = COLOURS[land.sky]
    canvas.background(mix(sky, (255, 255, 255), 0.15), lighter(sky, 0.75))
    _sun(canvas, land)
    if land.mountain:
        _mountains(canvas, land)
    _hill(canvas, land)
    standing: list[tuple[float, Callable[[Canvas, Landscape], None]]] = []
    if land.tree:
        standing.append((land.tree_y, _tree))
    if land.house:
        standing.append((land.house_y, _house))
    for _, part in sorted(standing, key=lambda item: item[0]):
        part(canvas, land)


def _sun(canvas: Canvas, land: Landscape) -> None:
    centre, radius = (land.sun_x, land.sun_y), land.sun_radius
    colour: Colour = (245, 245, 230) if land.moon else (255, 215, 80)
    canvas.glow(centre, radius=radius * 1.6, colour=colour)
    canvas.part(ellipse(centre, radius, radius), lighter(colour, 0.4), fade=colour)


def _mountains(canvas: Canvas, land: Landscape) -> None:
    rock, x, y, width = COLOURS[land.mountain_colour], land.peak_x, land.peak_y, land.mountain_width
    (x2, y2), w2 = second_peak(land), width * 0.9
    behind = [(x2, y2), (x2 + w2, 0.8), (x2 - w2, 0.8)]
    canvas.part(behind, lighter(rock, 0.35), fade=lighter(rock, 0.1))
    front = [(x, y), (x + width, FOOT), (x - width, FOOT)]
    canvas.part(front, lighter(rock, 0.15), fade=darker(rock, 0.8))
    shadow = [(x, y), (x + width, FOOT), (x + width * 0.15, FOOT)]
    canvas.shade(shadow, darker(rock, 0.8), fade=darker(rock, 0.65))
    if land.snow:
        depth, side = (FOOT - y) * 0.22, width * 0.22
        right = [(x + side, y + depth), (x + side * 0.4, y + depth * 0.75)]
        left = [(x - width * 0.5 * 0.22, y + depth * 0.75), (x - side, y + depth)]
        cap = [(x, y), *right, (x, y + depth * 1.1), *left]
        canvas.part(cap, (250, 250, 252), fade=(225, 230, 240))


def second_peak(land: Landscape) -> Point:
    """The top of the mountain behind."""
    return land.peak_x + land.second_peak, land.peak_y + 0.12


def _hill(canvas: Canvas, land: Landscape) -> None:
    y, fall, ground = land.horizon, land.hill, COLOURS[land.ground]
    top = curve((-0.05, y + fall), (0.5, y - 0.06 - fall), (1.05, y - fall), pieces=24)
    hill = [*top, (1.05, 1.05), (-0.05, 1.05)]
    canvas.part(hill, lighter(ground, 0.25), fade=darker(ground, 0.75))


def ridge(land: Landscape, x: float) -> float:
    """How low the hill's top is at ``x`` in [0, 1]: the curve runs evenly from left to right."""
    y, fall, t = land.horizon, land.hill, (x + 0.05) / 1.1
    left, middle, right = y + fall, y - 0.06 - fall, y - fall
    return (1 - t) ** 2 * left + 2 * t * (1 - t) * middle + t**2 * right


def _tree(canvas: Canvas, land: Landscape) -> None:
    x, y, height = land.tree_x, land.tree_y, land.tree_height
    leaves, fork = COLOURS[land.tree_colour], y - height * 0.5
    trunk = [(x - 0.022, fork), (x + 0.022, fork), (x + 0.03, y), (x - 0.03, y)]
    canvas.part(trunk, (120, 80, 50), fade=(85, 55, 35))
    if land.tree_form == "pine":
        for low, top, width in ((0.2, 0.62, 0.42), (0.42, 0.82, 0.34), (0.62, 1.0, 0.25)):
            foot, half = y - height * low, height * width
            tier = [(x, y - height * top), (x + half, foot), (x - half, foot)]
            canvas.part(tier, lighter(leaves, 0.15), fade=darker(leaves, 0.65))
        return
    crown = ellipse((x, y - height * 0.68), height * 0.36, height * 0.32)
    light = (x - height * 0.1, y - height * 0.8)
    canvas.part(crown, lighter(leaves, 0.3), fade=darker(leaves, 0.65), light=light)


def _house(canvas: Canvas, land: Landscape) -> None:
    x, y, w, h = land.house_x, land.house_y, land.house_width, land.house_height
    wall, roof = COLOURS[land.wall], COLOURS[land.roof]
    canvas.part(rectangle(x - w, y - h, x + w, y), wall, fade=darker(wall, 0.8))
    gable = [(x, y - h - land.roof_height), (x + w * 1.25, y - h), (x - w * 1.25, y - h)]
    canvas.part(gable, lighter(roof, 0.1), fade=darker(roof, 0.75))
    door = rectangle(x - w * 0.65, y - h * 0.6, x - w * 0.15, y)
    canvas.part(door, (110, 70, 45))
    window = rectangle(x + w * 0.15, y - h * 0.7, x + w * 0.7, y - h * 0.3)
    canvas.part(window, (180, 220, 245), fade=(120, 170, 215))


def keypoints(land: Landscape) -> dict[str, Point]:
    """Where the named parts are; parts that are not there have none."""
    points = {"sun": (land.sun_x, land.sun_y)}
    if land.mountain:
        points["peak"] = (land.peak_x, land.peak_y)
    if land.house:
        x, y, w, h = land.house_x, land.house_y, land.house_width, land.house_height
        points |= {
            "roof": (x, y - h - land.roof_height),
            "wall_bl": (x - w, y),
            "wall_br": (x + w, y),
            "door": (x - w * 0.4, y - h * 0.3),
            "window": (x + w * 0.42, y - h * 0.5),
        }
    if land.tree:
        points["tree_base"] = (land.tree_x, land.tree_y)
        points["tree_mid"] = (land.tree_x, land.tree_y - land.tree_height * 0.65)
    return points


def caption(land: Landscape, rng: Random) -> str:
    """Say what is seen, in any order; sky and ground are left to chance."""
    things = []
    if land.mountain:
        snowy = "snowy " if land.snow else ""
        things.append(article(f"{land.mountain_colour} {snowy}mountain"))
    if land.house:
        things.append(f"{article(land.wall)} house with {article(land.roof)} roof")
    if land.tree:
        things.append(article(f"{land.tree_colour} {land.tree_form} tree"))
    things.append("the moon" if land.moon else "the sun")
    rng.shuffle(things)
    text = "a landscape with " + " and ".join(things)
    if rng.random() < 0.5:
        text += f" under {article(land.sky)} sky"
    if rng.random() < 0.3:
        text += f" on {land.ground} ground"
    return text
