"""Animals from the side: a cat, a dog, a rabbit or a bird on a floor before a wall."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from featurekit.scenes.geometry import Point
from featurekit.scenes.kind import Range, within

RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "x": (0.3, 0.7),
        "ground": (0.72, 0.94),
        "length": (0.14, 0.25),
        "girth": (0.09, 0.12),
        "leg": (0.09, 0.29),
        "head_x": (-0.03, 0.07),
        "head_y": (-0.04, 0.17),
        "head_size": (0.12, 0.15),
        "ear_tilt_deg": (5.0, 30.0),
        "paw_deg": (0.0, 65.0),
        "ball_x": (0.1, 0.9),
        "ball_y": (0.78, 0.91),
        "horizon": (0.52, 0.66),
    }
)

FURS = ("orange", "brown", "black", "white", "gray", "yellow")
FEATHERS = ("red", "blue", "yellow", "green", "white", "black")
FRAME = 0.025  # from the frame to the outermost points of an animal, at least
PAWED = ("cat", "dog")  # raise a fore leg
LAMPS: Range = (0.2, 0.8)
BALL = 0.07  # radius
CLEAR = 0.02  # from a ball, or from the head to a raised paw, at least


@dataclass(frozen=True)
class Species:
    """What sets a species apart; places on the head are in its radii: forward, up."""

    coats: tuple[str, ...]
    ear: Range  # length; a bird's is not drawn
    tail: Range  # length; a rabbit's is not drawn
    tail_deg: Range  # above the horizontal
    eye: Point
    nose: Point
    ear_root: Point


SPECIES: Mapping[str, Species] = MappingProxyType(
    {
        "cat": Species(
            FURS, (0.09, 0.14), (0.2, 0.3), (-5.0, 95.0), (0.5, 0.08), (0.12, -0.3), (-0.6, 0.5)
        ),
        "dog": Species(
            FURS, (0.12, 0.2), (0.17, 0.27), (-20.0, 85.0), (0.3, 0.25), (1.4, -0.16), (-0.35, 0.65)
        ),
        "rabbit": Species(
            FURS, (0.12, 0.34), (0.05, 0.06), (0.0, 10.0), (0.3, 0.18), (0.98, -0.2), (-0.3, 0.7)
        ),
        "bird": Species(
            FEATHERS, (0.0, 0.1), (0.14, 0.24), (-25.0, 40.0), (0.2, 0.2), (1.75, -0.12), (0.0, 0.8)
        ),
    }
)

ALIKE = frozenset(
    {
        ("orange", "red"),
        ("orange", "yellow"),
        ("yellow", "orange"),
        ("white", "yellow"),
        ("red", "pink"),
        ("red", "orange"),
        ("blue", "cyan"),
        ("blue", "purple"),
        ("green", "cyan"),
    }
)
"""Coats that are hard to tell from a wall or a floor of another colour."""

WALLS = ("blue", "green", "pink", "purple", "cyan", "yellow", "red")
FLOORS = ("green", "gray", "brown", "yellow", "orange", "purple")
CLOTHS = ("red", "blue", "green", "yellow", "purple", "pink")


@dataclass(frozen=True)
class Animal:
    """Parameters of an animal; lengths are fractions of the picture's side."""

    species: str
    turned: bool  # looks to the left
    x: float  # middle of the body
    ground: float  # where its feet are
    length: float  # half of the body
    girth: float  # half of the body's thickness
    leg: float
    head_x: float  # from the end of the body forward
    head_y: float  # from the back up
    head_size: float  # radius
    ear_length: float
    ear_tilt_deg: float  # from the vertical
    tail_length: float
    tail_deg: float
    paw_deg: float  # how far a fore leg is raised; only a cat's or a dog's
    coat: str
    print_name: str | None  # striped or dotted
    socks: bool  # white paws, or a white end of a bird's tail
    collar: str | None
    eye: str
    ball: str | None
    ball_x: float
    ball_y: float
    wall: str
    wall_texture: str | None
    floor: str
    floor_texture: str | None
    horizon: float
    lamp_x: float  # where the light falls on the wall


def sample(rng: Random) -> Animal:
    """Draw an animal, again until it fits into the frame."""
    while True:
        animal = _drawn(rng)
        if fits(animal):
            return animal


def _drawn(rng: Random) -> Animal:
    name = rng.choice(list(SPECIES))
    species = SPECIES[name]
    raised = name in PAWED and rng.random() < 0.4
    lengths = {key: rng.uniform(*ends) for key, ends in RANGES.items()}
    lengths["paw_deg"] *= raised
    return Animal(
        species=name,
        turned=rng.random() < 0.5,
        ear_length=rng.uniform(*species.ear),
        tail_length=rng.uniform(*species.tail),
        tail_deg=rng.uniform(*species.tail_deg),
        coat=rng.choice(species.coats),
        print_name=rng.choice([None, "striped", "dotted"]),
        socks=rng.random() < 0.4,
        collar=rng.choice([None, *CLOTHS]),
        eye=rng.choice(["green", "blue", "yellow", "brown"]),
        ball=rng.choice([None, None, None, *CLOTHS[:4]]),
        wall=rng.choice(WALLS),
        wall_texture=rng.choice([None, "striped", "dotted", "checkered", "wavy"]),
        floor=rng.choice(FLOORS),
        floor_texture=rng.choice([None, "checkered", "tiled", "striped"]),
        lamp_x=rng.uniform(*LAMPS),
        **lengths,
    )


def fits(animal: Animal) -> bool:
    """Whether every length is in range, all is seen, and it differs from what is behind it."""
    species = SPECIES[animal.species]
    lengths = all(within(getattr(animal, name), ends) for name, ends in RANGES.items())
    own = (
        within(animal.ear_length, species.ear)
        and within(animal.tail_length, species.tail)
        and within(animal.tail_deg, species.tail_deg)
        and within(animal.lamp_x, LAMPS)
        and (animal.paw_deg == 0 or animal.species in PAWED)
    )
    return lengths and own and _coloured(animal) and _seen(animal)


def _coloured(animal: Animal) -> bool:
    coat, behind = animal.coat, (animal.wall, animal.floor)
    if coat not in SPECIES[animal.species].coats or coat == animal.collar:
        return False
    distinct = not any(coat == other or (coat, other) in ALIKE for other in behind)
    return distinct and animal.wall != animal.floor and animal.ball not in (coat, animal.floor)


def _seen(animal: Animal) -> bool:
    """Whether the frame, the ball and the head leave every named point to be seen."""
    left, top, right, bottom = extent(animal)
    if min(left, top) < FRAME or max(right, bottom) > 1 - FRAME:
        return False
    if animal.paw_deg > 0:
        (x, y), paw = head(animal), fore_foot(animal)
        if math.dist((x + animal.head_size * 0.4, y), paw) < animal.head_size * 1.3 + CLEAR:
            return False
    if animal.ball is None:
        return True
    points = keypoints(animal)
    ball = points.pop("ball")
    return animal.ball_y + BALL > animal.ground and all(
        math.dist(ball, point) > BALL + CLEAR for point in points.values()
    )


def placed(animal: Animal, forward: float, up: float) -> Point:
    """A point of the picture, from one counted from the ground below the body's middle."""
    return animal.x + (-forward if animal.turned else forward), animal.ground - up


def back(animal: Animal) -> float:
    """How high the back is above the ground."""
    return animal.leg + 2 * animal.girth


def head(animal: Animal) -> Point:
    """The head's middle: forward, up."""
    before = animal.length * (0.75 if animal.species == "rabbit" else 1.0)
    return before + animal.head_x, back(animal) + animal.head_y


def on_head(animal: Animal, place: Point) -> Point:
    """A place on the head in its radii, as forward, up of the whole animal."""
    (x, y), size = head(animal), animal.head_size
    return x + place[0] * size, y + place[1] * size


def ear_tip(animal: Animal) -> Point:
    """The tip of the ear at the back: forward, up."""
    x, y = on_head(animal, SPECIES[animal.species].ear_root)
    angle, length = math.radians(animal.ear_tilt_deg), animal.ear_length
    down = -1 if animal.species == "dog" else 1
    return x - length * math.sin(angle), y + length * math.cos(angle) * down


def tail_root(animal: Animal) -> Point:
    """Where the tail begins: forward, up."""
    if animal.species == "rabbit":
        return -animal.length * 0.95, 0.15
    drop = animal.girth * (0.9 if animal.species == "bird" else 0.45)
    return 0.02 - animal.length, back(animal) - drop


def tail_point(animal: Animal, share: float, bend_deg: float) -> Point:
    """A point of the tail: forward, up; ``bend_deg`` is below the line from root to tip."""
    (x, y), angle = tail_root(animal), math.radians(animal.tail_deg - bend_deg)
    reach = animal.tail_length * share
    return x - reach * math.cos(angle), y + reach * math.sin(angle)


def shoulder(animal: Animal) -> Point:
    """The pivot of the fore leg: forward, up."""
    return animal.length - 0.075, animal.leg + animal.girth * 0.7


def fore_foot(animal: Animal) -> Point:
    """Where the near fore foot is: forward, up."""
    if animal.species == "rabbit":
        return animal.length * 0.75, 0.03
    if animal.species == "bird":
        return animal.length * 0.35, 0.015
    (x, y), angle = shoulder(animal), math.radians(animal.paw_deg)
    reach = y - 0.025
    return x + reach * math.sin(angle), y - reach * math.cos(angle)


def _hind_foot(animal: Animal) -> Point:
    if animal.species == "rabbit":
        return 0.03 - animal.length * 0.5, 0.03
    if animal.species == "bird":
        return -animal.length * 0.05, 0.015
    return 0.06 - animal.length, 0.025


def keypoints(animal: Animal) -> dict[str, Point]:
    """Where the named parts are; a bird has no ear, and not all have a ball."""
    species = SPECIES[animal.species]
    points = {
        "eye": on_head(animal, species.eye),
        "nose": on_head(animal, species.nose),
        "rump": tail_root(animal),
        "tail": tail_point(animal, 1.0, 0.0),
        "fore_foot": fore_foot(animal),
        "hind_foot": _hind_foot(animal),
    }
    if animal.species != "bird":
        points["ear"] = ear_tip(animal)
    named = {name: placed(animal, *point) for name, point in points.items()}
    if animal.ball is not None:
        named["ball"] = (animal.ball_x, animal.ball_y)
    return named


def extent(animal: Animal) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the animal."""
    (x, y), size, length = head(animal), animal.head_size, animal.length
    muzzle = {"cat": 1.35, "dog": 1.65, "rabbit": 1.15, "bird": 1.0}[animal.species]
    toes, tail = fore_foot(animal)[0] + 0.065, tail_point(animal, 1.0, 0.0)
    local = [(x + size * muzzle, y + size), (x - size * 1.1, y), (toes, 0.0)]
    local += [(-length - (0.08 if animal.species == "rabbit" else 0.03), 0.0), (length + 0.01, 0.0)]
    if animal.species == "bird":
        local += [(tail[0], tail[1] + 0.07), (tail[0] - 0.04, tail[1] - 0.07)]
    points = [point for name, point in keypoints(animal).items() if name != "ball"]
    xs, ys = zip(*points, *(placed(animal, *point) for point in local), strict=True)
    return min(xs), min(ys), max(xs), max(ys)
