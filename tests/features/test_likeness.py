"""How like a point candidate places are: known scores, the nearest of equals, the box searched."""

import pytest
import torch

from featurekit.core.errors import ConfigError, PointsError
from featurekit.core.types import FeatureMap
from featurekit.features.likeness import best, candidates, correlations, cosines, distance

SIZE = (48, 32)  # columns, rows


def point(x, y):
    return torch.tensor([x, y], dtype=torch.float64)


def picture(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, SIZE[1], SIZE[0], generator=generator) * 2 - 1


def test_candidates_are_whole_pixel_shifts_of_the_point_inside_the_image():
    xy, around = point(10.25, 8.5), torch.stack([point(10.25, 8.5), point(20, 8.5)])
    points = candidates(xy, around, 3.0, SIZE)
    assert points.shape == (7, 16, 2)
    assert ((points - xy) % 1 == 0).all()
    assert distance(points, around).min() == 0
    at_the_corner = candidates(point(0, 0), point(0, 0)[None], 2.0, SIZE)
    assert at_the_corner.amin() == 0
    with pytest.raises(ConfigError, match="search_px must be 0 or more, got -1"):
        candidates(xy, around, -1, SIZE)
    with pytest.raises(PointsError, match="inside the image of 48 x 32 px"):
        candidates(xy, point(300, 300)[None], 2.0, SIZE)


def test_the_patch_itself_correlates_with_one_and_its_negative_with_minus_one():
    xy = point(20.5, 15.5)
    points = candidates(xy, xy[None], 2.0, SIZE)
    same = correlations(picture(), xy, picture(), points, 4)
    assert float(same[2, 2]) == pytest.approx(1)
    assert same.argmax() == 12
    torch.testing.assert_close(correlations(picture(), xy, -picture(), points, 4), -same)
    brighter = correlations(picture(), xy, 0.5 * picture() + 0.2, points, 4)
    torch.testing.assert_close(brighter, same)  # neither light nor contrast counts
    assert (correlations(picture(), xy, torch.zeros(1, 3, 32, 48), points, 4) == 0).all()


def test_the_cosine_is_that_of_the_features_between_cells():
    generator = torch.Generator().manual_seed(0)
    maps = FeatureMap(torch.randn(1, 6, 8, 12, generator=generator), "up", 1, stride=4)
    xy = point(22.0, 14.0)  # the centre of a cell
    scores = cosines(maps, xy, maps, candidates(xy, xy[None], 4.0, SIZE))
    assert float(scores[4, 4]) == pytest.approx(1)
    cell, right = maps.tensor[0, :, 3, 5], maps.tensor[0, :, 3, 6]
    expected = torch.nn.functional.cosine_similarity(cell, right, dim=0)
    assert float(scores[4, 8]) == pytest.approx(float(expected), abs=1e-6)


def test_the_best_is_within_reach_and_the_nearest_of_equals():
    xy = point(20, 15)
    points = candidates(xy, xy[None], 3.0, SIZE)
    scores = torch.zeros(7, 7, dtype=torch.float64)
    assert best(scores, points, xy[None], 3.0) == (3, 3)
    scores[0, 0] = 5  # a corner of the box, farther than 3 px
    scores[3, 6] = scores[2, 3] = 1
    scores[4, 3] = torch.nan
    assert best(scores, points, xy[None], 3.0) == (2, 3)
