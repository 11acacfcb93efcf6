"""Stencils: areas and places to a fraction of a pixel, whatever the frame cuts off."""

import math
from itertools import pairwise
from random import Random

import numpy as np
import pytest

from featurekit.core.errors import ShapeError
from featurekit.scenes.geometry import arc, curve, ellipse, rectangle
from featurekit.scenes.stencil import check_size, drawn, filled

ZIGZAG = [(0.3, 0.3), (0.6, 0.35), (0.35, 0.42), (0.62, 0.6), (0.62, 0.3)]
HESITANT = [(0.3, 0.4), (0.3, 0.4), (0.5, 0.4), (0.5, 0.4), (0.6, 0.6)]
LINES = {
    "curve": curve((0.3, 0.4), (0.5, 0.8), (0.7, 0.4)),
    "tight curve": curve((0.4, 0.4), (0.5, 0.8), (0.43, 0.4)),
    "ring": ellipse((0.5, 0.5), 0.2, 0.15)[:1] + ellipse((0.5, 0.5), 0.2, 0.15)[::-1],
    "arc": arc((0.5, 0.5), 0.03, 0.03, start_deg=0, end_deg=200),
    "zigzag": ZIGZAG,
    "zigzag backwards": ZIGZAG[::-1],
    "hesitant": HESITANT,
    "hook": [(0.3, 0.45), (0.6, 0.45), (0.61, 0.46), (0.45, 0.7)],
    "barb": [(0.3, 0.45), (0.6, 0.45), (0.58, 0.465)],
}


def blob(seed, centre=(0.5, 0.5)):
    """Seven corners around a centre, no two alike."""
    rng = Random(seed)
    angles = [2 * math.pi * (i + rng.uniform(0, 0.8)) / 7 for i in range(7)]
    radii = [rng.uniform(0.07, 0.13) for _ in angles]
    return [
        (centre[0] + r * math.cos(a), centre[1] + r * math.sin(a))
        for r, a in zip(radii, angles, strict=True)
    ]


def moved(points, dx, dy):
    return [(x + dx, y + dy) for x, y in points]


def cover(stencil, size):
    whole = np.zeros((size, size))
    if stencil is not None:
        whole[stencil.window] = stencil.cover
    return whole


def centroid(whole):
    rows, columns = np.mgrid[0 : len(whole), 0 : len(whole)] + 0.5
    return (whole * columns).sum() / whole.sum(), (whole * rows).sum() / whole.sum()


@pytest.mark.parametrize("size", [32, 64, 100, 128])
def test_a_rectangle_on_whole_pixels_is_exact(size):
    whole = cover(filled(rectangle(0.25, 0.25, 0.75, 0.5), size), size)
    inside = np.zeros((size, size))
    inside[size // 4 : size // 2, size // 4 : 3 * size // 4] = 1
    assert (whole == inside).all()


@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_rectangle_between_pixels_has_its_area_and_place(size):
    left, top, right, bottom = 0.237, 0.251, 0.713, 0.533
    whole = cover(filled(rectangle(left, top, right, bottom), size), size)
    x, y = centroid(whole)
    assert whole.sum() == pytest.approx((right - left) * (bottom - top) * size**2, rel=0.01)
    assert x == pytest.approx((left + right) / 2 * size, abs=0.02)
    assert y == pytest.approx((top + bottom) / 2 * size, abs=0.07)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_an_ellipse_has_its_area_and_place(size):
    whole = cover(filled(ellipse((0.51, 0.452), 0.3, 0.2), size), size)
    x, y = centroid(whole)
    assert whole.sum() == pytest.approx(math.pi * 0.06 * size**2, rel=0.005)
    assert x == pytest.approx(0.51 * size, abs=0.02)
    assert y == pytest.approx(0.452 * size, abs=0.02)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_dot_lies_where_it_was_drawn_to_a_tenth_of_a_pixel(size):
    rng = Random(size)
    for _ in range(20):
        at = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9)
        x, y = centroid(cover(filled(ellipse(at, 0.03, 0.03), size), size))
        assert math.dist((x, y), (at[0] * size, at[1] * size)) < 0.1


def test_the_way_round_an_outline_makes_no_difference():
    outline = blob(1)
    back = cover(filled(outline[::-1], 64), 64)
    assert back == pytest.approx(cover(filled(outline, 64), 64), abs=1e-6)
    assert back.max() == 1


def test_an_outline_that_goes_round_twice_covers_once():
    once, twice = (cover(filled(blob(1) * times, 64), 64) for times in (1, 2))
    assert twice[once > 0.999].min() == pytest.approx(1)
    assert twice[once < 0.001].max() < 0.002
    assert twice.max() == 1


@pytest.mark.parametrize("soft", [0.0, 0.02])
@pytest.mark.parametrize("seed", range(4))
def test_a_shape_shifted_by_whole_pixels_gives_the_shifted_cover(seed, soft):
    before = cover(filled(blob(seed), 64, soft=soft), 64)
    after = cover(filled(moved(blob(seed), 5 / 64, -9 / 64), 64, soft=soft), 64)
    # A soft rim is rounded to 1/255.
    assert after == pytest.approx(np.roll(before, (-9, 5), (0, 1)), abs=0.005)
    assert after.sum() > 50


@pytest.mark.parametrize("soft", [0.0, 0.02])
@pytest.mark.parametrize(("right", "down"), [(33, 0), (-31, 0), (0, 30), (0, -32), (28, 29)])
def test_what_the_frame_leaves_of_a_shape_looks_as_if_it_were_not_there(right, down, soft):
    inside = cover(filled(blob(2), 64, soft=soft), 64)
    across = cover(filled(moved(blob(2), right / 64, down / 64), 64, soft=soft), 64)
    wider = np.pad(inside, 64)
    expected = wider[64 - down : 128 - down, 64 - right : 128 - right]
    assert across == pytest.approx(expected, abs=0.006)
    assert 0 < across.sum() < inside.sum() - 10


@pytest.mark.parametrize("soft", [0.0, 0.02])
@pytest.mark.parametrize(("dx", "dy"), [(1.2, 0), (-1.2, 0), (0, 1.2), (0, -1.2), (1.2, 1.2)])
def test_outside_the_frame_there_is_no_stencil(dx, dy, soft):
    assert filled(moved(rectangle(0.2, 0.2, 0.8, 0.8), dx, dy), 32, soft=soft) is None
    assert drawn(moved([(0.2, 0.2), (0.8, 0.8)], dx, dy), 32, width=0.05) is None


@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_shape_that_touches_the_frame_from_outside_covers_nothing(size):
    beside = [rectangle(1, 0, 1.5, 1), rectangle(-0.5, 0, 0, 1), rectangle(0, -0.5, 1, 0)]
    assert [cover(filled(outline, size), size).sum() for outline in beside] == [0, 0, 0]


def test_a_shape_larger_than_the_frame_covers_all():
    assert (cover(filled(rectangle(-1, -2, 3, 2), 16), 16) == 1).all()


def test_a_soft_rim_spreads_by_its_sigma_and_keeps_the_mass_and_the_place():
    hard = cover(filled(blob(3), 128), 128)
    soft = cover(filled(blob(3), 128, soft=0.03), 128)
    spread = [
        (whole * (np.arange(128) + 0.5 - centroid(whole)[0]) ** 2).sum() / whole.sum()
        for whole in (hard, soft)
    ]
    assert soft.sum() == pytest.approx(hard.sum(), rel=0.01)
    assert centroid(soft) == pytest.approx(centroid(hard), abs=0.1)
    assert spread[1] - spread[0] == pytest.approx((0.03 * 128) ** 2, rel=0.1)


def test_a_soft_shape_beyond_the_frame_is_seen_through_its_rim_alone():
    beyond = rectangle(1.01, 0.2, 1.5, 0.8)
    assert cover(filled(beyond, 64), 64).sum() == 0
    assert cover(filled(beyond, 64, soft=0.02), 64)[32, -1] == pytest.approx(0.23, abs=0.05)


def pixels_beyond(points, size, width):
    """How far every pixel's centre lies beyond the rim of a line; negative inside."""
    rows, columns = (np.mgrid[0:size, 0:size] + 0.5) / size
    distance = np.full((size, size), np.inf)
    for (ax, ay), (bx, by) in pairwise(points):
        squared = (bx - ax) ** 2 + (by - ay) ** 2 or 1
        along = (((columns - ax) * (bx - ax) + (rows - ay) * (by - ay)) / squared).clip(0, 1)
        away = np.hypot(columns - ax - along * (bx - ax), rows - ay - along * (by - ay))
        distance = np.minimum(distance, away)
    return (distance - width / 2) * size


@pytest.mark.parametrize("width", [0.02, 0.07])
@pytest.mark.parametrize("name", LINES)
def test_a_line_covers_just_what_lies_within_half_its_width(name, width):
    whole = cover(drawn(LINES[name], 128, width=width), 128)
    beyond = pixels_beyond(LINES[name], 128, width)
    assert whole[beyond < -0.8].min() == pytest.approx(1)
    assert whole[beyond > 0.8].max() == pytest.approx(0, abs=1e-6)
    assert whole.sum() == pytest.approx((0.5 - beyond).clip(0, 1).sum(), rel=0.03)


def test_a_line_there_and_back_covers_no_more_than_one_there():
    there_and_back = [(0.3, 0.4), (0.6, 0.47), (0.3, 0.4)]
    whole = cover(drawn(there_and_back, 128, width=0.07), 128)
    beyond = pixels_beyond(there_and_back, 128, 0.07)
    assert whole[beyond < -0.8].min() == pytest.approx(1)
    assert whole[beyond > 0.8].max() == pytest.approx(0, abs=1e-6)


def test_a_line_without_length_is_a_dot():
    whole = cover(drawn([(0.4, 0.6), (0.4, 0.6)], 64, width=0.1), 64)
    assert whole.sum() == pytest.approx(math.pi * 3.2**2, rel=0.01)
    assert centroid(whole) == pytest.approx((25.6, 38.4), abs=0.05)


def test_a_line_without_width_covers_nothing():
    assert cover(drawn([(0.2, 0.3), (0.7, 0.8)], 32, width=0), 32).max() < 1e-6


@pytest.mark.parametrize("width_px", [0.25, 0.5, 1])
def test_a_line_thinner_than_a_pixel_is_as_much_paler(width_px):
    whole = cover(drawn([(0.21, 0.3), (0.7, 0.83)], 64, width=width_px / 64), 64)
    assert whole.sum() == pytest.approx(math.hypot(0.49, 0.53) * 64 * width_px, rel=0.03)


@pytest.mark.parametrize("size", [8, 2048])
def test_the_smallest_and_the_largest_size_are_taken(size):
    assert check_size(size) == size


@pytest.mark.parametrize("size", [-64, 0, 7, 2049])
def test_any_other_size_is_refused(size):
    with pytest.raises(ShapeError, match=rf"size must be 8 to 2048 px, got {size}"):
        check_size(size)
