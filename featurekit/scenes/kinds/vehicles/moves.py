"""Which vehicles there are, where they stand, how they move, and the record of their kind.

What a drag takes hold of is a corner or a tip that no other part ever lies over.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from featurekit.scenes.canvas import Canvas, Ink, Paint, Pattern
from featurekit.scenes.colours import COLOURS, darker, lighter
from featurekit.scenes.geometry import ellipse, rectangle
from featurekit.scenes.kind import Kind, Mover, Range, named, two_places, two_values, within
from featurekit.scenes.kinds.vehicles import vehicle as vehicles
from featurekit.scenes.kinds.vehicles.vehicle import CHOICES, GROUNDS, PAINTS, RANGES, Vehicle, room
from featurekit.scenes.wording import article

RAISED_DEG = 12.0  # from here on a box is said to be raised

Pair = tuple[Vehicle, Vehicle]
Vary = Callable[[Vehicle, Random, float], Pair | None]


def sample(rng: Random) -> Vehicle:
    """Draw a vehicle; the order of the draws is part of what a seed means."""
    drawn: dict[str, Any] = {name: rng.uniform(*ends) for name, ends in RANGES.items()}
    if rng.random() < 0.4:
        drawn["tilt_deg"] = 0.0
    drawn |= {name: rng.choice(allowed) for name, allowed in CHOICES.items()}
    ground = rng.choice([name for name in GROUNDS[drawn["form"]] if name != drawn["sky"]])
    free = [paint for paint in PAINTS if paint not in (drawn["sky"], ground)]
    drawn["body"], drawn["second"] = rng.sample(free, 2)
    draft = Vehicle(**drawn, ground=ground, x=0.5)
    return replace(draft, x=rng.uniform(*room(draft)))


def fits(vehicle: Vehicle) -> bool:
    """Whether lengths and choices are drawn ones, colours differ, and the frame cuts nothing."""
    colours = {vehicle.body, vehicle.second, vehicle.sky, vehicle.ground}
    return (
        all(within(getattr(vehicle, name), ends) for name, ends in RANGES.items())
        and all(getattr(vehicle, name) in allowed for name, allowed in CHOICES.items())
        and vehicle.ground in GROUNDS[vehicle.form]
        and len(colours) == 4
        and within(vehicle.x, room(vehicle))
    )


def backdrop(canvas: Canvas, vehicle: Vehicle) -> None:
    """Draw the sky with a cloud, and the road or the water below it."""
    sky, ground, horizon = COLOURS[vehicle.sky], COLOURS[vehicle.ground], vehicle.horizon
    pattern = Pattern(vehicle.sky_print, vehicle.period, 0.76)
    canvas.background(lighter(sky, 0.15), lighter(sky, 0.5), pattern=pattern)
    canvas.glow((1 - vehicle.cloud_x, 0.1), radius=0.16, colour=(255, 250, 225))
    for shift, width in ((-0.07, 0.1), (0.06, 0.12)):
        puff = (vehicle.cloud_x + shift, vehicle.cloud_y - shift * 0.3)
        canvas.shade(ellipse(puff, width, 0.05), (255, 255, 255), soft=0.006, opacity=0.85)
    hill = ellipse((vehicle.cloud_x, horizon + 0.02), 0.34, 0.13)
    canvas.shade(hill, darker(sky, 0.55), opacity=0.8)
    boat = vehicle.form == "boat"
    waves = Pattern("wavy", 0.13, 0.74, (0.0, horizon)) if boat else None
    surface = Paint(lighter(ground, 0.3), darker(ground, 0.8), pattern=waves)
    canvas.part(rectangle(-0.1, horizon, 1.1, 1.1), surface, Ink.NONE)
    if boat:
        return
    verge = rectangle(-0.1, horizon, 1.1, horizon + 0.06)
    canvas.shade(verge, darker(ground, 0.6), opacity=0.6)
    for i in range(4):
        dash = rectangle(0.3 * i - 0.05, 0.95, 0.3 * i + 0.1, 0.98)
        canvas.shade(dash, (250, 248, 235), opacity=0.9)


def caption(vehicle: Vehicle, rng: Random) -> str:
    """Say what is seen; what it stands on and the sky are left to chance."""
    look = f"{vehicle.body_print} " if vehicle.body_print and rng.random() < 0.5 else ""
    name, second = f"{vehicle.body} {vehicle.form}", vehicle.second
    if vehicle.form == "car":
        text = f"{article(look + name)} with {article(second)} roof"
    elif vehicle.form == "truck":
        raised = "raised " if vehicle.tilt_deg > RAISED_DEG else ""
        text = f"{article(name)} with {article(raised + look + second)} box"
    else:
        text = f"{article(name)} with {article(look + second)} sail"
    if rng.random() < 0.5:
        text += f" on {vehicle.ground} {'water' if vehicle.form == 'boat' else 'ground'}"
    if rng.random() < 0.5:
        text += f" under {article(vehicle.sky)} sky"
    return text


def _slide(vehicle: Vehicle, rng: Random, at_least: float) -> Pair | None:
    places = two_places(rng, room(vehicle), RANGES["y"], at_least)
    if places is None:
        return None
    before, after = (replace(vehicle, x=x, y=y) for x, y in places)
    return before, after


def _stretch(form: str, name: str) -> Vary:
    """Change one length of one form, and put the vehicle where both lengths are in the frame.

    A box is let down for it, so that it grows along the road.
    """

    def vary(vehicle: Vehicle, rng: Random, at_least: float) -> Pair | None:
        lengths = two_values(rng, RANGES[name], at_least)
        if vehicle.form != form or lengths is None:
            return None
        level = replace(vehicle, tilt_deg=0.0)
        return _changed(level, name, lengths, rng)

    return vary


def _turn(form: str, name: str, arm: Callable[[Vehicle], float]) -> Vary:
    """Turn a part about its pivot; ``arm`` says how long it is from there to what is dragged."""

    def vary(vehicle: Vehicle, rng: Random, at_least: float) -> Pair | None:
        if vehicle.form != form or at_least >= arm(vehicle):
            return None
        # What is dragged moves along an arc; its chord has to be long enough.
        chord = min(1.0, at_least / (2 * arm(vehicle)))
        angles = two_values(rng, RANGES[name], 2 * math.degrees(math.asin(chord)))
        if angles is None:
            return None
        return _changed(vehicle, name, angles, rng)

    return vary


def _changed(vehicle: Vehicle, name: str, values: Range, rng: Random) -> Pair | None:
    """The vehicle with either value, at one place where the frame cuts neither; None without."""
    changes: list[dict[str, Any]] = [{name: value} for value in values]
    before, after = (replace(vehicle, **change) for change in changes)
    (low, high), (other_low, other_high) = room(before), room(after)
    both = (max(low, other_low), min(high, other_high))
    if both[0] > both[1]:
        return None
    x = rng.uniform(*both)
    return replace(before, x=x), replace(after, x=x)


def _arm_of_box(vehicle: Vehicle) -> float:
    return math.hypot(vehicle.box_length, vehicle.box_height)


def _arm_of_boom(vehicle: Vehicle) -> float:
    return vehicle.boom


_keypoints = vehicles.keypoints

VEHICLE: Kind[Vehicle] = Kind(
    name="vehicle",
    share=0.0,
    sample=sample,
    fits=fits,
    backdrop=backdrop,
    figure=vehicles.figure,
    keypoints=_keypoints,
    caption=caption,
    movers=(
        Mover("slide", False, 0.2, _slide, named(_keypoints, "front")),
        Mover(
            "roof", True, 0.2, _stretch("car", "roof"), named(_keypoints, "roof_front", "roof_rear")
        ),
        Mover("bonnet", True, 0.2, _stretch("car", "bonnet"), named(_keypoints, "front")),
        Mover(
            "box",
            True,
            0.2,
            _stretch("truck", "box_length"),
            named(_keypoints, "box_rear"),
        ),
        Mover(
            "tip",
            True,
            0.22,
            _turn("truck", "tilt_deg", _arm_of_box),
            named(_keypoints, "box_front"),
        ),
        Mover("mast", True, 0.2, _stretch("boat", "mast"), named(_keypoints, "mast")),
        Mover(
            "sail", True, 0.2, _turn("boat", "swing_deg", _arm_of_boom), named(_keypoints, "boom")
        ),
    ),
)
