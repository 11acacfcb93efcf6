"""Outlines: points where the curves say, ends included."""

import math

import pytest

from featurekit.scenes.colours import darker, lighter, mix
from featurekit.scenes.geometry import arc, curve, ellipse, rectangle
from featurekit.scenes.wording import article, on_background


def test_every_corner_of_an_ellipse_lies_on_it_and_the_first_at_its_right():
    points = ellipse((0.5, 0.4), 0.2, 0.1)
    assert points[0] == (0.7, 0.4)
    assert len(points) == len(set(points)) == 48
    assert [((x - 0.5) / 0.2) ** 2 + ((y - 0.4) / 0.1) ** 2 for x, y in points] == pytest.approx(
        [1] * 48
    )


def test_an_arc_runs_clockwise_with_both_ends():
    points = arc((0.5, 0.5), 0.2, 0.1, start_deg=180, end_deg=360)
    assert points[0] == pytest.approx((0.3, 0.5))
    assert points[24] == pytest.approx((0.5, 0.4))
    assert points[-1] == pytest.approx((0.7, 0.5))


def test_a_curve_starts_and_ends_at_its_ends_and_leans_to_its_control():
    points = curve((0, 0), (0.5, 1), (1, 0), pieces=10)
    assert points[0] == (0, 0)
    assert points[-1] == (1, 0)
    assert points[5] == pytest.approx((0.5, 0.5))


def test_a_rectangle_is_clockwise_from_the_top_left():
    assert rectangle(1, 2, 3, 4) == [(1, 2), (3, 2), (3, 4), (1, 4)]
    assert math.dist(rectangle(1, 2, 3, 4)[0], rectangle(1, 2, 3, 4)[1]) == 2


def test_colours_blend_darken_and_lighten():
    assert mix((0, 100, 200), (100, 100, 0), 0.25) == (25, 100, 150)
    assert darker((200, 100, 50), 0.5) == (100, 50, 25)
    assert lighter((200, 100, 0), 0.5) == (228, 178, 128)
    assert lighter((200, 100, 0), 0) == darker((200, 100, 0), 1) == (200, 100, 0)


def test_an_article_fits_its_phrase():
    assert article("orange star") == "an orange star"
    assert article("red star") == "a red star"
    assert on_background("orange", None) == "on an orange background"
    assert on_background("orange", "dotted") == "on a dotted orange background"
