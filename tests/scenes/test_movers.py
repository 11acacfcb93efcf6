"""The kinds' own movers: what is dragged is seen, whole, and within what the kind allows."""

from dataclasses import replace

import numpy as np
import pytest

from featurekit.scenes import KINDS, Scene, move, scene
from featurekit.scenes.faces import RANGES as FACE_RANGES
from featurekit.scenes.landscapes import RANGES as LANDSCAPE_RANGES

SIZE = 64
SEEDS = range(20)


def painted(kind, params, size=SIZE):
    return np.asarray(Scene(kind, params, 0).image(size)).astype(int)


def both(kind, name, seeds=SEEDS):
    """Before and after of many moves, each with its handles or targets in px."""
    for seed in seeds:
        made = move(seed, kind, name=name)
        for end, one in enumerate((made.before, made.after)):
            yield one.params, [drag[end] for drag in made.drags_px(SIZE)]


def without(land, name):
    """The landscape in which the dragged object is missing, or shines as the other one."""
    if name == "sun":
        return replace(land, moon=not land.moon)
    part = {"peak": "mountain", "tree_top": "tree", "roof": "house"}.get(name, name)
    return replace(land, **{part: False})


@pytest.mark.parametrize("name", [mover.name for mover in KINDS["landscape"].movers])
def test_what_is_dragged_in_a_landscape_is_seen(name):
    for land, points in both("landscape", name):
        difference = np.abs(painted("landscape", land) - painted("landscape", without(land, name)))
        for x, y in points:
            # A peak is a point: what is seen of it lies just below.
            below = difference[int(y) : int(y) + 3, int(x)]
            assert below.max() > 15


def test_the_whole_disc_of_a_dragged_sun_is_seen():
    for land, [(x, y)] in both("landscape", "sun"):
        other = replace(land, moon=not land.moon)
        difference = np.abs(painted("landscape", land) - painted("landscape", other)).max(2)
        for angle in np.linspace(0, 2 * np.pi, 16, endpoint=False):
            reach = land.sun_radius * SIZE - 1.5
            assert difference[int(y + reach * np.sin(angle)), int(x + reach * np.cos(angle))] > 30


@pytest.mark.parametrize("name", ["house", "roof", "tree", "tree_top"])
def test_house_and_tree_do_not_hide_each_other_when_one_is_dragged(name):
    together = 0
    for land, _ in both("landscape", name):
        if not (land.house and land.tree):
            continue
        nothing = painted("landscape", replace(land, house=False, tree=False))
        house, tree = (
            np.abs(painted("landscape", one) - nothing).max(2) > 0
            for one in (replace(land, tree=False), replace(land, house=False))
        )
        assert not (house & tree).any()
        together += 1
    assert together > 5


@pytest.mark.parametrize("name", ["house", "roof", "tree", "tree_top"])
def test_what_is_dragged_over_the_ground_is_not_cut_by_the_frame(name):
    part = "tree" if name.startswith("tree") else "house"
    for land, _ in both("landscape", name, SEEDS[:8]):
        bare = replace(land, **{part: False})
        columns = np.abs(painted("landscape", land, 128) - painted("landscape", bare, 128)).max(2)
        assert not columns[:, [0, -1]].any()


def test_a_dragged_brow_is_not_under_hair_or_hat():
    for face, points in both("face", "brows"):
        bald = replace(face, style="bald")
        shifted = replace(face, brow=face.brow + (0.03 if face.brow < 0 else -0.03))
        difference = np.abs(painted("face", face) - painted("face", shifted)).max(2)
        alone = np.abs(painted("face", bald) - painted("face", replace(shifted, style="bald")))
        for x, y in points:
            assert difference[int(y), int(x)] > 0.2 * alone.max(2)[int(y), int(x)]


def test_a_longer_face_keeps_the_top_of_its_head():
    for seed in SEEDS:
        made = move(seed, "face", name="longer")
        tops = [p.centre_y - p.radius_y for p in (made.before.params, made.after.params)]
        assert tops[0] == pytest.approx(tops[1])


def test_the_corners_of_a_smile_are_up_and_of_a_sad_mouth_down():
    for seed in range(40):
        face = scene(seed, "face")
        points = face.keypoints()
        corner, middle = points["mouth_l"][1], points["mouth_c"][1]
        assert (corner < middle) is (face.params.smile > 0)


def test_a_stretched_shape_grows_or_shrinks_both_ways():
    for seed in SEEDS:
        made = move(seed, "shapes", name="stretch")
        (before,), (after,) = made.before.params.shapes, made.after.params.shapes
        assert (before.radius < after.radius) is (before.aspect < after.aspect)


def test_a_lone_shape_is_said_to_be_large_or_small_just_if_it_is():
    sizes = set()
    for seed in range(200):
        made = scene(seed, "shapes")
        if len(made.params.shapes) > 1:
            continue
        radius = made.params.shapes[0].radius
        size = "large" if radius > 0.22 else "small" if radius < 0.17 else ""
        assert [word for word in ("large", "small") if word in made.caption()] == size.split()
        sizes.add(size)
    assert sizes == {"large", "small", ""}


@pytest.mark.parametrize(
    ("kind", "ranges"), [("face", FACE_RANGES), ("landscape", LANDSCAPE_RANGES)]
)
def test_a_parameter_outside_its_range_does_not_fit(kind, ranges):
    land_alone = {"house": False} if kind == "landscape" else {}
    params = replace(scene(0, kind).params, **land_alone)
    fits = KINDS[kind].fits
    assert fits(params)
    for name, (low, high) in ranges.items():
        assert fits(replace(params, **{name: low}))
        assert fits(replace(params, **{name: high}))
        assert not fits(replace(params, **{name: low - 0.001}))
        assert not fits(replace(params, **{name: high + 0.001}))


def test_a_mouth_that_no_face_has_does_not_fit():
    face = scene(0, "face").params
    assert not KINDS["face"].fits(replace(face, smile=0.02))


def test_a_landscape_with_its_tree_on_its_house_or_without_both_does_not_fit():
    land = replace(scene(0, "landscape").params, house=True, tree=True, house_x=0.3, tree_x=0.7)
    fits = KINDS["landscape"].fits
    assert fits(land)
    assert not fits(replace(land, tree_x=0.5))
    assert fits(replace(land, tree_x=0.5, house=False))
    assert not fits(replace(land, house=False, tree=False))


@pytest.mark.parametrize(
    "wrong",
    [
        {"radius": 0.09},
        {"radius": 0.21},
        {"x": 0.11},
        {"y": 0.89},
        {"angle_deg": 26.0},
        {"aspect": 1.31},
        {"x": 0.6, "y": 0.7},
    ],
)
def test_a_shape_out_of_range_or_over_another_does_not_fit(wrong):
    made = next(s.params for s in (scene(n, "shapes") for n in SEEDS) if len(s.params.shapes) == 2)
    first = replace(
        made.shapes[0], x=0.3, y=0.3, radius=0.15, angle_deg=0.0, aspect=1.0, form="star"
    )
    second = replace(first, x=0.7, y=0.7)
    fits = KINDS["shapes"].fits
    assert fits(replace(made, shapes=(first, second)))
    assert not fits(replace(made, shapes=(second, replace(first, **wrong))))
    assert not fits(replace(made, shapes=()))
