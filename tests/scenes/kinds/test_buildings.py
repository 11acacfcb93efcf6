"""Buildings: what is said of them is what they are, and every drag holds on to something seen."""

import math
import re
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from featurekit.scenes.colours import COLOURS
from featurekit.scenes.drawings import STYLES, Drawing
from featurekit.scenes.kinds.buildings.building import (
    ALIKE,
    CHOICES,
    FORMS,
    MARGIN,
    RANGES,
    doorway,
    eaves,
    flag_corners,
    leaf,
    on_leaf,
    tip,
)
from featurekit.scenes.kinds.buildings.moves import BUILDING, FLAG_REACH
from featurekit.scenes.painting import Matte, Painting

COLOUR = f"({'|'.join(COLOURS)})"
GRAMMAR = (
    rf"an? ((tall|small) )?{COLOUR} ((brick|striped) )?({'|'.join(FORMS)}) with an? {COLOUR} roof"
    rf"( and an? (open )?{COLOUR} door)?"
    rf"( and (an? (lit|dark) window|(two|three|many) (lit|dark) windows))?"
    rf"( under an? ((striped|checkered|dotted|wavy) )?{COLOUR} sky)?( on {COLOUR} ground)?"
)
SAMPLES = [BUILDING.sample(Random(seed)) for seed in range(120)]
MOVERS = {mover.name: mover for mover in BUILDING.movers}


def painted(params, size=64):
    canvas = Painting(size)
    BUILDING.backdrop(canvas, params)
    BUILDING.figure(canvas, params)
    return np.asarray(canvas.image()).astype(int)


def lines(params, style="brush", size=128):
    canvas = Drawing(STYLES[style](size))
    BUILDING.backdrop(canvas, params)
    BUILDING.figure(canvas, params)
    return np.asarray(canvas.image())[..., 0] < 128


def cover(params, size=128):
    matte = Matte(size)
    BUILDING.figure(matte, params)
    return np.asarray(matte.image())


def found(name, seed):
    """A move of full reach, as whoever asks for one looks for it."""
    mover, rng = MOVERS[name], Random(seed)
    for _ in range(600):
        pair = mover.vary(BUILDING.sample(rng), rng, mover.reach)
        if pair is None or not all(map(BUILDING.fits, pair)):
            continue
        drags = list(zip(*map(mover.handles, pair), strict=True))
        if min(math.dist(*drag) for drag in drags) >= mover.reach:
            return pair, drags
    return None


def grown(mask):
    framed = np.pad(mask, 1)
    height, width = mask.shape
    return np.any(
        [framed[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0
    )


def test_every_form_is_as_frequent_as_the_others_and_fits():
    drawn = [BUILDING.sample(Random(f"form {seed}")) for seed in range(600)]
    counts = [sum(b.form == form for b in drawn) for form in FORMS]
    assert min(counts) > 60
    assert all(BUILDING.fits(b) for b in drawn)


@pytest.mark.parametrize("name", RANGES)
def test_a_length_outside_its_range_does_not_fit(name):
    low, high = RANGES[name]
    for value in (low - 0.001, high + 0.001):
        assert not BUILDING.fits(replace(SAMPLES[0], **{name: value}))


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_that_is_not_on_its_list_does_not_fit(name):
    assert not BUILDING.fits(replace(SAMPLES[0], **{name: "none of them"}))


def test_colours_that_look_alike_do_not_meet():
    for b in SAMPLES:
        for other in (b.sky, b.ground, b.roof, b.door):
            assert math.dist(COLOURS[b.wall], COLOURS[other]) >= ALIKE
    assert not BUILDING.fits(replace(SAMPLES[0], roof=SAMPLES[0].sky))


def test_a_building_fills_the_frame_and_is_not_cut_by_it():
    for b in SAMPLES[:40]:
        rows, columns = np.nonzero(cover(b))
        assert rows.max() - rows.min() > 0.55 * 128
        assert min(rows.min(), columns.min(), 127 - columns.max()) >= int(MARGIN * 128) - 1
        assert rows.max() < 127


def test_keypoints_lie_in_the_frame_and_on_the_building():
    for b in SAMPLES[:40]:
        mask = grown(grown(cover(b) > 0))
        points = BUILDING.keypoints(b)
        assert {"roof_tip", "eaves_l", "eaves_r", "wall_l", "wall_r", "knob", "leaf"} <= set(points)
        for name, (x, y) in points.items():
            assert mask[int(y * 128), int(x * 128)], (b.form, name)


def test_a_door_is_as_dark_inside_as_it_is_open():
    b = next(b for b in SAMPLES if b.form == "barn")
    areas = []
    for opening in (0.0, 0.4, 0.8):
        left, top, right = (int(v * 128) for v in doorway(replace(b, opening=opening)))
        pixels = painted(replace(b, opening=opening), 128)
        inside = pixels[top + 3 : int(b.ground_y * 128) - 3, left + 1 : right]
        areas.append((inside.max(2) < 45).mean())
    assert areas[0] < 0.02
    assert areas[0] + 0.25 < areas[1] < areas[2] - 0.25


def test_the_free_edge_of_a_leaf_gets_longer_as_the_door_opens():
    closed, ajar = (leaf(replace(SAMPLES[0], opening=opening)) for opening in (0.0, 0.6))
    assert ajar[2][1] - ajar[3][1] > closed[2][1] - closed[3][1] + 0.05
    assert ajar[:2] == closed[:2]


def test_points_on_a_leaf_reach_from_its_hinges_to_its_free_edge():
    for b in SAMPLES[:20]:
        hinge, foot, low, high = leaf(b)
        assert on_leaf(b, 0, 0) == pytest.approx(hinge)
        assert on_leaf(b, 0, 1) == pytest.approx(foot)
        assert on_leaf(b, 1, 1) == pytest.approx(low)
        assert on_leaf(b, 1, 0) == pytest.approx(high)


def test_windows_are_bright_just_if_they_are_lit():
    for b in SAMPLES[:40]:
        middles = []
        for lit in (True, False):
            x, y = BUILDING.keypoints(b).get("window", BUILDING.keypoints(b).get("window_l"))
            # Beside the bar that divides the window.
            middles.append(painted(replace(b, lit=lit), 128)[int(y * 128) + 2, int(x * 128) + 2])
        assert middles[0][0] > middles[1][0] + 20, b.form


def test_captions_are_english_of_the_known_wording_and_short():
    for seed, b in enumerate(SAMPLES):
        text = BUILDING.caption(b, Random(seed))
        assert re.fullmatch(GRAMMAR, text), text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text), text
        assert len(text.split()) <= 27


def test_a_caption_names_form_wall_and_roof_and_nothing_that_is_not_there():
    said = set()
    for seed, b in enumerate(SAMPLES):
        text = BUILDING.caption(b, Random(seed))
        assert f"{b.form} with " in text
        assert f"{b.roof} roof" in text
        assert b.wall in text.split(b.form)[0]
        if " door" in text:
            said.add("open" if b.opening > 0.25 else "closed")
            assert (" open " in text) is (b.opening > 0.25)
            assert f"{b.door} door" in text
        if "window" in text:
            assert (" lit " in text) is b.lit
    assert said == {"open", "closed"}


@pytest.mark.parametrize("name", MOVERS)
def test_a_mover_keeps_its_promise_and_changes_what_it_takes_hold_of(name):
    for seed in range(6):
        made = found(name, seed)
        assert made is not None
        pair, drags = made
        changed = grown(np.abs(painted(pair[0]) - painted(pair[1])).max(2) > 8)
        for ends in zip(*drags, strict=True):
            assert all(MARGIN <= c <= 1 - MARGIN / 2 for point in ends for c in point)
            assert all(changed[int(y * 64), int(x * 64)] for x, y in ends)


@pytest.mark.parametrize("name", [m.name for m in BUILDING.movers if m.deforms])
def test_a_deformation_is_no_shifted_copy(name):
    for seed in range(3):
        (before, after), drags = found(name, seed)
        (x, y), (to_x, to_y) = drags[0]
        step = (round((to_y - y) * 128), round((to_x - x) * 128))
        shifted = np.roll(cover(before).astype(int), step, (0, 1))
        if name == "open":
            shifted = np.roll(lines(before).astype(int), step, (0, 1)) * 255
            wanted = lines(after).astype(int) * 255
        else:
            wanted = cover(after).astype(int)
        assert (np.abs(shifted - wanted) > 128).mean() > 0.01


def test_a_slide_leaves_the_horizon_and_the_buildings_shape():
    for seed in range(6):
        (before, after), _ = found("slide", seed)
        assert before.ground_y - before.horizon == pytest.approx(after.ground_y - after.horizon)
        moved = (after.centre_x - before.centre_x, after.ground_y - before.ground_y)
        for name, (x, y) in BUILDING.keypoints(before).items():
            there = BUILDING.keypoints(after)[name]
            assert there == pytest.approx((x + moved[0], y + moved[1]))


def test_raised_eaves_leave_the_roofs_tip():
    for seed in range(6):
        (before, after), _ = found("raise", seed)
        assert tip(before) == pytest.approx(tip(after))
        assert abs(eaves(before)[0][1] - eaves(after)[0][1]) >= MOVERS["raise"].reach


def test_a_stretched_building_keeps_one_wall():
    for seed in range(6):
        (before, after), _ = found("stretch", seed)
        ends = [b.centre_x - b.half_width for b in (before, after)]
        assert ends[0] == pytest.approx(ends[1])


def test_a_flag_that_turns_reaches_as_far_as_is_said():
    low, high = RANGES["flag_angle"]
    b = next(b for b in SAMPLES if b.form == "tower")
    ends = [flag_corners(replace(b, flag_angle=angle))[2] for angle in (low, high)]
    assert math.dist(*ends) == pytest.approx(FLAG_REACH, abs=0.01)


@pytest.mark.parametrize("style", STYLES)
def test_a_drawing_shows_nothing_of_light_and_prints(style):
    for b in SAMPLES[:6]:
        plain = replace(
            b, sky_pattern=None, ground_pattern=None, wall_pattern=None, roof_pattern=None
        )
        other = replace(plain, cloudy=not b.cloudy, lit=not b.lit)
        assert (lines(b, style) == lines(other, style)).all()
        assert np.abs(painted(b) - painted(other)).max() > 20
