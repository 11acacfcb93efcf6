"""Landscapes: what has a name is seen, whole, and in the colours that the caption says."""

import re
from collections import Counter
from dataclasses import fields, replace
from random import Random

import numpy as np
import pytest

from featurekit.scenes.kinds.landscapes.landscape import (
    CHOICES,
    RANGES,
    WORDS,
    caption,
    fits,
    sample,
)
from featurekit.scenes.kinds.landscapes.moves import LANDSCAPE
from featurekit.scenes.kinds.landscapes.parts import door_corners, keypoints, window
from featurekit.scenes.painting import Matte, Painting

SIZE = 64
SEEDS = range(20)
MOVERS = {mover.name: mover for mover in LANDSCAPE.movers}


def painted(land, size=SIZE):
    painting = Painting(size)
    LANDSCAPE.backdrop(painting, land)
    LANDSCAPE.figure(painting, land)
    return np.asarray(painting.image()).astype(int)


def masked(land, size=SIZE):
    matte = Matte(size)
    LANDSCAPE.figure(matte, land)
    return np.asarray(matte.image())


def pair(seed, name, at_least=None):
    """Two scenes of a move, found as ``move`` finds them."""
    rng, mover = Random(seed), MOVERS[name]
    wanted = mover.reach if at_least is None else at_least
    for _ in range(300):
        both = mover.vary(sample(rng), rng, wanted)
        if both is not None and all(map(fits, both)):
            return both
    raise AssertionError(f"a {name} of {wanted} must occur in 300 scenes")


def slim(seed=0):
    """A house alone in the middle, so that any length may take any value of its range."""
    land = sample(Random(seed))
    lengths = {name: (low + high) / 2 for name, (low, high) in RANGES.items()} | {"sun_x": 0.17}
    return replace(land, **lengths, house=True, tree=False, mountain=False)


@pytest.mark.parametrize("name", [name for name in MOVERS if name != "sun"])
def test_what_is_dragged_is_seen_before_and_after(name):
    part = {"peak": "mountain", "tree_top": "tree", "tree_lean": "tree", "roof": "house"}
    for seed in SEEDS:
        for land in pair(seed, name):
            bare = replace(land, **{part.get(name, name): False})
            difference = np.abs(painted(land) - painted(bare)).max(2)
            for x, y in MOVERS[name].handles(land):
                assert 0 <= x < 1
                assert 0 <= y < 1
                # A tip is a point: what is seen of it lies just below.
                assert difference[int(y * SIZE) :, int(x * SIZE)][:4].max() > 15


@pytest.mark.parametrize("moon", [False, True])
def test_the_whole_disc_of_the_sun_is_seen(moon):
    for seed in SEEDS:
        land = replace(sample(Random(seed)), moon=moon, clouds=False)
        bare = replace(land, mountain=False, house=False, tree=False)
        difference = np.abs(painted(land) - painted(bare)).max(2)
        for angle in np.linspace(0, 2 * np.pi, 16, endpoint=False):
            x = land.sun_x + land.sun_radius * 0.9 * np.cos(angle)
            y = land.sun_y + land.sun_radius * 0.9 * np.sin(angle)
            assert difference[int(y * SIZE), int(x * SIZE)] == 0


def test_clouds_leave_the_sun_alone():
    clouded = 0
    for seed in range(60):
        land = replace(sample(Random(seed)), clouds=True)
        difference = np.abs(painted(land) - painted(replace(land, clouds=False))).max(2)
        x, y, reach = (int(v * SIZE) for v in (land.sun_x, land.sun_y, land.sun_radius))
        assert not difference[max(0, y - reach) : y + reach, x - reach : x + reach].any()
        clouded += bool(difference.any())
    assert clouded > 50


@pytest.mark.parametrize("name", MOVERS)
def test_house_and_tree_never_hide_each_other(name):
    together = 0
    for seed in range(40):
        for land in pair(seed, name, 0.1):
            if not (land.house and land.tree):
                continue
            house, tree = (
                masked(one) for one in (replace(land, tree=False), replace(land, house=False))
            )
            assert house.any()
            assert tree.any()
            assert not ((house > 0) & (tree > 0)).any()
            together += 1
    assert together > 3


def test_house_and_tree_are_not_cut_by_the_frame():
    for seed in range(100):
        mask = masked(sample(Random(seed)))
        assert mask.max() == 255
        assert not mask[[0, -1]].any()
        assert not mask[:, [0, -1]].any()


def test_the_mask_leaves_the_backdrop_out():
    for seed in range(8):
        land = sample(Random(seed))
        empty = replace(land, house=False, tree=False)
        assert not masked(empty).any()
        assert painted(empty).std() > 5
        assert (
            masked(replace(land, mountain=False, clouds=False, moon=True)) == masked(land)
        ).all()
        standing = np.abs(painted(land) - painted(empty)).max(2) > 30
        assert standing[masked(land) > 250].mean() > 0.7


def test_dragging_the_sun_moves_no_shadow():
    for seed in SEEDS:
        before, after = pair(seed, "sun")
        difference = np.abs(painted(before) - painted(after)).max(2)
        assert not difference[int(0.8 * SIZE) :].any()
        assert (before.sun_x < 0.5) is (after.sun_x < 0.5)


def test_shadows_fall_away_from_the_sun():
    for seed in range(8):
        land = replace(slim(seed), moon=False)
        sides = []
        for sun_x in (0.15, 0.85):
            one = replace(land, sun_x=sun_x)
            dark = painted(replace(one, house=False)).sum(2) - painted(one).sum(2)
            ground = int((land.house_y + 0.02) * SIZE)
            columns = np.nonzero(dark[ground] > 30)[0]
            sides.append(columns.mean() / SIZE - land.house_x)
        assert sides[0] > 0.01
        assert sides[1] < -0.01


def test_a_door_is_clearly_seen_at_64_px():
    for seed in range(40):
        land = slim(seed)
        (x1, top), (x2, _) = door_corners(land)
        assert abs(x1 - x2) * SIZE >= 4.5
        assert (land.house_y - top) * SIZE >= 7
        row = painted(land)[int((top + land.house_y) / 2 * SIZE)].mean(1)
        first, last = sorted((int(x1 * SIZE), int(x2 * SIZE)))
        leaf = row[first + 1 : last].max()
        assert row[first - 2 : first].max() > leaf + 60
        assert row[last + 1 : last + 3].max() > leaf + 60


def test_a_window_is_lit_just_if_the_moon_shines():
    for seed in range(12):
        for moon in (False, True):
            land = replace(slim(seed), moon=moon)
            x, y = window(land)
            red, _, blue = painted(land, 128)[int(y * 128), int(x * 128)]
            assert bool(red > blue) is moon


@pytest.mark.parametrize("side", [-1, 1])
def test_door_and_window_are_on_either_side_of_the_house(side):
    land = replace(slim(), door_side=side)
    points = keypoints(land)
    assert (points["door"][0] - land.house_x) * side > 0
    assert (points["window"][0] - land.house_x) * side < 0
    assert (points["wall_door"][0] - points["wall_window"][0]) * side > 0


def test_points_are_named_for_the_parts_that_are_there():
    for seed in range(60):
        land = sample(Random(seed))
        points = keypoints(land)
        assert "sun" in points
        assert ("peak" in points) is land.mountain
        assert ("door" in points) is ("eaves_door" in points) is land.house
        assert ("tree_top" in points) is ("tree_base" in points) is land.tree
        assert all(0 <= c <= 1 for point in points.values() for c in point)


def test_a_parameter_outside_its_range_does_not_fit():
    land = slim()
    assert fits(land)
    for name, (low, high) in RANGES.items():
        assert not fits(replace(land, **{name: low - 0.001}))
        assert not fits(replace(land, **{name: high + 0.001}))
        if name not in ("house_x", "sun_x"):
            assert fits(replace(land, **{name: low}))
            assert fits(replace(land, **{name: high}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"house_x": 0.17, "house_width": 0.18},  # the frame cuts the roof
        {"sun_x": 0.12, "sun_radius": 0.095, "sun_y": 0.12, "tree": True, "tree_x": 0.13},
        {"house": False},
        {"tree": True, "tree_x": 0.55},
        {"door_side": 0},
        {"door": "white", "wall": "blue"},
        {"mountain": True, "peak_x": 0.5, "peak_y": 0.46, "house_height": 0.3, "roof_height": 0.2},
        {"mountain": True, "peak_x": 0.2, "peak_y": 0.14},  # over the sun
        {"moon": True, "sky": "pink"},
    ],
)
def test_a_landscape_in_which_something_is_hidden_cut_or_unknown_does_not_fit(wrong):
    assert fits(slim())
    assert not fits(replace(slim(), **wrong))


@pytest.mark.parametrize(
    ("thing", "behind"),
    [
        ("mountain_colour", "sky"),
        ("wall", "ground"),
        ("roof", "mountain_colour"),
        ("door", "wall"),
        ("tree_colour", "ground"),
    ],
)
def test_nothing_has_the_colour_of_what_is_behind_it(thing, behind):
    for seed in range(200):
        land = sample(Random(seed))
        assert getattr(land, thing) != getattr(land, behind)
    shared = next(c for c in CHOICES[thing] if c in CHOICES[behind])
    assert not fits(replace(slim(), **{thing: shared, behind: shared}))


def test_a_taller_tree_keeps_its_foot_and_a_leaning_one_its_height():
    for seed in SEEDS:
        before, after = map(keypoints, pair(seed, "tree_top"))
        assert before["tree_base"] == after["tree_base"]
        assert before["tree_top"][0] == after["tree_top"][0]
        before, after = map(keypoints, pair(seed, "tree_lean"))
        assert before["tree_base"] == after["tree_base"]
        assert before["tree_top"][1] == after["tree_top"][1]


@pytest.mark.parametrize("name", ["tree_top", "tree_lean"])
def test_the_top_of_a_tree_is_where_its_point_is(name):
    for seed in SEEDS:
        for land in pair(seed, name):
            rows = np.nonzero(masked(replace(land, house=False), 256).max(1) > 127)[0]
            assert abs(rows[0] / 256 - keypoints(land)["tree_top"][1]) < 0.015


def test_choices_of_every_sort_occur():
    lands = [sample(Random(seed)) for seed in range(600)]
    for name, options in CHOICES.items():
        assert {getattr(land, name) for land in lands} == set(options)
    stands = Counter((land.house, land.tree) for land in lands)
    assert set(stands) == {(True, True), (True, False), (False, True)}
    assert 0.4 < stands[True, True] / 600 < 0.6
    assert len(fields(lands[0])) >= 20


def test_a_caption_names_all_that_stands_in_it_in_few_words():
    for seed in range(300):
        land = sample(Random(seed))
        text = caption(land, Random(seed))
        assert text.startswith("a landscape with ")
        assert len(text.split()) <= WORDS
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|  ", text), text
        for thing in ("mountain", "house", "tree"):
            assert (thing in text) is getattr(land, thing)
        assert ("the moon" in text) is land.moon
        assert "the sun" not in text or not land.moon
        assert "clouds" not in text or land.clouds
        assert "chimney" not in text or land.chimney
        if land.house:
            assert f"house with a {land.roof} roof" in text
            assert land.wall in text
        if land.tree:
            assert f"{land.tree_colour} {land.tree_form} tree" in text
