"""How movers choose two values or two places: far enough apart, in the range, either way round."""

import math
from random import Random

import pytest

from featurekit.scenes.kind import LONGER, named, two_places, two_values, within


def test_two_values_are_in_the_range_and_far_enough_apart_in_either_order():
    rng = Random(0)
    pairs = [two_values(rng, (2.0, 5.0), 1.0) for _ in range(300)]
    assert all(2 <= value <= 5 for pair in pairs for value in pair)
    assert all(abs(a - b) >= 1 - 1e-12 for a, b in pairs)
    assert 100 < sum(a < b for a, b in pairs) < 200
    assert max(abs(a - b) for a, b in pairs) > 2.8


def test_a_range_that_is_too_narrow_has_no_two_values():
    assert two_values(Random(0), (2.0, 2.9), 1.0) is None


@pytest.mark.parametrize("across", [(0.1, 0.9), (0.4, 0.5)])
def test_two_places_are_in_the_box_and_as_far_apart_as_they_may_be(across):
    rng, down = Random(0), (0.2, 0.45)
    pairs = [two_places(rng, across, down, 0.2) for _ in range(300)]
    for pair in pairs:
        assert all(within(x, across) and within(y, down) for x, y in pair)
        assert 0.2 - 1e-12 <= math.dist(*pair) <= 0.2 * LONGER + 1e-12
    for axis in (0, 1):
        assert 100 < sum(a[axis] < b[axis] for a, b in pairs) < 200


@pytest.mark.parametrize(
    ("across", "down"), [((0.1, 0.2), (0.1, 0.2)), ((0.5, 0.4), (0, 1)), ((0, 1), (0.5, 0.4))]
)
def test_a_box_that_is_too_small_or_empty_has_no_two_places(across, down):
    assert two_places(Random(0), across, down, 0.15) is None


def test_handles_are_keypoints_in_the_order_of_their_names():
    handles = named(lambda size: {"a": (0.0, size), "b": (1.0, size)}, "b", "a")
    assert handles(0.5) == ((1.0, 0.5), (0.0, 0.5))
