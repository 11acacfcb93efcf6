"""Vehicles from the side: a car or a truck on the ground, or a sailing boat on the water."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from featurekit.scenes.canvas import Canvas, Ink, Paint, Pattern
from featurekit.scenes.colours import COLOURS, Colour, darker, lighter, mix
from featurekit.scenes.geometry import Outline, Point, arc, curve, ellipse
from featurekit.scenes.kind import Range

RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "y": (0.74, 0.93),
        "horizon": (0.5, 0.64),
        "wheel": (0.085, 0.105),
        "body_height": (0.14, 0.19),
        "cabin": (0.29, 0.35),
        "bonnet": (0.1, 0.31),
        "tail": (0.06, 0.14),
        "roof": (0.1, 0.31),
        "rake": (0.05, 0.1),
        "drop": (0.0, 0.03),
        "box_length": (0.25, 0.46),
        "box_height": (0.17, 0.28),
        "tilt_deg": (0.0, 42.0),
        "hull": (0.26, 0.34),
        "hull_height": (0.11, 0.15),
        "mast": (0.34, 0.55),
        "boom": (0.25, 0.32),
        "swing_deg": (-5.0, 50.0),
        "cloud_x": (0.1, 0.9),
        "cloud_y": (0.08, 0.3),
        "period": (0.14, 0.24),
    }
)

PAINTS = tuple(name for name in COLOURS if name != "gray")
CHOICES: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        "form": ("car", "truck", "boat"),
        "mirrored": (False, True),
        "body": PAINTS,
        "second": PAINTS,
        "sky": ("cyan", "blue", "pink", "yellow", "orange", "purple"),
        "body_print": (None, "striped", "dotted", "wavy"),
        "sky_print": ("striped", "checkered", "dotted", "wavy"),
    }
)
GROUNDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("car", "truck"), ("gray", "green", "brown")),
        "boat": ("blue", "cyan", "green"),
    }
)

MARGIN = 0.03  # from the frame to a vehicle, at least
CHASSIS = 0.045  # height of a truck's frame, below cab and box
TYRE: Colour = (38, 36, 42)


@dataclass(frozen=True)
class Vehicle:
    """Parameters of a vehicle; lengths are fractions of the picture's side."""

    form: str  # car, truck or boat; each has its own lengths and ignores those of the others
    mirrored: bool  # the other way round
    x: float  # where a car's windscreen, a truck's cab or a boat's mast starts
    y: float  # of the road or the water below it
    horizon: float
    wheel: float  # radius
    body_height: float
    cabin: float  # a car's length under its roof
    bonnet: float
    tail: float  # behind a car's cabin
    roof: float  # how high above a car's body
    rake: float  # how far windscreens lean back
    drop: float  # how far a bonnet falls at least
    box_length: float
    box_height: float
    tilt_deg: float  # of a truck's box, about its rear end
    hull: float  # half a boat's length
    hull_height: float
    mast: float  # its height above the hull
    boom: float  # length of the spar below a sail
    swing_deg: float  # by which a boom is raised, about the mast
    cloud_x: float
    cloud_y: float
    period: float  # of the sky's pattern
    body: str
    second: str  # a car's roof, a truck's box, a boat's sail
    sky: str
    ground: str  # or water
    body_print: str | None
    sky_print: str


def room(vehicle: Vehicle) -> Range:
    """The range of ``x`` that keeps the whole vehicle inside the frame."""
    xs = [x for x, _ in keypoints(replace(vehicle, x=0.0)).values()]
    return MARGIN - min(xs), 1 - MARGIN - max(xs)


def _at(vehicle: Vehicle, ahead: float, up: float) -> Point:
    """A point given by how far it lies ahead of the vehicle's ``x`` and above its ``y``."""
    return vehicle.x + (-ahead if vehicle.mirrored else ahead), vehicle.y - up


def _outline(vehicle: Vehicle, *points: Point) -> Outline:
    return [_at(vehicle, ahead, up) for ahead, up in points]


def _printed(vehicle: Vehicle, colour: str) -> Paint:
    paint = Paint(lighter(COLOURS[colour], 0.2), darker(COLOURS[colour], 0.78))
    if vehicle.body_print is None:
        return paint
    return paint.printed(Pattern(vehicle.body_print, 0.1, 0.62, (vehicle.x, vehicle.y)))


def _window(canvas: Canvas, pane: Outline) -> None:
    """Draw a window, given from its lower front corner by way of the upper one."""
    canvas.part(pane, Paint((205, 232, 245), (105, 140, 175)), Ink.DETAIL)
    x, (end, low) = pane[0][0], pane[-1]
    canvas.shade([(x + (end - x) * 0.5, low), (end, low), pane[2]], (255, 255, 255), opacity=0.6)


def figure(canvas: Canvas, vehicle: Vehicle) -> None:
    """Draw the vehicle with its shadow, from the back to the front."""
    {"car": _car, "truck": _truck, "boat": _boat}[vehicle.form](canvas, vehicle)


def _shadow(canvas: Canvas, vehicle: Vehicle, behind: float, ahead: float) -> None:
    middle = _at(vehicle, (ahead - behind) / 2, -0.005)
    below = ellipse(middle, (ahead + behind) * 0.52, 0.035)
    canvas.shade(below, (15, 15, 25), soft=0.005, opacity=0.65)


def _car(canvas: Canvas, vehicle: Vehicle) -> None:
    roof = COLOURS[vehicle.second]
    floor, end = vehicle.wheel * 0.8, -vehicle.cabin - vehicle.tail
    waist, tip = floor + vehicle.body_height, vehicle.bonnet
    _shadow(canvas, vehicle, -end, tip)
    front, back = (0.0, waist - 0.01), (-vehicle.cabin - 0.02, waist - 0.01)
    up, lean = waist + vehicle.roof, vehicle.rake
    # The roof's arch grows with its height: a higher roof is another shape, not a shifted one.
    arch = (-vehicle.cabin / 2 - lean * 0.1, up + vehicle.roof * 0.18)
    crown = curve((-lean, up), arch, (lean * 0.8 - vehicle.cabin, up))
    cabin = _outline(vehicle, front, *crown, back)
    canvas.part(cabin, Paint(lighter(roof, 0.2), darker(roof, 0.9)))
    sill, top, middle = waist + 0.01, up - max(0.025, vehicle.roof * 0.2), -vehicle.cabin * 0.47
    screen = [(-0.04, sill), (-lean - 0.03, top), (middle + 0.015, top), (middle + 0.015, sill)]
    rear = [(middle - 0.025, sill), (middle - 0.025, top)]
    rear += [(lean * 0.8 + 0.03 - vehicle.cabin, top), (0.02 - vehicle.cabin, sill)]
    for pane in (screen, rear):
        _window(canvas, _outline(vehicle, *pane))
    lower = curve((0.0, waist), (tip * 0.6, waist + tip * 0.1), (tip, waist - _fall(vehicle)))
    lower += [(tip + 0.01, floor), (end, floor), (end, waist - 0.015)]
    sides = _outline(vehicle, *lower, (-vehicle.cabin - 0.02, waist))
    canvas.part(sides, _printed(vehicle, vehicle.body))
    stripe = [(end, floor + 0.045), (tip, floor + 0.045), (tip, floor), (end, floor)]
    canvas.shade(_outline(vehicle, *stripe), mix(roof, TYRE, 0.35), opacity=0.8)
    _lamp_and_wheels(canvas, vehicle, (tip - 0.022, waist - _fall(vehicle) - 0.03))


def _fall(vehicle: Vehicle) -> float:
    """How far a bonnet's tip lies below its root: a longer one falls farther."""
    return vehicle.drop + vehicle.bonnet * 0.2


def _axles(vehicle: Vehicle) -> tuple[float, float]:
    """How far ahead of ``x`` the rear and the front wheel turn."""
    if vehicle.form == "truck":
        return -vehicle.box_length * 0.72, vehicle.cabin * 0.38
    return vehicle.wheel + 0.01 - vehicle.cabin - vehicle.tail, vehicle.bonnet * 0.55 - 0.05


def _lamp_and_wheels(canvas: Canvas, vehicle: Vehicle, lamp: Point) -> None:
    canvas.part(ellipse(_at(vehicle, *lamp), 0.024, 0.024), Paint((255, 245, 180)), Ink.DETAIL)
    radius, wing = vehicle.wheel, darker(COLOURS[vehicle.body], 0.5)
    for axle in _axles(vehicle):
        x, y = centre = _at(vehicle, axle, radius)
        if vehicle.form == "car":
            over = arc(centre, radius * 1.2, radius * 1.2, start_deg=190, end_deg=350)
            canvas.stroke(over, wing, width=0.016)
        canvas.part(ellipse(centre, radius, radius), Paint(TYRE), Ink.SOLID)
        hub = Paint((245, 245, 248), (120, 122, 130), (x, y - radius * 0.2))
        canvas.part(ellipse(centre, radius * 0.48, radius * 0.48), hub, Ink.DETAIL)


def _box(vehicle: Vehicle, *points: Point) -> Outline:
    """Points of a truck's box, given in lengths and heights of it from its rear lower corner."""
    angle = math.radians(vehicle.tilt_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    length, height = vehicle.box_length, vehicle.box_height
    sized = [(along * length, above * height) for along, above in points]
    turned = [(a * cos - b * sin - length - 0.02, a * sin + b * cos) for a, b in sized]
    return _outline(vehicle, *((ahead, up + vehicle.wheel + CHASSIS) for ahead, up in turned))


def _truck(canvas: Canvas, vehicle: Vehicle) -> None:
    body, load = COLOURS[vehicle.body], COLOURS[vehicle.second]
    floor, end, nose = vehicle.wheel, -vehicle.box_length - 0.02, vehicle.cabin * 0.7
    _shadow(canvas, vehicle, -end, nose)
    top, waist = floor + vehicle.body_height + 0.17, floor + vehicle.body_height
    if vehicle.tilt_deg > 8:
        foot = _at(vehicle, -vehicle.box_length * 0.4, floor)
        canvas.stroke([foot, *_box(vehicle, (0.7, 0.1))], (70, 72, 80), width=0.03)
    frame = [(end, floor + CHASSIS), (nose, floor + CHASSIS), (nose, floor - 0.01)]
    canvas.part(_outline(vehicle, *frame, (end, floor - 0.01)), Paint((72, 72, 82)))
    box = _box(vehicle, (0, 0), (0, 1), (1, 1), (1, 0))
    canvas.part(box, _printed(vehicle, vehicle.second))
    # A printed band shows which way the box lies, and is no line of a drawing.
    band = _box(vehicle, (0.0, 0.28), (0.0, 0.5), (1.0, 0.5), (1.0, 0.28))
    canvas.shade(band, mix(body, load, 0.15), opacity=0.85)
    for share in (0.36, 0.7):
        rib = _box(vehicle, (share, 0.02), (share, 0.98))
        canvas.stroke(rib, darker(load, 0.55), width=0.018)
    cab = [(0.0, floor), (0.0, top), (nose - vehicle.rake, top), (nose, waist), (nose, floor)]
    canvas.part(_outline(vehicle, *cab), Paint(lighter(body, 0.2), darker(body, 0.75)))
    low, high = waist + 0.005, top - 0.03
    pane = [(nose * 0.3, low), (nose * 0.3, high), (nose - vehicle.rake - 0.015, high)]
    _window(canvas, _outline(vehicle, *pane, (nose - 0.025, low)))
    _lamp_and_wheels(canvas, vehicle, (nose - 0.022, floor + 0.055))


def _boat(canvas: Canvas, vehicle: Vehicle) -> None:
    body, cloth = COLOURS[vehicle.body], COLOURS[vehicle.second]
    points, half, deck = keypoints(vehicle), vehicle.hull, vehicle.hull_height
    _shadow(canvas, vehicle, half, half)
    mast, foot = points["mast"], _at(vehicle, 0.0, deck - 0.02)
    canvas.stroke([foot, mast], (105, 72, 48), width=0.026, ink=Ink.CONTOUR)
    jib = _outline(vehicle, (0.03, deck + vehicle.mast * 0.85), (0.03, deck + 0.05))
    canvas.part([*jib, _at(vehicle, half * 0.95, deck + 0.05)], Paint((250, 248, 240), cloth))
    luff = _at(vehicle, -0.015, deck + vehicle.mast * 0.97)
    sail = [luff, points["sail_foot"], points["boom"]]
    canvas.part(sail, _printed(vehicle, vehicle.second))
    fold = [luff, points["sail_foot"], _boom_end(vehicle, 0.4)]
    canvas.shade(fold, darker(cloth, 0.4), opacity=0.35)
    canvas.stroke([points["sail_foot"], points["boom"]], (105, 72, 48), width=0.022)
    bow = curve(points["front"], _at(vehicle, half * 0.85, 0.0), points["keel_front"])
    hull = [points["rear"], *bow, points["keel_rear"]]
    canvas.part(hull, Paint(lighter(body, 0.2), darker(body, 0.65)))
    rim = _outline(vehicle, (-half, deck), (-half * 0.96, deck - 0.04), (half, deck - 0.04))
    canvas.shade([*rim, points["front"]], mix(lighter(cloth, 0.2), body, 0.2), opacity=0.9)
    foam = ellipse(_at(vehicle, 0.0, -0.03), half * 0.95, 0.014)
    canvas.shade(foam, (255, 255, 255), soft=0.006, opacity=0.7)


def _boom_end(vehicle: Vehicle, share: float = 1.0) -> Point:
    angle, length = math.radians(vehicle.swing_deg), vehicle.boom * share
    up = vehicle.hull_height + 0.05 + length * math.sin(angle)
    return _at(vehicle, -0.015 - length * math.cos(angle), up)


def keypoints(vehicle: Vehicle) -> dict[str, Point]:
    """Where corners, tips and wheels are; those that a form does not have are left out."""
    if vehicle.form == "boat":
        half, deck = vehicle.hull, vehicle.hull_height
        names = ("front", "rear", "keel_front", "keel_rear", "mast", "sail_foot")
        places = [(half * 1.1, deck + 0.02), (-half, deck), (half * 0.6, -0.03)]
        places += [(-half * 0.85, -0.03), (0.0, deck + vehicle.mast), (-0.015, deck + 0.05)]
        points = dict(zip(names, _outline(vehicle, *places), strict=True))
        return points | {"boom": _boom_end(vehicle)}
    rear, front = (_at(vehicle, axle, vehicle.wheel) for axle in _axles(vehicle))
    wheels = {"front_wheel": front, "rear_wheel": rear}
    return wheels | (_car_points(vehicle) if vehicle.form == "car" else _truck_points(vehicle))


def _car_points(vehicle: Vehicle) -> dict[str, Point]:
    waist = vehicle.wheel * 0.8 + vehicle.body_height
    up, end, lean = waist + vehicle.roof, -vehicle.cabin - vehicle.tail, vehicle.rake
    return {
        "front": _at(vehicle, vehicle.bonnet, waist - _fall(vehicle)),
        "rear": _at(vehicle, end, waist - 0.015),
        "roof_front": _at(vehicle, -lean, up),
        "roof_rear": _at(vehicle, lean * 0.8 - vehicle.cabin, up),
        "screen_foot": _at(vehicle, 0.0, waist),
    }


def _truck_points(vehicle: Vehicle) -> dict[str, Point]:
    waist, nose = vehicle.wheel + vehicle.body_height, vehicle.cabin * 0.7
    points = {
        "front": _at(vehicle, nose, waist),
        "roof_front": _at(vehicle, nose - vehicle.rake, waist + 0.17),
        "roof_rear": _at(vehicle, 0.0, waist + 0.17),
    }
    names = ("box_foot", "box_rear", "box_front")
    return points | dict(zip(names, _box(vehicle, (0, 0), (0, 1), (1, 1)), strict=True))
