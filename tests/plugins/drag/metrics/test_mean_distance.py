"""Mean distance: exact where features are coordinates, equal to the published search elsewhere."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from featurekit.core.errors import ShapeError
from featurekit.core.types import FeatureMap
from featurekit_drag.engine.points import read_points
from featurekit_drag.metrics.mean_distance import (
    discs,
    distances_of_sides,
    distances_px,
    found,
    pixel_centres,
    similarities,
)

HEIGHT, WIDTH = 40, 48


def coordinates(dx=0.0, dy=0.0, height=HEIGHT, width=WIDTH):
    """Features of a picture that has moved by so much: where each pixel came from."""
    xy = pixel_centres(height, width) - torch.tensor([dx, dy], dtype=torch.float64)
    angles = xy * torch.pi / 160
    code = torch.cat([angles.cos(), angles.sin()], dim=1).T.reshape(1, 4, height, width)
    return FeatureMap(code.float(), "stub", 261, 1)


def points_of(*rows, height=HEIGHT, width=WIDTH):
    return read_points(rows, height=height, width=width)


ROWS = ([10.5, 12.5, 22.5, 17.5], [30.5, 20.5, 27.5, 16.5], [0.5, 39.5, 20.5, 39.5])


def mean_distance(source, edited, points, candidates=None):
    places = found(similarities(source, edited, points.handles), points.handles, candidates)
    return float(distances_px(places, points).mean())


def test_doing_nothing_leaves_the_mean_move():
    points = points_of(*ROWS)
    expected = (13 + 5 + 20) / 3
    assert mean_distance(coordinates(), coordinates(), points) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("dx", "dy"), [(4, 0), (-3, 5), (6, -4)])
def test_a_picture_moved_by_v_leaves_what_is_beyond_v(dx, dy):
    points = points_of(*ROWS[:2])
    moved = points.targets - (points.handles + torch.tensor([dx, dy]))
    left = mean_distance(coordinates(), coordinates(dx, dy), points)
    assert left == pytest.approx(float(moved.norm(dim=1).mean()), abs=1e-12)


def test_a_perfect_edit_leaves_nothing():
    points = points_of([10.5, 12.5, 22.5, 17.5])
    assert mean_distance(coordinates(), coordinates(12, 5), points) == 0


def test_a_search_in_the_mask_finds_nothing_beside_it():
    points = points_of([10.5, 12.5, 22.5, 17.5])
    mask = torch.zeros(1, HEIGHT, WIDTH)
    mask[:, 15:20, 20:25] = 1
    places = found(similarities(coordinates(), coordinates(), points.handles), points.handles, mask)
    assert places.tolist() == [[20.5, 15.5]]  # the corner of the mask that is nearest
    assert mean_distance(coordinates(), coordinates(), points, mask) == pytest.approx(8**0.5)


def test_discs_have_the_length_over_the_root_of_two_and_at_least_five_px():
    near = discs(points_of([10.5, 20.5, 30.5, 20.5]), HEIGHT, WIDTH)[0]
    assert near[20, 10]
    assert near[20, 10 + 14]  # 14 < 20 / sqrt(2) < 15
    assert near[20, 30 - 14]
    assert not near[20 + 15, 10]
    assert near[20 + 14, 30]
    short = discs(points_of([10.5, 20.5, 12.5, 20.5]), HEIGHT, WIDTH)[0]
    assert short[20, 10 - 4]
    assert not short[20, 10 - 5]  # the border itself is outside
    expected = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            expected[y, x] = any((x - cx) ** 2 + (y - 20) ** 2 < 25 for cx in (10, 12))
    assert torch.equal(short, expected)


def test_distances_of_the_disc_protocol_are_shares_of_the_sides():
    points = points_of([10.5, 12.5, 22.5, 17.5])
    apart = distances_of_sides(points.handles, points, HEIGHT, WIDTH)
    assert apart.tolist() == pytest.approx([((12 / WIDTH) ** 2 + (5 / HEIGHT) ** 2) ** 0.5])


def published(source, edited, points, size):
    """The published search: enlarge both maps, compare with every pixel, take the best."""
    enlarge = nn.Upsample(size, mode="bilinear")
    before, after = enlarge(source), enlarge(edited)
    places = []
    for x, y in points.handles.floor().long().tolist():
        scores = functional.cosine_similarity(after[0], before[0, :, y, x, None, None], dim=0)
        row, column = divmod(int(scores.argmax()), size[1])
        places.append([column + 0.5, row + 0.5])
    return torch.tensor(places, dtype=torch.float64)


@pytest.mark.parametrize("stride", [8, 16])
def test_the_search_is_the_published_one(stride):
    drawn = torch.Generator().manual_seed(stride)
    height, width = 64, 96
    grid = (1, 32, height // stride, width // stride)
    source, edited = (torch.randn(grid, generator=drawn) for _ in range(2))
    places = torch.rand(20, 4, generator=drawn) * torch.tensor([width, height] * 2)
    points = points_of(*(places.floor() + 0.5).tolist(), height=height, width=width)
    maps = [FeatureMap(one, "stub", 261, stride) for one in (source, edited)]
    mine = found(similarities(*maps, points.handles), points.handles)
    its = published(source, edited, points, (height, width))
    # half a cell along the borders is one value: of those equals the published code takes the first
    far = torch.tensor([width, height]) - stride / 2
    assert torch.equal(*(xy.clamp(min=stride / 2).minimum(far) for xy in (mine, its)))


def test_what_a_picture_was_padded_with_is_never_found():
    drawn = torch.Generator().manual_seed(0)
    source = torch.randn(1, 8, 4, 4, generator=drawn)
    edited = torch.randn(1, 8, 4, 4, generator=drawn)
    edited[..., 3] = 1000 * source[..., 0]  # column 3 shows padding alone
    maps = [FeatureMap(one, "stub", 261, 8, picture_px=(32, 24)) for one in (source, edited)]
    points = points_of([4.5, 4.5, 9.5, 9.5], height=32, width=24)
    scores = similarities(*maps, points.handles)
    assert scores.shape == (1, 32, 24)
    assert float(scores.max()) < 0.99


def test_of_equal_pixels_the_nearest_is_taken():
    flat = FeatureMap(torch.ones(1, 3, HEIGHT, WIDTH), "stub", 261, 1)
    points = points_of([10.5, 12.5, 22.5, 17.5])
    assert mean_distance(flat, flat, points) == 13


def test_maps_that_do_not_belong_together_are_refused():
    handles = points_of(ROWS[0]).handles
    with pytest.raises(ShapeError, match="must be of one size"):
        similarities(coordinates(), coordinates(width=40), handles)
    with pytest.raises(ShapeError, match="features of the edit must be"):
        similarities(coordinates(), FeatureMap(torch.ones(1, 3, HEIGHT, WIDTH), "", 1, 1), handles)


def test_a_search_without_a_pixel_is_refused():
    points = points_of(ROWS[0])
    scores = similarities(coordinates(), coordinates(), points.handles)
    with pytest.raises(ShapeError, match="must have a pixel to be found at"):
        found(scores, points.handles, torch.zeros(1, HEIGHT, WIDTH))
