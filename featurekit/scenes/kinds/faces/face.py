"""Faces: what a face is made of, where its parts are, and how one describes it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType

from featurekit.scenes.colours import SKINS
from featurekit.scenes.geometry import Point
from featurekit.scenes.kind import Range, within
from featurekit.scenes.wording import article, on_background

SMILES: tuple[Range, ...] = ((0.062, 0.095), (-0.008, 0.008), (-0.09, -0.06))

RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "centre_x": (0.35, 0.65),
        "centre_y": (0.38, 0.49),
        "radius_x": (0.19, 0.24),
        "radius_y": (0.19, 0.25),
        "jaw": (0.23, 0.435),
        "smile": (SMILES[2][0], SMILES[0][1]),
        "mouth_width": (0.46, 0.6),
        "mouth_height": (0.5, 0.58),
        "eye_distance": (0.43, 0.49),
        "eye_height": (-0.05, 0.01),
        "eye_radius": (0.045, 0.056),
        "look": (-0.3, 0.3),
        "brow": (-0.045, 0.04),
        "hair_line": (0.15, 0.36),
        "hair_length": (0.18, 0.42),
        "hair_flare": (1.06, 1.4),
        "hat_height": (0.11, 0.325),
        "hat_lean": (-0.07, 0.07),
        "period": (0.18, 0.27),
    }
)

STYLES = ("short", "long", "bald", "hat")
HAIRS = ("brown", "black", "yellow", "red", "gray", "orange", "white")
HATS = ("red", "blue", "green", "purple", "yellow", "black")
EYES = ("blue", "green", "brown", "black")
SHIRTS = ("red", "blue", "green", "white", "purple", "yellow", "orange", "pink")
BACKGROUNDS = ("blue", "green", "pink", "gray", "yellow", "cyan", "orange", "purple")
TEXTURES = (None, "striped", "checkered", "dotted", "wavy", "tiled")
SIDES = (-1, 1)
ALIKE: Mapping[str, str] = MappingProxyType({"dark": "brown"})
"""Hair that a skin would swallow."""


CORNERS = 0.7  # how far the mouth's corners rise in a smile, in ``smile``; its middle falls too
BRIM = 0.58  # height of the hat's brim above the centre, in radius_y
BRIM_HEIGHT = 0.036  # half of it
FRAME = 0.03  # between the hat's tip and the picture's, at least


@dataclass(frozen=True)
class Face:
    """Parameters of a face; lengths are fractions of the picture's side unless said otherwise."""

    centre_x: float
    centre_y: float  # where the head is widest
    radius_x: float
    radius_y: float  # from the centre to the top of the head
    jaw: float  # from the centre to the chin
    smile: float  # how far the mouth bends; above 0 its corners are up
    mouth_width: float  # half of it, in radius_x
    mouth_height: float  # below the centre, in jaw
    open_mouth: bool
    eye_distance: float  # from the middle, in radius_x
    eye_height: float  # below the centre: negative is above
    eye_radius: float
    look: float  # shift of the irises, in eye_radius
    brow: float  # tilt; above 0 the brows fall towards the nose
    background: str
    texture: str | None
    period: float  # of the texture
    hair: str
    style: str  # short, long, bald or hat
    hair_line: float  # depth of the fringe, in radius_y
    hair_length: float  # from the centre down to the tips of long hair
    hair_flare: float  # from the middle to those tips, in radius_x
    parting: int  # the side on which the fringe is highest: -1 or 1
    hat: str
    hat_height: float  # from the brim to the tip
    hat_lean: float  # how far the tip is from the middle
    eye: str
    skin: str
    shirt: str
    shirt_texture: str | None
    light: int  # the side that is lit: -1 or 1
    glasses: bool
    beard: bool


def sample(rng: Random) -> Face:
    """Draw a face; the order of the draws is part of what a seed means."""

    def other(colours: tuple[str, ...], *taken: str) -> str:
        return rng.choice([colour for colour in colours if colour not in taken])

    lengths = {name: rng.uniform(*ends) for name, ends in RANGES.items() if name != "smile"}
    background = rng.choice(BACKGROUNDS)
    skin = rng.choice(list(SKINS))
    hair = other(HAIRS, background, ALIKE.get(skin, ""))
    face = Face(
        **lengths,
        smile=rng.choice([rng.uniform(*band) for band in SMILES]),
        open_mouth=rng.random() < 0.25,
        background=background,
        texture=rng.choice(TEXTURES),
        hair=hair,
        style=rng.choice(STYLES),
        parting=rng.choice(SIDES),
        hat=other(HATS, background, hair),
        eye=rng.choice(EYES),
        skin=skin,
        shirt=other(SHIRTS, background, hair),
        shirt_texture=rng.choice(TEXTURES),
        light=rng.choice(SIDES),
        glasses=rng.random() < 0.2,
        beard=rng.random() < 0.15,
    )
    return replace(face, hat_height=min(face.hat_height, highest_hat(face)))


def highest_hat(face: Face) -> float:
    """How tall the hat may be before the frame cuts it."""
    return brim(face)[1] - FRAME


def fits(face: Face) -> bool:
    """Whether every length lies in its range, the hat in the picture, and colours stand apart."""
    stands_apart = (
        face.background not in (face.hair, face.hat, face.shirt)
        and face.hair not in (face.hat, face.shirt)
        and face.hair != ALIKE.get(face.skin)
    )
    return (
        stands_apart
        and any(within(face.smile, band) for band in SMILES)
        and all(within(getattr(face, name), ends) for name, ends in RANGES.items())
        and face.hat_height <= highest_hat(face)
    )


def brim(face: Face) -> Point:
    """The middle of the hat's brim, whether there is a hat or not."""
    return face.centre_x, face.centre_y - face.radius_y * BRIM


def hat_tip(face: Face) -> Point:
    """The tip of the hat, whether there is one or not."""
    x, y = brim(face)
    return x + face.hat_lean, y - face.hat_height


def hair_tips(face: Face) -> tuple[Point, Point]:
    """Where long hair ends on both sides."""
    y, reach = face.centre_y + face.hair_length, face.radius_x * face.hair_flare
    return (face.centre_x - reach, y), (face.centre_x + reach, y)


def fringe(face: Face) -> float:
    """How low the hair reaches over the forehead, y."""
    return face.centre_y - face.radius_y * (1 - face.hair_line)


def eyes(face: Face) -> tuple[Point, Point]:
    """Centres of both eyes."""
    y, reach = face.centre_y + face.eye_height, face.radius_x * face.eye_distance
    return (face.centre_x - reach, y), (face.centre_x + reach, y)


def brow(face: Face, side: int) -> tuple[Point, Point, Point]:
    """Inner end, control point and outer end of a brow; ``side`` is -1 or 1."""
    r = face.eye_radius
    x, y = eyes(face)[(side + 1) // 2]
    y -= r * 1.6
    outer = (x + side * r * 1.75, y - face.brow)
    return (x - side * r * 1.1, y + face.brow), (x, y - 0.02), outer


def mouth(face: Face) -> tuple[Point, Point, Point]:
    """Left corner, middle of the upper lip, right corner."""
    x, y = face.centre_x, face.centre_y + face.jaw * face.mouth_height
    half, corners = face.radius_x * face.mouth_width, y - face.smile * CORNERS
    return (x - half, corners), (x, y + face.smile * (1 - CORNERS)), (x + half, corners)


def nose(face: Face) -> Point:
    """The tip of the nose."""
    return face.centre_x, face.centre_y + face.jaw * 0.22


def collar(face: Face) -> float:
    """How low the shirt begins at the neck, y: a longer face leaves less of the neck."""
    return face.centre_y + 0.27 + 0.38 * face.jaw


def keypoints(face: Face) -> dict[str, Point]:
    """Where the named parts are; long hair hides the ears."""
    left, middle, right = mouth(face)
    eye_l, eye_r = eyes(face)
    x, y = face.centre_x, face.centre_y
    points = {
        "mouth_l": left,
        "mouth_r": right,
        "mouth_c": middle,
        "eye_l": eye_l,
        "eye_r": eye_r,
        "nose": nose(face),
        "chin": (x, y + face.jaw),
        "collar": (x, collar(face) + 0.05),
    }
    if face.style == "long":
        points["hair_l"], points["hair_r"] = hair_tips(face)
    else:
        reach = face.radius_x + 0.015
        points |= {"ear_l": (x - reach, y), "ear_r": (x + reach, y)}
    if face.style == "hat":
        points["hat"] = hat_tip(face)
    return points


def caption(face: Face, rng: Random) -> str:
    """Say what is seen; some details are left to chance, as people would leave them out."""
    mood = "smiling" if face.smile > 0.02 else "sad" if face.smile < -0.02 else "neutral"
    tops = {"bald": "no hair", "hat": article(f"{face.hat} hat")}
    details = [tops.get(face.style, f"{face.style} {face.hair} hair")]
    if face.style == "bald" or rng.random() < 0.75:
        texture = f"{face.shirt_texture} " if face.shirt_texture else ""
        details.append(article(f"{texture}{face.shirt} shirt"))
    # One of these at most: a sentence must stay short enough for a text encoder.
    minor = [f"{face.eye} eyes", f"{face.skin} skin", "an open mouth" if face.open_mouth else ""]
    told = rng.choice(minor)
    if told and rng.random() < 0.8:
        details.append(told)
    if face.beard:
        details.append("a beard")
    if face.glasses:
        details.append("glasses")
    text = f"{article(mood)} face with {' and '.join(details)}"
    if rng.random() < 0.65:
        text += " " + on_background(face.background, face.texture)
    return text
