"""Flowers: what is said is seen, blossoms hide nothing that is dragged, and stems bend."""

import math
import re
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from featurekit.scenes.colours import COLOURS
from featurekit.scenes.drawings import STYLES, Drawing
from featurekit.scenes.kinds.flowers.flower import CHOICES, FLOWER_RANGES, RANGES
from featurekit.scenes.kinds.flowers.moves import FLOWERS
from featurekit.scenes.painting import Matte, Painting

SIZE = 64
MOVERS = {mover.name: mover for mover in FLOWERS.movers}
NAME = "|".join(COLOURS)
PRINT = "striped|dotted|wavy|checkered"
GRAMMAR = (
    rf"an? ((round|square|pointed) )?(({PRINT}) )?({NAME}) vase with "
    rf"((two|three) ({NAME}) flowers|an? ({NAME}) flower( and an? ({NAME}) flower){{0,2}})"
    rf"( on an? ({NAME}) table| on an? ({PRINT}) ({NAME}) background)?"
)


def drawn(count):
    rng = Random(11)
    return [FLOWERS.sample(rng) for _ in range(count)]


def painted(scene, size=SIZE):
    canvas = Painting(size)
    FLOWERS.backdrop(canvas, scene)
    FLOWERS.figure(canvas, scene)
    return np.asarray(canvas.image()).astype(int)


def masked(scene, size=SIZE):
    canvas = Matte(size)
    FLOWERS.figure(canvas, scene)
    return np.asarray(canvas.image())


def moves(name, count):
    """Before and after of so many moves as long as the mover promises."""
    mover, rng, found = MOVERS[name], Random(3), []
    for _ in range(400):
        pair = mover.vary(FLOWERS.sample(rng), rng, mover.reach)
        if pair is not None and all(map(FLOWERS.fits, pair)):
            found.append(pair)
        if len(found) == count:
            return found
    raise AssertionError(f"only {len(found)} moves of {name}")


def test_sampled_flowers_fit_and_there_are_one_to_three():
    scenes = drawn(150)
    assert all(map(FLOWERS.fits, scenes))
    assert {len(scene.flowers) for scene in scenes} == {1, 2, 3}


@pytest.mark.parametrize("name", RANGES)
def test_a_length_outside_its_range_does_not_fit(name):
    scene, (low, high) = drawn(1)[0], RANGES[name]
    assert not FLOWERS.fits(replace(scene, **{name: low - 0.001}))
    assert not FLOWERS.fits(replace(scene, **{name: high + 0.001}))


@pytest.mark.parametrize("name", FLOWER_RANGES)
def test_a_flower_outside_its_ranges_does_not_fit(name):
    scene, (low, high) = drawn(1)[0], FLOWER_RANGES[name]
    first, *others = scene.flowers
    for wrong in (low - 0.001, high + 0.001):
        flowers = (replace(first, **{name: wrong}), *others)
        assert not FLOWERS.fits(replace(scene, flowers=flowers))


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_that_is_never_drawn_does_not_fit(name):
    assert not FLOWERS.fits(replace(drawn(1)[0], **{name: "plaid"}))


@pytest.mark.parametrize("wrong", [{"petals": 3}, {"colour": "green"}, {"colour": "wall"}])
def test_a_flower_that_is_never_drawn_does_not_fit(wrong):
    scene = next(scene for scene in drawn(60) if scene.wall in ("blue", "pink", "yellow"))
    wrong = {key: scene.wall if value == "wall" else value for key, value in wrong.items()}
    first, *others = scene.flowers
    assert not FLOWERS.fits(replace(scene, flowers=(replace(first, **wrong), *others)))


def test_a_vase_of_its_tables_or_its_walls_colour_does_not_fit():
    for scene in drawn(10):
        assert not FLOWERS.fits(replace(scene, vase=scene.table))
        assert not FLOWERS.fits(replace(scene, vase=scene.wall))


def test_no_flowers_and_flowers_over_each_other_do_not_fit():
    scene = next(scene for scene in drawn(60) if len(scene.flowers) == 2)
    assert not FLOWERS.fits(replace(scene, flowers=()))
    assert not FLOWERS.fits(replace(scene, flowers=(scene.flowers[0],) * 2))


def test_the_frame_cuts_neither_vase_nor_flowers():
    for scene in drawn(30):
        cover = masked(scene)
        assert not cover[[0, -1]].any()
        assert not cover[:, [0, -1]].any()


def test_keypoints_lie_on_the_thing_or_at_its_rim():
    for scene in drawn(30):
        cover = np.pad(masked(scene, 128), 2)
        points = FLOWERS.keypoints(scene)
        assert len(points) == 5 + len(scene.flowers)
        for x, y in points.values():
            assert cover[int(y * 128) : int(y * 128) + 5, int(x * 128) : int(x * 128) + 5].any()


def test_no_other_part_lies_over_a_blossoms_dark_middle():
    for scene in drawn(20):
        sheet = Drawing(STYLES["hatching"](128))
        FLOWERS.figure(sheet, scene)
        lines = np.asarray(sheet.image())[..., 0]
        points = FLOWERS.keypoints(scene)
        for i in range(len(scene.flowers)):
            x, y = points[f"blossom_{i}"]
            assert lines[int(y * 128), int(x * 128)] < 60


def test_captions_are_of_the_known_wording_and_name_all_flowers():
    rng = Random(5)
    for scene in drawn(120):
        text = FLOWERS.caption(scene, rng)
        assert re.fullmatch(GRAMMAR, text), text
        assert f"{scene.vase} vase" in text
        assert all(f"{flower.colour} flower" in text for flower in scene.flowers)
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text), text
        assert len(text.split()) <= 24


def test_flowers_of_one_colour_are_counted():
    scene = next(s for s in drawn(100) if len(s.flowers) == 3)
    alike = tuple(replace(flower, colour="red") for flower in scene.flowers)
    assert "three red flowers" in FLOWERS.caption(replace(scene, flowers=alike), Random(0))
    assert "two red flowers" in FLOWERS.caption(replace(scene, flowers=alike[:2]), Random(0))
    assert "a red flower" in FLOWERS.caption(replace(scene, flowers=alike[:1]), Random(0))


@pytest.mark.parametrize("name", MOVERS)
def test_what_is_dragged_travels_as_far_as_the_mover_promises(name):
    for before, after in moves(name, 12):
        handles = zip(*map(MOVERS[name].handles, (before, after)), strict=True)
        assert min(math.dist(*drag) for drag in handles) >= MOVERS[name].reach - 1e-9


@pytest.mark.parametrize("name", MOVERS)
def test_what_is_dragged_changes_where_it_was_and_where_it_arrives(name):
    for before, after in moves(name, 6):
        changed = np.abs(painted(before) - painted(after)).max(2) > 8
        for scene in (before, after):
            for x, y in MOVERS[name].handles(scene):
                column, row = int(x * SIZE), int(y * SIZE)
                assert changed[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].any()


def test_a_slide_carries_all_keypoints_alike():
    for before, after in moves("slide", 8):
        points = [np.array(list(FLOWERS.keypoints(s).values())) for s in (before, after)]
        assert np.ptp(points[1] - points[0], axis=0) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        ("bend", ("rim", "belly", "leaf_tip", "foot")),
        ("widen", ("rim", "leaf_tip", "blossom_0")),
        ("grow", ("foot", "near_foot", "blossom_0")),
        ("leaf", ("rim", "foot", "blossom_0")),
    ],
)
def test_a_deformation_leaves_the_other_parts_where_they_are(name, fixed):
    for before, after in moves(name, 8):
        first, second = FLOWERS.keypoints(before), FLOWERS.keypoints(after)
        for point in fixed:
            assert math.dist(first[point], second[point]) < 1e-9


def test_a_dragged_blossom_turns_with_its_stem():
    (before, after) = max(
        moves("bend", 20), key=lambda pair: abs(pair[0].flowers[0].reach - pair[1].flowers[0].reach)
    )
    turned = []
    for scene in (before, after):
        alone = replace(scene, flowers=scene.flowers[:1])
        (x, y), radius = FLOWERS.keypoints(alone)["blossom_0"], scene.flowers[0].radius
        cover = masked(alone, 128)
        left, top = round((x - radius) * 128), round((y - radius) * 128)
        side = int(2 * radius * 128)
        turned.append(cover[top : top + side, left : left + side] > 128)
    assert (turned[0] != turned[1]).mean() > 0.1


def test_flowers_are_held_out_of_training():
    assert FLOWERS.share == 0
