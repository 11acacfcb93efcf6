"""How animals move, and the record that makes them a kind."""

import math
from dataclasses import replace
from random import Random

from featurekit.scenes.kind import Kind, Mover, Range, named, two_places, two_values
from featurekit.scenes.kinds.animals import animal as animals
from featurekit.scenes.kinds.animals import captions as animal_captions
from featurekit.scenes.kinds.animals import looks as animal_looks
from featurekit.scenes.kinds.animals.animal import (
    FRAME,
    PAWED,
    RANGES,
    SPECIES,
    Animal,
    extent,
    fits,
    keypoints,
    shoulder,
)

Pair = tuple[Animal, Animal]


def _checked(before: Animal, after: Animal) -> Pair | None:
    """Both, if all of them is seen before and after."""
    return (before, after) if fits(before) and fits(after) else None


def _slide(animal: Animal, rng: Random, at_least: float) -> Pair | None:
    """Carry the animal to where the frame leaves room."""
    left, top, right, bottom = extent(animal)
    x, y = animal.x, animal.ground
    across = _common(RANGES["x"], (x - left + FRAME, x + 1 - FRAME - right))
    down = _common(RANGES["ground"], (y - top + FRAME, y + 1 - FRAME - bottom))
    places = two_places(rng, across, down, at_least)
    if places is None:
        return None
    before, after = (replace(animal, x=x, ground=y) for x, y in places)
    return _checked(before, after)


def _ball(animal: Animal, rng: Random, at_least: float) -> Pair | None:
    places = two_places(rng, RANGES["ball_x"], RANGES["ball_y"], at_least)
    if animal.ball is None or places is None:
        return None
    before, after = (replace(animal, ball_x=x, ball_y=y) for x, y in places)
    return _checked(before, after)


def _head(animal: Animal, rng: Random, at_least: float) -> Pair | None:
    places = two_places(rng, RANGES["head_x"], RANGES["head_y"], at_least)
    if places is None:
        return None
    before, after = (replace(animal, head_x=x, head_y=y) for x, y in places)
    return _checked(before, after)


def _tail(animal: Animal, rng: Random, at_least: float) -> Pair | None:
    """Swing the tail about its root."""
    angles = _two_angles(rng, SPECIES[animal.species].tail_deg, animal.tail_length, at_least)
    if animal.species == "rabbit" or angles is None:
        return None
    before, after = (replace(animal, tail_deg=angle) for angle in angles)
    return _checked(before, after)


def _ears(animal: Animal, rng: Random, at_least: float) -> Pair | None:
    lengths = two_values(rng, SPECIES[animal.species].ear, at_least)
    if animal.species == "bird" or lengths is None:
        return None
    before, after = (replace(animal, ear_length=length) for length in lengths)
    return _checked(before, after)


def _rise(animal: Animal, rng: Random, at_least: float) -> Pair | None:
    """Stretch the legs: the feet stay. A rabbit sits, its tail would stay too."""
    legs = two_values(rng, RANGES["leg"], at_least)
    if animal.species == "rabbit" or legs is None:
        return None
    before, after = (replace(animal, leg=leg) for leg in legs)
    return _checked(before, after)


def _longer(animal: Animal, rng: Random, at_least: float) -> Pair | None:
    """Stretch the body while its rear end stays: the other travels twice the change.

    A rabbit's head is not at the end of its body.
    """
    lengths = two_values(rng, RANGES["length"], at_least / 2)
    if animal.species == "rabbit" or lengths is None:
        return None
    forward = -1 if animal.turned else 1
    rear = animal.x - forward * animal.length
    before, after = (
        replace(animal, length=length, x=rear + forward * length) for length in lengths
    )
    return _checked(before, after)


def _paw(animal: Animal, rng: Random, at_least: float) -> Pair | None:
    """Raise or lower a fore leg about its shoulder."""
    if animal.species not in PAWED:
        return None
    angles = _two_angles(rng, RANGES["paw_deg"], shoulder(animal)[1] - 0.025, at_least)
    if angles is None:
        return None
    before, after = (replace(animal, paw_deg=angle) for angle in angles)
    return _checked(before, after)


def _two_angles(rng: Random, allowed: Range, arm: float, at_least: float) -> Range | None:
    """Two angles in degrees whose points on a circle of that radius are far enough apart."""
    if at_least > 2 * arm:
        return None
    return two_values(rng, allowed, math.degrees(2 * math.asin(at_least / (2 * arm))))


def _common(first: Range, second: Range) -> Range:
    return max(first[0], second[0]), min(first[1], second[1])


ANIMAL: Kind[Animal] = Kind(
    name="animal",
    share=0.2,
    sample=animals.sample,
    fits=fits,
    backdrop=animal_looks.backdrop,
    figure=animal_looks.figure,
    keypoints=keypoints,
    caption=animal_captions.caption,
    movers=(
        Mover("slide", False, 0.22, _slide, named(keypoints, "nose")),
        Mover("ball", False, 0.35, _ball, named(keypoints, "ball")),
        Mover("head", True, 0.2, _head, named(keypoints, "nose")),
        Mover("tail", True, 0.25, _tail, named(keypoints, "tail")),
        Mover("ears", True, 0.2, _ears, named(keypoints, "ear")),
        Mover("rise", True, 0.19, _rise, named(keypoints, "eye", "rump")),
        Mover("longer", True, 0.2, _longer, named(keypoints, "eye")),
        Mover("paw", True, 0.22, _paw, named(keypoints, "fore_foot")),
    ),
)
