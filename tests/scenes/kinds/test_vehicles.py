"""Vehicles: what is said is seen, what is dragged changes, and parts turn about their pivots."""

import math
import re
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from featurekit.scenes.colours import COLOURS
from featurekit.scenes.kinds.vehicles.moves import VEHICLE
from featurekit.scenes.kinds.vehicles.vehicle import CHOICES, MARGIN, RANGES
from featurekit.scenes.painting import Matte, Painting

SIZE = 64
MOVERS = {mover.name: mover for mover in VEHICLE.movers}
NAME = "|".join(COLOURS)
GRAMMAR = (
    rf"an? ((striped|dotted|wavy) )?({NAME}) "
    rf"(car with an? ({NAME}) roof|(truck with an? (raised )?|boat with an? )"
    rf"((striped|dotted|wavy) )?({NAME}) (box|sail))"
    rf"( on ({NAME}) (ground|water))?( under an? ({NAME}) sky)?"
)


def drawn(count, form=None):
    """So many vehicles, of one form if it is given."""
    rng, found = Random(7), []
    while len(found) < count:
        vehicle = VEHICLE.sample(rng)
        if form in (None, vehicle.form):
            found.append(vehicle)
    return found


def painted(vehicle, size=SIZE):
    canvas = Painting(size)
    VEHICLE.backdrop(canvas, vehicle)
    VEHICLE.figure(canvas, vehicle)
    return np.asarray(canvas.image()).astype(int)


def masked(vehicle, size=SIZE):
    canvas = Matte(size)
    VEHICLE.figure(canvas, vehicle)
    return np.asarray(canvas.image())


def moves(name, count):
    """Before and after of so many moves as long as the mover promises."""
    mover, rng, found = MOVERS[name], Random(3), []
    for _ in range(400):
        pair = mover.vary(VEHICLE.sample(rng), rng, mover.reach)
        if pair is not None and all(map(VEHICLE.fits, pair)):
            found.append(pair)
        if len(found) == count:
            return found
    raise AssertionError(f"only {len(found)} moves of {name}")


def test_sampled_vehicles_fit_and_all_forms_occur():
    vehicles = drawn(300)
    assert all(map(VEHICLE.fits, vehicles))
    assert {vehicle.form for vehicle in vehicles} == {"car", "truck", "boat"}


@pytest.mark.parametrize("name", RANGES)
def test_a_length_outside_its_range_does_not_fit(name):
    vehicle, (low, high) = drawn(1)[0], RANGES[name]
    assert not VEHICLE.fits(replace(vehicle, **{name: low - 0.001}))
    assert not VEHICLE.fits(replace(vehicle, **{name: high + 0.001}))


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_that_is_never_drawn_does_not_fit(name):
    assert not VEHICLE.fits(replace(drawn(1)[0], **{name: "plaid"}))


def test_a_vehicle_of_its_roads_or_its_skys_colour_does_not_fit():
    vehicle = drawn(1, "car")[0]
    assert VEHICLE.fits(vehicle)
    for colour in (vehicle.second, vehicle.sky, vehicle.ground):
        assert not VEHICLE.fits(replace(vehicle, body=colour))


def test_a_boat_on_a_road_does_not_fit():
    assert not VEHICLE.fits(replace(drawn(1, "boat")[0], ground="gray"))


@pytest.mark.parametrize("step", [-1, 1])
def test_a_vehicle_that_the_frame_would_cut_does_not_fit(step):
    vehicle = drawn(1)[0]
    assert not VEHICLE.fits(replace(vehicle, x=vehicle.x + step * 0.6))


def test_the_frame_cuts_no_vehicle():
    for vehicle in drawn(40):
        cover = masked(vehicle)
        assert not cover[[0, -1]].any()
        assert not cover[:, [0, -1]].any()


def test_a_vehicle_fills_about_half_of_the_frame_or_more_in_its_longer_direction():
    for vehicle in drawn(40):
        rows, columns = np.nonzero(masked(vehicle) > 128)
        longer = max(np.ptp(rows), np.ptp(columns)) / SIZE
        assert 0.4 < longer < 0.95


def test_a_mirrored_vehicle_is_the_mirror_image_of_itself():
    for vehicle in drawn(6):
        other = replace(vehicle, mirrored=not vehicle.mirrored, x=1 - vehicle.x)
        difference = masked(vehicle, 128)[:, ::-1].astype(int) - masked(other, 128)
        assert (np.abs(difference) > 128).mean() < 0.01


def test_keypoints_lie_on_the_vehicle_or_at_its_rim():
    for vehicle in drawn(30):
        cover = np.pad(masked(vehicle, 128), 2)
        points = VEHICLE.keypoints(vehicle)
        assert len(points) >= 6
        for x, y in points.values():
            assert MARGIN - 1e-9 <= x <= 1 - MARGIN + 1e-9
            assert cover[int(y * 128) : int(y * 128) + 5, int(x * 128) : int(x * 128) + 5].any()


def test_captions_are_of_the_known_wording_and_name_form_and_colours():
    rng = Random(5)
    for vehicle in drawn(150):
        text = VEHICLE.caption(vehicle, rng)
        assert re.fullmatch(GRAMMAR, text), text
        assert f"{vehicle.body} {vehicle.form}" in text
        assert f"{vehicle.second} " in text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text), text


def test_a_box_is_said_to_be_raised_just_if_it_is():
    for vehicle in drawn(30, "truck"):
        text = VEHICLE.caption(vehicle, Random(0))
        assert ("raised" in text) is (vehicle.tilt_deg > 12)


@pytest.mark.parametrize("name", MOVERS)
def test_what_is_dragged_travels_as_far_as_the_mover_promises(name):
    for before, after in moves(name, 12):
        handles = zip(*map(MOVERS[name].handles, (before, after)), strict=True)
        assert min(math.dist(*drag) for drag in handles) >= MOVERS[name].reach - 1e-9


@pytest.mark.parametrize("name", MOVERS)
def test_what_is_dragged_changes_where_it_was_and_where_it_arrives(name):
    for before, after in moves(name, 6):
        changed = np.abs(painted(before) - painted(after)).max(2) > 8
        for vehicle in (before, after):
            for x, y in MOVERS[name].handles(vehicle):
                column, row = int(x * SIZE), int(y * SIZE)
                assert changed[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].any()


def test_a_slide_carries_all_keypoints_alike():
    for before, after in moves("slide", 10):
        points = [np.array(list(VEHICLE.keypoints(v).values())) for v in (before, after)]
        steps = points[1] - points[0]
        assert np.ptp(steps, axis=0) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        ("roof", ("front", "rear", "front_wheel")),
        ("bonnet", ("rear", "roof_front", "rear_wheel")),
        ("box", ("front", "roof_rear", "box_front")),
        ("tip", ("front", "box_foot", "rear_wheel")),
        ("mast", ("front", "rear", "boom")),
        ("sail", ("front", "mast", "sail_foot")),
    ],
)
def test_a_deformation_leaves_the_other_parts_where_they_are(name, fixed):
    for before, after in moves(name, 8):
        first, second = VEHICLE.keypoints(before), VEHICLE.keypoints(after)
        for point in fixed:
            assert math.dist(first[point], second[point]) < 1e-9


@pytest.mark.parametrize(
    ("name", "pivot", "tip"), [("tip", "box_foot", "box_front"), ("sail", "sail_foot", "boom")]
)
def test_what_turns_keeps_its_distance_from_its_pivot(name, pivot, tip):
    for before, after in moves(name, 8):
        arms = [math.dist(p[pivot], p[tip]) for p in map(VEHICLE.keypoints, (before, after))]
        assert arms[0] == pytest.approx(arms[1])


@pytest.mark.parametrize("name", ["roof", "box", "sail"])
def test_a_mover_leaves_other_forms_alone(name):
    form = {"roof": "car", "box": "truck", "sail": "boat"}[name]
    others = [vehicle for vehicle in drawn(30) if vehicle.form != form]
    assert all(MOVERS[name].vary(vehicle, Random(0), 0.05) is None for vehicle in others)


def test_vehicles_are_held_out_of_training():
    assert VEHICLE.share == 0
