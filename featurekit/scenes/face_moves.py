"""How faces move, and the record that makes them a kind."""

from dataclasses import replace
from random import Random

from featurekit.scenes import faces
from featurekit.scenes.faces import RANGES, Face
from featurekit.scenes.geometry import Point
from featurekit.scenes.kind import Kind, Mover, named, two_places, two_values

BROW_GAP = 0.02  # from the edge of hair or hat down to a brow that is dragged, at least


def _slide(face: Face, rng: Random, at_least: float) -> tuple[Face, Face] | None:
    places = two_places(rng, RANGES["centre_x"], RANGES["centre_y"], at_least)
    if places is None:
        return None
    before, after = (replace(face, centre_x=x, centre_y=y) for x, y in places)
    return before, after


def _longer(face: Face, rng: Random, at_least: float) -> tuple[Face, Face] | None:
    """Pull the chin while the top of the head stays: it travels twice the change of radius."""
    radii = two_values(rng, RANGES["radius_y"], at_least / 2)
    if radii is None:
        return None
    low, high = RANGES["centre_y"]
    top = rng.uniform(low - min(radii), high - max(radii))
    before, after = (replace(face, radius_y=r, centre_y=top + r) for r in radii)
    return before, after


def _smile(face: Face, rng: Random, at_least: float) -> tuple[Face, Face] | None:
    bends = two_values(rng, RANGES["smile"], at_least * 2)
    if bends is None:
        return None
    before, after = (replace(face, smile=bend, open_mouth=False) for bend in bends)
    return before, after


def _eyes(face: Face, rng: Random, at_least: float) -> tuple[Face, Face] | None:
    heights = two_values(rng, RANGES["eye_height"], at_least / face.radius_y)
    if heights is None:
        return None
    before, after = (replace(face, eye_height=height) for height in heights)
    return before, after


def _brows(face: Face, rng: Random, at_least: float) -> tuple[Face, Face] | None:
    tilts = two_values(rng, RANGES["brow"], at_least)
    if tilts is None:
        return None
    before, after = (replace(face, brow=tilt) for tilt in tilts)
    return (before, after) if _brows_are_seen(before) and _brows_are_seen(after) else None


def _brows_are_seen(face: Face) -> bool:
    """Whether hair or hat end above the brows."""
    if face.style == "bald":
        return True
    depth = 0.55 if face.style == "hat" else 1 - face.hair_line
    edge = face.centre_y - face.radius_y * depth + (0.035 if face.style == "hat" else 0.0)
    return all(y > edge + BROW_GAP for _, y in _inner_brow_ends(face))


def _inner_brow_ends(face: Face) -> tuple[Point, ...]:
    reach = face.radius_x * face.eye_distance - face.eye_radius * 1.2
    y = face.centre_y + face.radius_y * face.eye_height - face.eye_radius * 1.6 + face.brow
    return (face.centre_x - reach, y), (face.centre_x + reach, y)


FACE: Kind[Face] = Kind(
    name="face",
    share=0.4,
    sample=faces.sample,
    fits=faces.fits,
    draw=faces.draw,
    keypoints=faces.keypoints,
    caption=faces.caption,
    movers=(
        Mover("slide", False, 0.15, _slide, named(faces.keypoints, "nose")),
        Mover("longer", True, 0.13, _longer, named(faces.keypoints, "chin")),
        Mover("smile", True, 0.06, _smile, named(faces.keypoints, "mouth_l", "mouth_r")),
        Mover("eyes", False, 0.04, _eyes, named(faces.keypoints, "eye_l", "eye_r")),
        Mover("brows", True, 0.035, _brows, _inner_brow_ends),
    ),
)
