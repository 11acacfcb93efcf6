"""How a face is drawn: what hangs behind it, its shoulders, the head, and what is on the head."""

import math

from featurekit.scenes.canvas import Canvas, Ink, Paint, Pattern
from featurekit.scenes.colours import COLOURS, SKINS, Colour, darker, lighter, mix
from featurekit.scenes.geometry import Outline, Point, arc, curve, ellipse
from featurekit.scenes.kinds.faces import face as faces
from featurekit.scenes.kinds.faces.face import Face

RIM: Colour = (30, 30, 36)  # of glasses
NECK = 0.085  # half of its width
BAR = ((0.19, 0.09), (0.23, 0.09), (0.23, 0.62), (0.17, 0.62))  # of the window, lit from 1
SQUARE = 2.4  # how square the jaw is: 2 would be an ellipse
DOME = {"short": (1.1, 1.14), "long": (1.26, 1.18)}  # hair's reach, in radius_x and radius_y


def backdrop(canvas: Canvas, face: Face) -> None:
    """Draw a wall with light on it and the shadow that the head casts."""
    behind = COLOURS[face.background]
    pattern = Pattern(face.texture, face.period, 0.8) if face.texture else None
    canvas.background(lighter(behind, 0.45), lighter(behind, 0.05), pattern=pattern)
    x, y, rx, ry = face.centre_x, face.centre_y, face.radius_x, face.radius_y
    lit = face.light
    if face.texture is None:
        # Sun through a window: a plain wall has edges too that are nobody's outline.
        near, far = 0.5 + lit * 0.6, 0.5 - lit * 0.12
        window = [(near, 0.04), (far, 0.14), (far - lit * 0.1, 0.6), (near, 0.62)]
        canvas.shade(window, lighter(behind, 0.8), opacity=0.6)
        canvas.shade([(0.5 + lit * a, b) for a, b in BAR], behind, opacity=0.55)
    else:
        canvas.glow((0.5 + lit * 0.45, 0.12), radius=0.22, colour=lighter(behind, 0.85))
    shadow = ellipse((x - lit * 0.08, y + 0.05), rx * 1.22, ry * 1.22)
    canvas.shade(shadow, darker(behind, 0.42), soft=0.008, opacity=0.5)


def figure(canvas: Canvas, face: Face) -> None:
    """Draw a face from the back to the front."""
    _body(canvas, face)
    _back_hair(canvas, face)
    _head(canvas, face)
    if face.beard:
        _beard(canvas, face)
    for side in faces.SIDES:
        _eye(canvas, face, side)
    _nose(canvas, face)
    _mouth(canvas, face)
    if face.style in DOME:
        _front_hair(canvas, face)
    elif face.style == "hat":
        _hat(canvas, face)
    for side in faces.SIDES:
        _brow(canvas, face, side)
    if face.glasses:
        _glasses(canvas, face)


def _body(canvas: Canvas, face: Face) -> None:
    x, top, skin, shirt = face.centre_x, faces.collar(face), SKINS[face.skin], COLOURS[face.shirt]
    chin = face.centre_y + face.jaw
    neck = [(x - NECK, chin - 0.12), (x + NECK, chin - 0.12), (x + NECK + 0.03, top + 0.1)]
    canvas.part([*neck, (x - NECK - 0.03, top + 0.1)], Paint(skin, darker(skin, 0.85)))
    under = arc((x, chin - 0.02), NECK * 0.95, 0.065, start_deg=0, end_deg=180)
    canvas.shade(under, darker(skin, 0.45), soft=0.01, opacity=0.6)
    notch = (x, top + 0.05)
    right = curve((x + NECK + 0.015, top - 0.02), (x + 0.36, top), (x + 0.42, top + 0.28))
    left = [(2 * x - a, b) for a, b in reversed(right)]
    weave = Pattern(face.shirt_texture, 0.16, 0.76, (x, top)) if face.shirt_texture else None
    paint = Paint(lighter(shirt, 0.1), darker(shirt, 0.8), pattern=weave)
    body = [notch, *right, (x + 0.42, 1.3), (x - 0.42, 1.3), *left]
    canvas.part(body, paint)
    away = -face.light
    side = [(x + away * 0.2, top + 0.01), (x + away * 0.44, top + 0.2), (x + away * 0.44, 1.3)]
    canvas.shade([*side, (x + away * 0.17, 1.3)], darker(shirt, 0.4), soft=0.01, opacity=0.4)
    for end in faces.SIDES:
        inner, outer = x + end * (NECK + 0.015), x + end * (NECK + 0.05)
        lapel = [(inner, top - 0.025), (outer, top + 0.03), (x + end * 0.035, top + 0.09), notch]
        canvas.part(lapel, Paint(darker(shirt, 0.75)), Ink.DETAIL)


def _back_hair(canvas: Canvas, face: Face) -> None:
    """Long hair falls over the shoulders on both sides, so that its tips are seen."""
    if face.style != "long":
        return
    x, y, hair = face.centre_x, face.centre_y, COLOURS[face.hair]
    rx, ry = face.radius_x, face.radius_y
    wide, high = rx * DOME["long"][0], ry * DOME["long"][1]
    tip_l, tip_r = faces.hair_tips(face)
    dome = arc((x, y), wide, high, start_deg=180, end_deg=360)
    outer = curve((x + wide, y), (x + wide, (y + tip_r[1]) / 2), tip_r)
    inner = curve(tip_r, (x + rx * 0.5, y + face.hair_length * 0.75), (x + rx * 0.4, y))
    half = [*outer, *inner[1:]]
    other = [(2 * x - a, b) for a, b in reversed(half)]
    paint = Paint(hair, darker(hair, 0.7), pattern=_locks(face))
    canvas.part([*dome, *half, *other], paint, Ink.TONE)
    for side, tip in zip(faces.SIDES, (tip_l, tip_r), strict=True):
        root, low = (x + side * wide * 0.93, y + 0.02), (tip[0] - side * 0.01, tip[1] - 0.05)
        strand = curve(root, (root[0], (y + tip[1]) / 2), low, pieces=8)
        canvas.edge(strand, lighter(hair, 0.4), width=0.018)


def _locks(face: Face) -> Pattern:
    """The sheen of hair, which travels with the head."""
    return Pattern("wavy", 0.15, 0.86, (face.centre_x, face.centre_y))


def head(face: Face, *, start_deg: float = 0, end_deg: float = 360) -> Outline:
    """The head's outline, or a part of it: round above, squarer at the jaw; clockwise."""
    points = []
    for i in range(49):
        angle = math.radians(start_deg + (end_deg - start_deg) * i / 48)
        across, down = math.cos(angle), math.sin(angle)
        power = 2 / SQUARE if down > 0 else 1.0
        x = math.copysign(abs(across) ** power, across) * face.radius_x
        y = math.copysign(abs(down) ** power, down) * (face.jaw if down > 0 else face.radius_y)
        points.append((face.centre_x + x, face.centre_y + y))
    return points


def _head(canvas: Canvas, face: Face) -> None:
    x, y, rx, ry = face.centre_x, face.centre_y, face.radius_x, face.radius_y
    skin, lit = SKINS[face.skin], face.light
    if face.style != "long":
        for side in faces.SIDES:
            ear = ellipse((x + side * rx, y), 0.036, 0.058)
            canvas.part(ear, Paint(darker(skin, 0.92), darker(skin, 0.75)))
    outline = head(face)[:-1]
    if face.style == "hat":
        # A low hat covers less than the head is high.
        outline = [(a, max(b, faces.brim(face)[1])) for a, b in outline]
    light = (x + lit * rx * 0.4, y - ry * 0.3)
    canvas.part(outline, Paint(lighter(skin, 0.22), darker(skin, 0.82), light))
    far = [(x + (a - x) * 0.97, b) for a, b in head(face, start_deg=-50, end_deg=85)]
    inner = curve(far[-1], (x + rx * 0.5, y + face.jaw * 0.5), (x + rx * 0.72, y))
    side_shadow = [(2 * x - a if lit > 0 else a, b) for a, b in [*far, *inner[1:]]]
    canvas.shade(side_shadow, darker(skin, 0.6), soft=0.008, opacity=0.45)
    for side in faces.SIDES:
        cheek = ellipse((x + side * rx * 0.6, y + face.jaw * 0.36), 0.048, 0.034)
        canvas.shade(cheek, mix(skin, (225, 60, 70), 0.6), soft=0.012, opacity=0.42)


def _beard(canvas: Canvas, face: Face) -> None:
    hair, jaw = COLOURS[face.hair], head(face, start_deg=12, end_deg=168)
    # The curve's middle is halfway between its ends and its control point.
    low = 2 * (face.centre_y + face.jaw * face.mouth_height + 0.05) - jaw[0][1]
    edge = curve(jaw[-1], (face.centre_x, min(low, face.centre_y + face.jaw * 1.4)), jaw[0])
    canvas.part([*jaw, *edge[1:-1]], Paint(lighter(hair, 0.1), darker(hair, 0.7)), Ink.TONE)


def _eye(canvas: Canvas, face: Face, side: int) -> None:
    x, y = faces.eyes(face)[(side + 1) // 2]
    r, skin, colour = face.eye_radius, SKINS[face.skin], COLOURS[face.eye]
    canvas.part(ellipse((x, y), r * 1.2, r * 0.98), Paint((252, 252, 252)), Ink.DETAIL)
    iris = (x + face.look * r, y)
    paint = Paint(lighter(colour, 0.15), darker(colour, 0.7))
    canvas.part(ellipse(iris, r * 0.68, r * 0.68), paint, Ink.NONE)
    canvas.part(ellipse(iris, r * 0.38, r * 0.38), Paint((12, 12, 16)), Ink.SOLID)
    spark = (iris[0] + face.light * r * 0.25, iris[1] - r * 0.28)
    canvas.shade(ellipse(spark, r * 0.24, r * 0.24), (255, 255, 255))
    lid = arc((x, y), r * 1.2, r * 0.98, start_deg=195, end_deg=345)
    canvas.edge(lid, darker(skin, 0.3), width=0.016)


def _brow(canvas: Canvas, face: Face, side: int) -> None:
    inner, control, outer = faces.brow(face, side)
    colour = mix(darker(COLOURS[face.hair], 0.45), darker(SKINS[face.skin], 0.3), 0.5)
    canvas.stroke(curve(inner, control, outer), colour, width=0.026)


def _glasses(canvas: Canvas, face: Face) -> None:
    reach = face.eye_radius * 1.55
    left, right = faces.eyes(face)
    for eye in (left, right):
        rim = ellipse(eye, reach, reach * 0.95)
        canvas.stroke([*rim, rim[0]], RIM, width=0.014)
    bridge: list[Point] = [(left[0] + reach, left[1]), (right[0] - reach, right[1])]
    canvas.stroke(bridge, RIM, width=0.014)


def _nose(canvas: Canvas, face: Face) -> None:
    (x, y), skin, away = faces.nose(face), SKINS[face.skin], -face.light
    top = face.centre_y - 0.02
    shadow = [(x, top), (x + away * 0.045, y + 0.005), (x + away * 0.01, y + 0.022)]
    canvas.shade(shadow, darker(skin, 0.5), soft=0.008, opacity=0.6)
    canvas.shade(ellipse((x - away * 0.012, y - 0.02), 0.014, 0.03), lighter(skin, 0.7), soft=0.008)
    wings = arc((x, y), 0.034, 0.02, start_deg=10, end_deg=170)
    canvas.stroke(wings, darker(skin, 0.5), width=0.016)


def _mouth(canvas: Canvas, face: Face) -> None:
    left, middle, right = faces.mouth(face)
    lip: Colour = (84, 18, 26) if face.skin == "dark" else (168, 40, 48)
    # The curve's middle is halfway between its corners and its control point.
    upper = curve(left, (middle[0], 2 * middle[1] - left[1]), right)
    if face.beard:
        canvas.edge(upper, SKINS[face.skin], width=0.06)
    if not face.open_mouth:
        canvas.stroke(upper, lip, width=0.032)
        return
    lower = curve(right, (middle[0], 2 * middle[1] - left[1] + 0.13), left)
    canvas.part([*upper, *lower[1:-1]], Paint((96, 14, 26), (190, 70, 80)), Ink.DETAIL)
    canvas.edge([*upper, *lower], lip, width=0.02)


def _front_hair(canvas: Canvas, face: Face) -> None:
    x, y, rx, ry = face.centre_x, face.centre_y, face.radius_x, face.radius_y
    hair, low, side = COLOURS[face.hair], faces.fringe(face), face.parting
    wide, high = (a * b for a, b in zip(DOME[face.style], (rx, ry), strict=True))
    dome = arc((x, y), wide, high, start_deg=182, end_deg=358)
    sweep = curve((x + rx * 0.92, y - ry * 0.08), (x + rx * 0.75, low), (x - rx * 0.35, low - 0.02))
    line = [*sweep, (x - rx * 0.92, y - ry * 0.08)]
    outline = [(x + side * (a - x), b) for a, b in [*dome, *line]]
    paint = Paint(lighter(hair, 0.22), darker(hair, 0.8), pattern=_locks(face))
    canvas.part(outline, paint, Ink.TONE)
    centre = (270 + face.light * 28, 270 + face.light * 58)
    band = arc((x, y), wide * 0.86, high * 0.88, start_deg=min(centre), end_deg=max(centre))
    canvas.edge(band, lighter(hair, 0.55), width=0.028)


def _hat(canvas: Canvas, face: Face) -> None:
    (x, y), rx, hat = faces.brim(face), face.radius_x, COLOURS[face.hat]
    tip, up = faces.hat_tip(face), y - face.hat_height * 0.48
    left, right = (
        curve((x + side * rx * 0.92, y), (x + side * rx * 0.48 + face.hat_lean * 0.5, up), tip)
        for side in faces.SIDES
    )
    canvas.part([*left, *right[-2::-1]], Paint(lighter(hat, 0.25), darker(hat, 0.75)))
    far = right if face.light < 0 else left
    canvas.shade([*far, (x - face.light * rx * 0.2, y)], darker(hat, 0.45), opacity=0.5)
    band = Paint(darker(hat, 0.35))
    canvas.part([left[0], left[4], right[4], right[0]], band, Ink.DETAIL)
    paint = Paint(lighter(hat, 0.1), darker(hat, 0.6))
    canvas.part(ellipse((x, y), rx * 1.32, faces.BRIM_HEIGHT), paint)
