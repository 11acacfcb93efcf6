"""How faces move, and the record that makes them a kind."""

from dataclasses import replace
from random import Random
from typing import Any, TypeAlias

from featurekit.scenes.geometry import Point
from featurekit.scenes.kind import Kind, Mover, named, two_places, two_values
from featurekit.scenes.kinds.faces import face as faces
from featurekit.scenes.kinds.faces import parts as face_parts
from featurekit.scenes.kinds.faces.face import CORNERS, RANGES, Face

Pair: TypeAlias = tuple[Face, Face]

FLARE = 0.2  # change of ``hair_flare`` when hair is dragged, at least
LEAN = 0.06  # change of ``hat_lean`` when a hat is dragged, at least


def _slide(face: Face, rng: Random, at_least: float) -> Pair | None:
    places = two_places(rng, RANGES["centre_x"], RANGES["centre_y"], at_least)
    if places is None:
        return None
    before, after = (replace(face, centre_x=x, centre_y=y) for x, y in places)
    return before, after


def _longer(face: Face, rng: Random, at_least: float) -> Pair | None:
    """Pull the chin: the head stays as it is from the eyes up."""
    return _two(face, rng, "jaw", at_least)


def _hair(face: Face, rng: Random, at_least: float) -> Pair | None:
    """Pull both tips: down and outwards or up and inwards, and the other ways round."""
    flares = two_values(rng, RANGES["hair_flare"], FLARE)
    pair = _two(face, rng, "hair_length", at_least)
    if face.style != "long" or pair is None or flares is None:
        return None
    before, after = (replace(a, hair_flare=b) for a, b in zip(pair, flares, strict=True))
    return before, after


def _hat(face: Face, rng: Random, at_least: float) -> Pair | None:
    low, high = RANGES["hat_height"]
    heights = two_values(rng, (low, min(high, faces.highest_hat(face))), at_least)
    leans = two_values(rng, RANGES["hat_lean"], LEAN)
    if face.style != "hat" or heights is None or leans is None:
        return None
    before, after = (
        replace(face, hat_height=height, hat_lean=lean)
        for height, lean in zip(heights, leans, strict=True)
    )
    return before, after


def _smile(face: Face, rng: Random, at_least: float) -> Pair | None:
    return _two(replace(face, open_mouth=False), rng, "smile", at_least / CORNERS)


def _eyes(face: Face, rng: Random, at_least: float) -> Pair | None:
    return _two(face, rng, "eye_height", at_least)


def _brows(face: Face, rng: Random, at_least: float) -> Pair | None:
    """Tilt the brows of a bald head: no hair or hat hides them there."""
    pair = _two(replace(face, glasses=False), rng, "brow", at_least)
    return pair if face.style == "bald" else None


def _two(face: Face, rng: Random, name: str, at_least: float) -> Pair | None:
    """The face with two values of one parameter, at least so far apart."""
    values = two_values(rng, RANGES[name], at_least)
    if values is None:
        return None
    changes: list[dict[str, Any]] = [{name: value} for value in values]
    before, after = (replace(face, **change) for change in changes)
    return before, after


def _inner_brow_ends(face: Face) -> tuple[Point, ...]:
    return tuple(faces.brow(face, side)[0] for side in faces.SIDES)


FACE: Kind[Face] = Kind(
    name="face",
    share=0.26,
    sample=faces.sample,
    fits=faces.fits,
    backdrop=face_parts.backdrop,
    figure=face_parts.figure,
    keypoints=faces.keypoints,
    caption=faces.caption,
    movers=(
        Mover("slide", False, 0.28, _slide, named(faces.keypoints, "nose")),
        Mover("longer", True, 0.2, _longer, named(faces.keypoints, "chin")),
        Mover("hair", True, 0.22, _hair, named(faces.keypoints, "hair_l", "hair_r")),
        Mover("hat", True, 0.2, _hat, named(faces.keypoints, "hat")),
        Mover("smile", True, 0.125, _smile, named(faces.keypoints, "mouth_l", "mouth_r")),
        Mover("eyes", False, 0.05, _eyes, named(faces.keypoints, "eye_l", "eye_r")),
        Mover("brows", True, 0.08, _brows, _inner_brow_ends),
    ),
)
