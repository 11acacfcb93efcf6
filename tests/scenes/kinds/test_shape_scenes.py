"""Shapes: whole, apart, of the form and print that the caption says, with named corners."""

import math
import re
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from featurekit.scenes.colours import COLOURS
from featurekit.scenes.kinds.shapes.moves import SHAPES
from featurekit.scenes.kinds.shapes.shape import (
    ALONE,
    CORNERS,
    FORMS,
    LARGE,
    PRINTS,
    SMALL,
    Shape,
    Shapes,
    caption,
    corners,
    fits,
    keypoints,
    sample,
)
from featurekit.scenes.painting import Matte, Painting

SIZE = 64
MOVERS = {mover.name: mover for mover in SHAPES.movers}
SQUARE = Shape(
    form="square",
    x=0.3,
    y=0.3,
    radius=0.16,
    angle_deg=0.0,
    colour="red",
    aspect=1.0,
    pattern=None,
)
HEART = replace(SQUARE, form="heart", colour="yellow", x=0.7, y=0.7)
TWO = Shapes(shapes=(SQUARE, HEART), background="blue", texture=None, period=0.2, light=1)


def painted(scene, size=SIZE):
    painting = Painting(size)
    SHAPES.backdrop(painting, scene)
    SHAPES.figure(painting, scene)
    return np.asarray(painting.image()).astype(int)


def masked(scene, size=SIZE):
    matte = Matte(size)
    SHAPES.figure(matte, scene)
    return np.asarray(matte.image())


def pair(seed, name):
    """Two scenes of a move as long as the mover promises."""
    rng, mover = Random(seed), MOVERS[name]
    for _ in range(300):
        both = mover.vary(sample(rng), rng, mover.reach)
        if both is not None and all(map(fits, both)):
            return both
    raise AssertionError(f"a {name} of {mover.reach} must occur in 300 scenes")


def scenes(count):
    return [sample(Random(seed)) for seed in range(count)]


def test_no_shape_is_cut_by_the_frame_and_no_two_touch():
    for scene in scenes(60):
        covers = [masked(replace(scene, shapes=(shape,))) for shape in scene.shapes]
        for cover in covers:
            assert cover.max() == 255
            assert not cover[[0, -1]].any()
            assert not cover[:, [0, -1]].any()
        assert (np.sum([cover > 0 for cover in covers], 0) <= 1).all()


def test_every_form_print_and_colour_of_ground_occurs():
    made = scenes(500)
    assert {shape.form for scene in made for shape in scene.shapes} == set(FORMS)
    assert {shape.pattern for scene in made for shape in scene.shapes} == set(PRINTS)
    assert {scene.texture for scene in made} == set(PRINTS)
    assert {scene.background for scene in made} == set(COLOURS)
    assert {len(scene.shapes) for scene in made} == {1, 2, 3}


def test_no_two_shapes_of_a_scene_share_form_or_colour_so_that_names_are_their_own():
    for scene in scenes(200):
        count = len(scene.shapes)
        assert len({shape.form for shape in scene.shapes}) == count
        assert len({shape.colour for shape in scene.shapes} | {scene.background}) == count + 1
        assert len(keypoints(scene)) == sum(len(CORNERS[s.form]) for s in scene.shapes)


@pytest.mark.parametrize("form", FORMS)
def test_a_forms_points_lie_on_its_rim(form):
    scene = replace(TWO, shapes=(replace(SQUARE, form=form, x=0.5, y=0.5, radius=0.3),))
    cover = masked(scene, 256) > 127
    points = keypoints(scene)
    assert set(points) == {f"{form}_{name}" for name in CORNERS[form]}
    for x, y in points.values():
        row, column = int(y * 256), int(x * 256)
        around = cover[row - 3 : row + 4, column - 3 : column + 4]
        assert around.any()
        assert not around.all()


@pytest.mark.parametrize(
    ("form", "names", "below"),
    [
        ("heart", ("notch", "tip"), True),
        ("triangle", ("tip", "corner_1"), True),
        ("star", ("tip_1", "tip_3"), True),
    ],
)
def test_upright_forms_stand_the_right_way_up(form, names, below):
    points = keypoints(replace(TWO, shapes=(replace(SQUARE, form=form),)))
    first, second = (points[f"{form}_{name}"][1] for name in names)
    assert (first < second) is below


@pytest.mark.parametrize("form", FORMS)
def test_the_point_that_a_shape_is_moved_by_lies_on_it(form):
    scene = replace(TWO, shapes=(replace(SQUARE, form=form),))
    ((x, y),) = MOVERS["move"].handles(scene)
    assert masked(scene)[int(y * SIZE), int(x * SIZE)] == 255


@pytest.mark.parametrize("pattern", [print_ for print_ in PRINTS if print_])
def test_a_print_is_seen_and_travels_with_its_shape(pattern):
    plain = replace(TWO, shapes=(replace(SQUARE, radius=0.22),), background="white")
    cell = 8 / SIZE

    def tile(scene):
        (shape,) = scene.shapes
        row, column = round((shape.y - 0.125) * SIZE), round((shape.x - 0.125) * SIZE)
        return painted(scene)[row : row + 16, column : column + 16]

    shape = replace(plain.shapes[0], x=24 / SIZE, y=24 / SIZE, pattern=pattern)
    here = replace(plain, shapes=(shape,))
    there = replace(plain, shapes=(replace(shape, x=shape.x + cell, y=shape.y + cell),))
    unprinted = replace(plain, shapes=(replace(shape, pattern=None),))
    assert np.abs(tile(here) - tile(unprinted)).max() > 40
    assert np.abs(tile(here) - tile(there)).max() <= 2


def test_a_stretched_shape_grows_or_shrinks_both_ways():
    for seed in range(20):
        (before,), (after,) = (scene.shapes for scene in pair(seed, "stretch"))
        assert (before.radius < after.radius) is (before.aspect < after.aspect)
        assert (before.x, before.y) == (after.x, after.y)


def test_a_turned_shape_keeps_its_place_and_size():
    forms = set()
    for seed in range(40):
        before, after = (scene.shapes[0] for scene in pair(seed, "turn"))
        assert replace(before, angle_deg=0.0) == replace(after, angle_deg=0.0)
        assert before.angle_deg != after.angle_deg
        forms.add(before.form)
    assert forms >= {"square", "triangle", "heart", "crescent"}
    assert not forms & {"circle", "star"}


@pytest.mark.parametrize("name", MOVERS)
def test_a_mover_leaves_all_but_the_first_shape_alone(name):
    for seed in range(20):
        before, after = pair(seed, name)
        assert before.shapes[1:] == after.shapes[1:]
        assert replace(before, shapes=()) == replace(after, shapes=())
        drags = zip(MOVERS[name].handles(before), MOVERS[name].handles(after), strict=True)
        if name != "stretch":
            assert min(math.dist(*drag) for drag in drags) >= MOVERS[name].reach - 1e-9


def test_a_lone_shape_is_said_to_be_large_or_small_just_if_it_is():
    sizes = set()
    for seed, scene in enumerate(scenes(200)):
        text = caption(scene, Random(seed))
        size = ""
        if len(scene.shapes) == 1:
            radius = scene.shapes[0].radius
            size = "large" if radius > LARGE else "small" if radius < SMALL else ""
            sizes.add(size)
        assert [word for word in ("large", "small") if word in text] == size.split()
    assert sizes == {"large", "small", ""}


def test_a_caption_names_every_shape_with_its_print_and_colour():
    for seed, scene in enumerate(scenes(200)):
        text = caption(scene, Random(seed))
        things, _, ground = text.partition(" on ")
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|  ", text), text
        assert things.count(" and ") == len(scene.shapes) - 1
        for shape in scene.shapes:
            printed = f"{shape.pattern} " if shape.pattern else ""
            phrase = rf"\b(an?|large|small) {printed}{shape.colour} {shape.form}\b"
            assert re.search(phrase, things), text
        if ground:
            texture = f"{scene.texture} " if scene.texture else ""
            assert re.fullmatch(rf"an? {texture}{scene.background} background", ground)


@pytest.mark.parametrize(
    "wrong",
    [
        {"radius": 0.14},
        {"radius": 0.24},
        {"x": 0.17},
        {"y": 0.83},
        {"angle_deg": 40.1},
        {"aspect": 1.36},
        {"aspect": 0.71},
        {"x": 0.6, "y": 0.7},  # over the heart
        {"form": "heart"},
        {"form": "ring"},
        {"colour": "yellow"},
        {"colour": "blue"},
        {"colour": "purple"},  # on blue
        {"colour": "gray"},
        {"colour": "black", "pattern": "dotted"},
        {"pattern": "plaid"},
    ],
)
def test_a_shape_out_of_range_over_another_or_like_its_ground_does_not_fit(wrong):
    assert fits(TWO)
    assert fits(replace(TWO, shapes=(replace(SQUARE, angle_deg=39.0), HEART)))
    assert not fits(replace(TWO, shapes=(replace(SQUARE, **wrong), HEART)))


@pytest.mark.parametrize(
    "wrong",
    [{"shapes": ()}, {"texture": "plaid"}, {"period": 0.1}, {"light": 0}, {"background": "teal"}],
)
def test_a_scene_of_unknown_ground_or_without_shapes_does_not_fit(wrong):
    assert not fits(replace(TWO, **wrong))


def test_a_shape_may_be_larger_just_if_it_is_alone():
    large = replace(SQUARE, x=0.5, y=0.5, radius=(ALONE[1] + 0.3) / 2)
    far = replace(HEART, x=0.83, y=0.83, radius=0.15)
    assert fits(replace(TWO, shapes=(large,)))
    assert not fits(replace(TWO, shapes=(large, far)))


def test_a_circles_outline_does_not_turn():
    circle = replace(SQUARE, form="circle", aspect=0.8)
    assert corners(circle) == corners(replace(circle, angle_deg=30.0))
    assert corners(SQUARE) != corners(replace(SQUARE, angle_deg=30.0))
