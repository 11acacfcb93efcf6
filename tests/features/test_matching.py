"""matching: both judges find shifts that are known, and do not move what has not moved."""

import math

import pytest
import torch

from featurekit.core import fields
from featurekit.core.errors import ConfigError, PointsError, ShapeError
from featurekit.core.types import FeatureMap
from featurekit.features.matching import match_feature, match_patch
from featurekit.images import coordinates

WIDTH, HEIGHT = 80, 64


def picture(shift=(0.0, 0.0), seed=0, waves=24):
    """A band-limited random picture moved by any shift in px, exactly, whatever the shift."""
    generator = torch.Generator().manual_seed(seed)
    frequency = (torch.rand(waves, 2, generator=generator, dtype=torch.float64) - 0.5) * 1.2
    phase = torch.rand(waves, 3, generator=generator, dtype=torch.float64) * 6.28
    x = torch.arange(WIDTH, dtype=torch.float64) + 0.5 - shift[0]
    y = torch.arange(HEIGHT, dtype=torch.float64) + 0.5 - shift[1]
    angle = frequency[:, :1, None] * x + frequency[:, 1:, None] * y[:, None]
    waves_of_channels = torch.cos(angle[:, None] + phase[:, :, None, None]).mean(0)
    return (3 * waves_of_channels).clamp(-1, 1)[None].float()


def point(x, y):
    return torch.tensor([x, y], dtype=torch.float64)


def error(match, expected):
    return float((match.xy - expected).norm())


INNER = [(40.0, 32.0), (25.5, 20.5), (50.2, 38.7)]


@pytest.mark.parametrize("xy", INNER)
def test_a_whole_pixel_translation_is_found_to_a_tenth_of_a_pixel(xy):
    found = match_patch(picture(), picture((3.0, -2.0)), point(*xy), radius_px=6, search_px=8)
    assert error(found, point(*xy) + point(3.0, -2.0)) < 0.1
    assert found.score > 0.99


@pytest.mark.parametrize("xy", INNER)
@pytest.mark.parametrize("shift", [(0.5, 0.0), (2.5, -1.5), (-0.3, 4.2)])
def test_a_shift_between_pixels_is_found_to_a_third_of_a_pixel(xy, shift):
    found = match_patch(picture(), picture(shift), point(*xy), radius_px=6, search_px=8)
    assert error(found, point(*xy) + point(*shift)) < 0.3
    assert found.score > 0.8


@pytest.mark.parametrize("xy", [*INNER, (0.0, 0.0), (79.5, 0.5), (80.0, 64.0), (3.2, 60.9)])
def test_an_unchanged_picture_gives_no_displacement(xy):
    found = match_patch(picture(), picture(), point(*xy), radius_px=6, search_px=10)
    assert error(found, point(*xy)) < 1e-9
    assert found.score == pytest.approx(1)


@pytest.mark.parametrize("xy", [(0.5, 0.5), (2.0, 31.3), (78.9, 62.0), (40.0, 0.0)])
def test_a_handle_at_the_border_is_found_where_it_moves_inwards(xy):
    shift = point(5.0 if xy[0] < 50 else -5.0, 4.0 if xy[1] < 40 else -4.0)
    found = match_patch(picture(), picture(shift.tolist()), point(*xy), radius_px=8, search_px=9)
    assert error(found, point(*xy) + shift) < 0.05
    assert found.score > 0.99


def test_a_few_pixels_at_the_edge_of_both_pictures_prove_nothing():
    noise = torch.randn(1, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    before = picture()[:, :1].expand(-1, 3, -1, -1)
    after = (picture((5.0, 4.0))[:, :1] + 0.1 * noise).expand(-1, 3, -1, -1)
    found = match_patch(before, after, point(0.5, 0.5), radius_px=6, search_px=100)
    assert error(found, point(5.5, 4.5)) < 0.5


def test_a_match_with_nothing_to_compare_beside_it_is_not_refined():
    result = picture((77.0, 0.0))  # three columns of the patch are left, beside it two
    found = match_patch(picture(), result, point(0.5, 32.5), radius_px=6, search_px=80)
    assert found.xy[0] == 77.5
    assert error(found, point(77.5, 32.5)) < 0.01


@pytest.mark.parametrize("xy", INNER)
@pytest.mark.parametrize("period_px", [4, 5, 7])
def test_of_equal_places_the_nearest_is_taken(xy, period_px):
    # a shift by a period is as good as none, but for rounding that favours some of them
    angle = torch.arange(WIDTH, dtype=torch.float64) * 2 * math.pi / period_px
    stripes = torch.cos(angle).expand(1, 3, HEIGHT, -1)
    found = match_patch(stripes, 0.7 * stripes + 0.1, point(*xy), radius_px=6, search_px=20)
    assert error(found, point(*xy)) < 1e-6


def test_a_change_of_brightness_and_contrast_does_not_matter():
    result = picture((3.0, -2.0)) * 0.5 + torch.tensor([0.2, -0.3, 0.1]).reshape(1, 3, 1, 1)
    found = match_patch(picture(), result, point(40.0, 32.0), radius_px=6, search_px=8)
    assert error(found, point(43.0, 30.0)) < 0.1
    assert found.score == pytest.approx(1, abs=1e-5)


def test_the_search_is_kept_to_its_radius_around_its_points():
    xy, far = point(40.0, 32.0), point(52.0, 32.0)
    result = picture((12.0, 0.0))
    short = match_patch(picture(), result, xy, radius_px=6, search_px=5)
    assert error(short, xy) < 5.8
    assert short.score < 0.8
    aimed = match_patch(
        picture(), result, xy, radius_px=6, search_px=2, around=torch.stack((xy, far))
    )
    assert error(aimed, far) < 0.1


@pytest.mark.parametrize("flat", ["source", "result", "both"])
def test_where_there_is_no_texture_the_score_is_zero_and_the_point_stays(flat):
    source = torch.full((1, 3, HEIGHT, WIDTH), 0.25) if flat != "result" else picture()
    result = torch.full((1, 3, HEIGHT, WIDTH), -0.5) if flat != "source" else picture()
    found = match_patch(source, result, point(40.0, 32.0), radius_px=6, search_px=8)
    assert found.score == 0
    assert torch.equal(found.xy, point(40.0, 32.0))


def test_a_flat_patch_in_a_picture_does_not_jump_to_texture():
    source, result = picture(), picture((3.0, 0.0))
    source[..., 20:45, 25:55] = 0.1
    found = match_patch(source, result, point(40.0, 32.0), radius_px=6, search_px=8)
    assert found.score == 0
    assert torch.equal(found.xy, point(40.0, 32.0))


def test_a_moved_disc_on_a_flat_ground_is_found():
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    before, after = (
        torch.sigmoid(4 - (x - cx) ** 2 / 4 - (y - cy) ** 2 / 4).expand(1, 3, -1, -1)
        for cx, cy in ((30.0, 30.0), (41.0, 24.5))
    )
    found = match_patch(before, after, point(30.0, 30.0), radius_px=7, search_px=20)
    assert error(found, point(41.0, 24.5)) < 0.1


def ramps(shift=(0.0, 0.0), stride=4):
    """Features that say where they are: a cosine knows the position from them alone."""
    x = coordinates.px_from_cells(torch.stack([torch.arange(WIDTH // stride)] * 2, -1), stride)[
        :, 0
    ]
    y = coordinates.px_from_cells(torch.stack([torch.arange(HEIGHT // stride)] * 2, -1), stride)[
        :, 0
    ]
    y, x = torch.meshgrid(y - shift[1], x - shift[0], indexing="ij")
    ones = torch.full_like(x, 100.0)
    return FeatureMap(torch.stack((x, y, ones))[None].double(), "up2", 261, stride)


@pytest.mark.parametrize("xy", INNER)
@pytest.mark.parametrize("shift", [(0.0, 0.0), (7.0, -3.0), (5.5, 6.3), (-12.2, 0.4)])
def test_features_that_encode_their_place_are_found_to_half_a_pixel(xy, shift):
    found = match_feature(ramps(), ramps(shift), point(*xy))
    assert (found.xy - point(*xy) - point(*shift)).abs().max() <= 0.5
    assert found.score > 0.9999


@pytest.mark.parametrize("xy", [*INNER, (0.0, 0.0), (80.0, 64.0), (0.4, 63.0)])
def test_unchanged_features_give_no_displacement(xy):
    found = match_feature(ramps(), ramps(), point(*xy))
    assert torch.equal(found.xy, point(*xy))
    assert found.score == pytest.approx(1)


def test_the_feature_is_read_between_cells():
    xy = point(41.3, 30.2)
    source = ramps()
    one_place = FeatureMap(torch.zeros(1, 3, 16, 20).double(), "up2", 261, 4)
    one_place.tensor[..., 5, 7] = fields.sample(
        source.tensor, coordinates.cells_from_px(xy[None], 4)
    )[0, 0]
    found = match_feature(source, one_place, xy)
    assert found.score == pytest.approx(1)
    nearest_cell = FeatureMap(source.tensor[..., 7:8, 10:11].expand(1, 3, 16, 20), "up2", 261, 4)
    assert match_feature(source, nearest_cell, xy).score < 1 - 1e-6


def test_features_that_say_nothing_leave_the_point_where_it_is():
    nothing = FeatureMap(torch.zeros(1, 3, 16, 20), "up2", 261, 4)
    found = match_feature(nothing, coordinates_float(), point(40.0, 32.0), search_px=20)
    assert found.score == 0
    assert torch.equal(found.xy, point(40.0, 32.0))


def coordinates_float():
    exact = ramps()
    return FeatureMap(exact.tensor.float(), exact.tap, exact.timestep, exact.stride)


def test_the_feature_search_is_kept_to_its_radius():
    found = match_feature(ramps(), ramps((20.0, 0.0)), point(40.0, 32.0), search_px=6)
    assert found.xy.tolist() == [46.0, 32.0]


@pytest.mark.parametrize("xy", [(-0.1, 5.0), (5.0, 64.1), (float("nan"), 5.0)])
def test_a_point_outside_the_image_is_refused_with_the_size(xy):
    with pytest.raises(PointsError, match="xy must lie inside the image of 80 x 64 px"):
        match_patch(picture(), picture(), point(*xy), radius_px=3, search_px=3)
    with pytest.raises(PointsError, match="xy must lie inside the image of 80 x 64 px"):
        match_feature(ramps(), ramps(), point(*xy))


def test_a_search_that_reaches_nothing_is_refused():
    with pytest.raises(PointsError, match="search wider"):
        match_patch(
            picture(),
            picture(),
            point(5.0, 5.0),
            radius_px=3,
            search_px=3,
            around=point(-20.0, 5.0)[None],
        )


def test_other_mistakes_are_refused():
    xy = point(5.0, 5.0)
    with pytest.raises(ShapeError, match=r"result image must be .*, got \(1, 3, 64, 79\)"):
        match_patch(picture(), picture()[..., 1:], xy, radius_px=3, search_px=3)
    with pytest.raises(ConfigError, match="radius_px must be at least 1, got 0"):
        match_patch(picture(), picture(), xy, radius_px=0, search_px=3)
    with pytest.raises(ConfigError, match="search_px must be 0 or more, got -1"):
        match_patch(picture(), picture(), xy, radius_px=3, search_px=-1)
    with pytest.raises(ShapeError, match=r"xy must be \(2\), got \(1, 2\)"):
        match_patch(picture(), picture(), xy[None], radius_px=3, search_px=3)
    coarse = FeatureMap(ramps().tensor, "up1", 261, 8)
    with pytest.raises(ConfigError, match="one stride, got 4 and 8 px"):
        match_feature(ramps(), coarse, xy)
