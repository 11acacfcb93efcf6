"""Faces: a head with hair or a hat, shoulders, and a mouth, eyes and brows that can move."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from featurekit.scenes.canvas import Canvas
from featurekit.scenes.colours import COLOURS, SKINS, darker, lighter
from featurekit.scenes.geometry import Outline, Point, arc, curve, ellipse
from featurekit.scenes.kind import Range, within
from featurekit.scenes.wording import article, on_background

SMILES: tuple[Range, ...] = ((0.03, 0.075), (-0.012, 0.012), (-0.06, -0.03))

RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "centre_x": (0.42, 0.58),
        "centre_y": (0.47, 0.56),
        "radius_x": (0.2, 0.27),
        "radius_y": (0.26, 0.33),
        "smile": (SMILES[2][0], SMILES[0][1]),
        "mouth_width": (0.09, 0.135),
        "mouth_height": (0.42, 0.52),
        "eye_distance": (0.38, 0.46),
        "eye_height": (-0.18, -0.02),
        "eye_radius": (0.036, 0.05),
        "look": (-0.3, 0.3),
        "brow": (-0.02, 0.02),
        "hair_line": (0.25, 0.5),
    }
)


@dataclass(frozen=True)
class Face:
    """Parameters of a face; lengths are fractions of the picture's side unless said otherwise."""

    centre_x: float
    centre_y: float
    radius_x: float
    radius_y: float
    smile: float  # how far the mouth bends; above 0 its corners are up
    mouth_width: float  # half of it
    mouth_height: float  # below the centre, in radius_y
    open_mouth: bool
    eye_distance: float  # from the middle, in radius_x
    eye_height: float  # below the centre, in radius_y: negative is above
    eye_radius: float
    look: float  # shift of the irises, in eye_radius
    brow: float  # tilt; above 0 the brows fall towards the nose
    hair: str
    style: str  # short, long, bald or hat
    hair_line: float  # depth of the fringe, in radius_y
    hat: str
    eye: str
    skin: str
    shirt: str
    glasses: bool
    background: str
    texture: str | None


def sample(rng: Random) -> Face:
    """Draw a face; the order of the draws is part of what a seed means."""

    def uniform(name: str) -> float:
        return rng.uniform(*RANGES[name])

    return Face(
        centre_x=uniform("centre_x"),
        centre_y=uniform("centre_y"),
        radius_x=uniform("radius_x"),
        radius_y=uniform("radius_y"),
        smile=rng.choice([rng.uniform(*band) for band in SMILES]),
        mouth_width=uniform("mouth_width"),
        mouth_height=uniform("mouth_height"),
        open_mouth=rng.random() < 0.25,
        eye_distance=uniform("eye_distance"),
        eye_height=uniform("eye_height"),
        eye_radius=uniform("eye_radius"),
        look=uniform("look"),
        brow=uniform("brow"),
        hair=rng.choice(["brown", "black", "yellow", "red", "gray", "orange"]),
        style=rng.choice(["short", "long", "bald", "hat"]),
        hair_line=uniform("hair_line"),
        hat=rng.choice(["red", "blue", "green", "purple"]),
        eye=rng.choice(["blue", "green", "brown", "black"]),
        skin=rng.choice(list(SKINS)),
        shirt=rng.choice(["red", "blue", "green", "white", "purple", "yellow"]),
        glasses=rng.random() < 0.2,
        background=rng.choice(["blue", "green", "pink", "gray", "yellow", "cyan", "orange"]),
        texture=rng.choice([None, None, "striped", "dotted"]),
    )


def fits(face: Face) -> bool:
    """Whether every length lies in the range it is drawn from."""
    bends = any(within(face.smile, band) for band in SMILES)
    return bends and all(within(getattr(face, name), ends) for name, ends in RANGES.items())


def draw(canvas: Canvas, face: Face) -> None:
    """Draw a face from the back to the front."""
    behind = COLOURS[face.background]
    canvas.background(lighter(behind, 0.5), lighter(behind, 0.15), texture=face.texture)
    _back_hair(canvas, face)
    _body(canvas, face)
    _head(canvas, face)
    for side in (-1, 1):
        _eye(canvas, face, side)
    _nose(canvas, face)
    _mouth(canvas, face)
    _hair_or_hat(canvas, face)


def _back_hair(canvas: Canvas, face: Face) -> None:
    if face.style != "long":
        return
    x, y, rx, ry = face.centre_x, face.centre_y, face.radius_x, face.radius_y
    dome = arc((x, y - 0.02), rx * 1.25, ry * 1.12, start_deg=180, end_deg=360)
    ends = [(x + rx * 1.3, y + ry * 1.15), (x - rx * 1.3, y + ry * 1.15)]
    hair = COLOURS[face.hair]
    canvas.part(dome + ends, hair, fade=darker(hair, 0.75))


def _body(canvas: Canvas, face: Face) -> None:
    x, y, ry = face.centre_x, face.centre_y, face.radius_y
    skin, shirt = SKINS[face.skin], COLOURS[face.shirt]
    top = y + ry * 0.6
    neck = [(x - 0.09, top), (x + 0.09, top), (x + 0.1, 1.02), (x - 0.1, 1.02)]
    canvas.part(neck, darker(skin, 0.85), fade=darker(skin, 0.7))
    collar, shoulder = y + ry * 1.12, y + ry * 1.3
    right = [(x + 0.12, collar), (x + 0.36, shoulder), (x + 0.42, 1.1)]
    left = [(x - 0.42, 1.1), (x - 0.36, shoulder)]
    canvas.part([(x - 0.12, collar), *right, *left], shirt, fade=darker(shirt, 0.75))


def _head(canvas: Canvas, face: Face) -> None:
    x, y, rx, ry = face.centre_x, face.centre_y, face.radius_x, face.radius_y
    skin = SKINS[face.skin]
    for side in (-1, 1):
        ear = ellipse((x + side * rx, y), 0.035, 0.055)
        canvas.part(ear, darker(skin, 0.9), fade=darker(skin, 0.8))
    head, light = ellipse((x, y), rx, ry), (x - rx * 0.3, y - ry * 0.3)
    canvas.part(head, lighter(skin, 0.2), fade=darker(skin, 0.85), light=light)


def _eye(canvas: Canvas, face: Face, side: int) -> None:
    x = face.centre_x + side * face.radius_x * face.eye_distance
    y = face.centre_y + face.radius_y * face.eye_height
    r = face.eye_radius
    canvas.part(ellipse((x, y), r * 1.15, r * 0.85), (250, 250, 250))
    iris = (x + face.look * r, y)
    canvas.part(ellipse(iris, r * 0.62, r * 0.62), COLOURS[face.eye])
    canvas.shade(ellipse(iris, r * 0.3, r * 0.3), (15, 15, 20))
    above, tilt = y - r * 1.6, side * face.brow
    brow = curve((x - r * 1.2, above + tilt), (x, above - 0.018), (x + r * 1.2, above - tilt))
    bald = face.style == "bald"
    canvas.stroke(brow, darker(SKINS[face.skin], 0.4) if bald else darker(COLOURS[face.hair]))
    if face.glasses:
        rim = ellipse((x, y), r * 1.6, r * 1.5)
        canvas.stroke([*rim, rim[0]], (30, 30, 35), width=0.014)


def _nose(canvas: Canvas, face: Face) -> None:
    x, y, ry = face.centre_x, face.centre_y, face.radius_y
    eyes = y + ry * face.eye_height
    if face.glasses:
        inner = face.radius_x * face.eye_distance - face.eye_radius * 1.6
        canvas.stroke([(x - inner, eyes), (x + inner, eyes)], (30, 30, 35), width=0.014)
    line = [(x, eyes + 0.04), (x + 0.03, y + ry * 0.2), (x - 0.008, y + ry * 0.22)]
    canvas.stroke(line, darker(SKINS[face.skin], 0.6), width=0.015)


def _mouth(canvas: Canvas, face: Face) -> None:
    left, right = _mouth_corners(face)
    y, lip = face.centre_y + face.radius_y * face.mouth_height, (165, 50, 55)
    bend = (face.centre_x, y + face.smile * 1.5)
    upper = curve(left, bend, right)
    if not face.open_mouth:
        canvas.stroke(upper, lip, width=0.026)
        return
    lower = curve(right, (bend[0], bend[1] + 0.1), left)
    canvas.part(upper + lower[1:-1], (110, 20, 30), fade=(170, 60, 70))
    canvas.edge(upper + lower, lip, width=0.018)


def _hair_or_hat(canvas: Canvas, face: Face) -> None:
    x, y, rx, ry = face.centre_x, face.centre_y, face.radius_x, face.radius_y
    if face.style in ("short", "long"):
        hair, fringe = COLOURS[face.hair], y - ry * (1 - face.hair_line)
        line = curve((x + rx * 0.95, y - ry * 0.15), (x + rx * 0.3, fringe), (x - rx * 0.3, fringe))
        dome = arc((x, y - 0.02), rx * 1.12, ry * 1.12, start_deg=190, end_deg=350)
        outline: Outline = [*dome, *line, (x - rx * 0.95, y - ry * 0.1)]
        canvas.part(outline, lighter(hair, 0.2), fade=darker(hair, 0.8))
    elif face.style == "hat":
        hat, brim = COLOURS[face.hat], (x, y - ry * 0.55)
        crown = arc(brim, rx * 0.95, ry * 0.75, start_deg=180, end_deg=360)
        canvas.part(crown, lighter(hat, 0.2), fade=darker(hat, 0.8))
        rim = ellipse(brim, rx * 1.35, 0.035)
        canvas.part(rim, darker(hat, 0.75), fade=darker(hat, 0.6))


def _mouth_corners(face: Face) -> tuple[Point, Point]:
    y = face.centre_y + face.radius_y * face.mouth_height - face.smile / 2
    return (face.centre_x - face.mouth_width, y), (face.centre_x + face.mouth_width, y)


def keypoints(face: Face) -> dict[str, Point]:
    """Where the named parts are."""
    x, y, rx, ry = face.centre_x, face.centre_y, face.radius_x, face.radius_y
    left, right = _mouth_corners(face)
    eyes, reach = y + ry * face.eye_height, rx * face.eye_distance
    return {
        "mouth_l": left,
        "mouth_r": right,
        "mouth_c": (x, y + ry * face.mouth_height + face.smile / 2),
        "eye_l": (x - reach, eyes),
        "eye_r": (x + reach, eyes),
        "nose": (x + 0.015, y + ry * 0.2),
        "chin": (x, y + ry),
        "ear_l": (x - rx - 0.01, y),
        "ear_r": (x + rx + 0.01, y),
    }


def caption(face: Face, rng: Random) -> str:
    """Say what is seen; some details are left to chance, as people would leave them out."""
    mood = "smiling" if face.smile > 0.02 else "sad" if face.smile < -0.02 else "neutral"
    tops = {"bald": "no hair", "hat": article(f"{face.hat} hat")}
    details = [tops.get(face.style, f"{face.style} {face.hair} hair")]
    if rng.random() < 0.6:
        details.append(f"{face.eye} eyes")
    if rng.random() < 0.6:
        details.append(article(f"{face.shirt} shirt"))
    if rng.random() < 0.4:
        details.append(f"{face.skin} skin")
    if face.glasses:
        details.append("glasses")
    if face.open_mouth and rng.random() < 0.7:
        details.append("an open mouth")
    text = f"{article(mood)} face with {' and '.join(details)}"
    if rng.random() < 0.6:
        text += " " + on_background(face.background, face.texture)
    return text
