"""DAI: zero where patches come along, the published arithmetic where they do not."""

import pytest
import torch

from featurekit.core.errors import ConfigError
from featurekit_drag.engine.points import read_points
from featurekit_drag.metrics.patch_difference import patch_difference


@pytest.fixture
def image():
    return torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0)) * 2 - 1


def points_of(*rows):
    return read_points(rows, height=40, width=50)


@pytest.mark.parametrize("radius", [0, 1, 5])
def test_patches_that_came_along_differ_by_nothing(image, radius):
    edit = image.roll((7, -4), (2, 3))
    points = points_of([20.5, 15.5, 16.5, 22.5], [30.5, 10.5, 26.5, 17.5])
    assert patch_difference(image, edit, points, radius_px=radius) == 0


@pytest.mark.parametrize("radius", [1, 5])
def test_the_arithmetic_is_the_published_one(image, radius):
    edit = torch.rand_like(image) * 2 - 1
    rows = [[20, 15, 16, 22], [30, 10, 26, 17], [25, 25, 30, 30]]
    points = points_of(*([n + 0.5 for n in row] for row in rows))
    before, after = ((one[0].permute(1, 2, 0).double() + 1) / 2 for one in (image, edit))
    total = 0
    for x, y, u, v in rows:
        mine = before[y - radius : y + radius + 1, x - radius : x + radius + 1]
        its = after[v - radius : v + radius + 1, u - radius : u + radius + 1]
        total += float(((mine - its) ** 2).sum()) / (2 * radius + 1) ** 2
    found = patch_difference(image, edit, points, radius_px=radius)
    assert found == pytest.approx(total / len(rows), rel=1e-9)


def test_black_against_white_is_the_number_of_channels():
    black, white = -torch.ones(1, 3, 40, 50), torch.ones(1, 3, 40, 50)
    assert patch_difference(black, white, points_of([5.5, 5.5, 20.5, 20.5]), radius_px=3) == 3


def test_pixels_beyond_a_border_do_not_count(image):
    edit = image.roll((7, 9), (2, 3))
    points = points_of([0.5, 0.5, 9.5, 7.5], [40, 32, 49.9, 39.9])
    assert patch_difference(image, edit, points_of([0.5, 0.5, 9.5, 7.5]), radius_px=5) == 0
    assert patch_difference(image, edit, points, radius_px=20) >= 0
    corner = points_of([50, 40, 0, 0])  # the very corners
    assert patch_difference(image, image, corner, radius_px=1) > 0


def test_a_negative_radius_is_refused(image):
    with pytest.raises(ConfigError, match="radius_px must be 0 or more, got -1"):
        patch_difference(image, image, points_of([1, 1, 2, 2]), radius_px=-1)
