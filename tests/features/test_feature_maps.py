"""features: a map answers in pixels of the picture, shows itself, and keeps what it is."""

from io import BytesIO

import pytest
import torch
from PIL import Image

from featurekit.core import fields
from featurekit.core.errors import (
    ConfigError,
    ImageError,
    PointsError,
    ShapeError,
    UnknownNameError,
)
from featurekit.features.feature_maps import FeatureMaps, Features


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def features(*shape, stride=8, seed=0):
    return Features(normal(*shape, seed=seed), "up1", 261, stride)


def test_a_point_is_found_where_its_feature_was_moved_to():
    here = features(1, 16, 12, 10)
    there = Features(here.tensor.roll((3, 2), (2, 3)), "up1", 261, 8)
    match = here.correspond(3 * 8 + 4, 5 * 8 + 4, there=there)
    assert match.xy.tolist() == [5 * 8 + 4, 8 * 8 + 4]
    assert match.score == pytest.approx(1, abs=1e-6)


def padded(rows, columns, *, stride=16, seed=0, picture_px=(50, 70)):
    """Features of a picture that fills less than its cells."""
    return Features(normal(1, 16, rows, columns, seed=seed), "up1", 261, stride, picture_px)


def test_a_cell_is_inside_when_its_centre_lies_in_the_picture():
    one = padded(4, 6)
    centres = [[(k + 0.5) * 16 < side for k in range(n)] for n, side in ((4, 50), (6, 70))]
    assert one.inside == tuple(map(sum, centres)) == (3, 4)
    assert one.size_px == (50, 70)
    assert padded(4, 6, picture_px=None).inside == (4, 6)
    assert padded(4, 6, picture_px=(1, 1)).inside == (1, 1)


def test_no_match_lies_in_the_padding_or_is_read_from_it():
    here, there = padded(4, 6), padded(4, 6, seed=1)
    for one in (here, there):  # their centres lie in the padding
        one.tensor[:, :, 3:] = one.tensor[:, :, :, 4:] = torch.nan
    for x in range(1, 70, 7):
        for y in range(1, 50, 7):
            match = here.correspond(x, y, there)
            assert 0 <= match.xy[0] <= 70
            assert 0 <= match.xy[1] <= 50
            assert -1 <= match.score <= 1
    moved = Features(torch.full((1, 16, 4, 6), 9.0), "up1", 261, 16, (50, 64))
    moved.tensor[:, :, :3, :4] = there.tensor[:, :, :3, :4].roll(1, 3)
    assert there.correspond(24, 24, moved).xy.tolist() == [40, 24]


def test_pictures_of_two_sizes_are_compared():
    here = padded(4, 6)
    there = Features(here.tensor[:, :, 1:, 2:], "up1", 261, 16, (48, 60))
    assert here.correspond(56, 40, there).xy.tolist() == [24, 24]


def test_resizing_and_showing_cut_the_padding_off():
    one = padded(4, 6)
    assert one.resize(1).grid == one.resize((50, 70)).grid == (50, 70)
    assert torch.equal(one.resize(1).tensor, fields.resize(one.tensor, 64, 96)[..., :50, :70])
    assert (one.resize(8).grid, one.resize(32).grid) == ((7, 9), (2, 3))
    assert torch.equal(one.resize((7, 9)).tensor, one.resize(8).tensor)
    assert one.resize((7, 9)).stride == 8
    assert one.resize(8).resize((50, 70)).size_px == (50, 70)
    width, height = one.to_pil().size
    assert width * 3 == height * 4
    one.tensor[:, :, 3:] = one.tensor[:, :, :, 4:] = 1e6
    assert one.to_pil().tobytes() == padded(4, 6).to_pil().tobytes()


def test_a_tap_alone_names_its_map_where_there_is_one():
    maps = FeatureMaps([features(1, 4, 4, 4)], {"dift1": "up1"})
    assert maps["up1"] is maps["dift1"] is maps[0]
    twice = FeatureMaps([maps[0], Features(maps[0].tensor, "up1", 1, 8)])
    with pytest.raises(ConfigError, match=r"'up1' was at 261, 1; ask for \['up1', 261\]"):
        twice["up1"]
    with pytest.raises(UnknownNameError, match="no feature map named 'up'; did you mean up1"):
        maps["up"]


def test_resizing_keeps_the_picture_and_says_the_new_stride():
    one = features(2, 4, 6, 4, stride=16)
    finer = one.resize(8)
    assert (finer.stride, finer.grid) == (8, (12, 8))
    assert torch.equal(finer.tensor, fields.resize(one.tensor, 12, 8))
    assert torch.equal(
        one.resize(32, mode="area").tensor, fields.resize(one.tensor, 3, 2, mode="area")
    )
    assert (finer.tap, finer.timestep) == ("up1", 261)


def test_pca_is_that_of_the_fields_and_keeps_what_the_map_is():
    one = features(2, 8, 6, 4)
    assert torch.equal(one.pca(2).tensor, fields.pca(one.tensor, 2))
    assert (one.pca().tap, one.pca().stride, one.pca().grid) == ("up1", 8, (6, 4))


def test_pictures_of_a_batch_stand_side_by_side_in_the_same_colours():
    tensor = features(1, 8, 4, 4).tensor
    shown = Features(torch.cat((tensor, tensor)), "up1", 261, 8).to_pil()
    assert shown.width == 2 * shown.height
    left = shown.crop((0, 0, shown.height, shown.height))
    right = shown.crop((shown.height, 0, shown.width, shown.height))
    assert left.tobytes() == right.tobytes()


def test_a_notebook_gets_a_png_of_the_picture():
    one = features(1, 8, 4, 4)
    with Image.open(BytesIO(one._repr_png_())) as shown:
        assert shown.format == "PNG"
        assert shown.tobytes() == one.to_pil().tobytes()


def test_what_has_no_picture_is_shown_as_its_line():
    assert features(1, 2, 4, 4)._repr_png_() is None
    assert Features(torch.full((1, 8, 4, 4), torch.nan), "up1", 1, 8)._repr_png_() is None
    assert repr(features(1, 2, 4, 4)) == "Features(up1 t=261 (1, 2, 4, 4) float32 stride=8px)"


def test_the_row_of_a_picture_does_not_hold_the_batch():
    maps = FeatureMaps([features(3, 8, 4, 4)])
    row = maps.row(1)
    assert torch.equal(row[0].tensor, maps[0].tensor[1:2])
    assert row[0].tensor.untyped_storage().nbytes() == 8 * 4 * 4 * 4


def test_a_stride_that_does_not_divide_the_picture_is_refused():
    for stride in (5, 0, -8):
        with pytest.raises(ShapeError, match="stride must be at least 1 and divide 48 x 32 px"):
            features(1, 4, 6, 4).resize(stride)


def test_cells_that_are_not_square_are_refused_with_those_that_are():
    with pytest.raises(
        ShapeError,
        match=r"got \(20, 20\); choose among 2 x 3, 4 x 5, 7 x 9, 13 x 18, 25 x 35, 50 x",
    ):
        padded(4, 6).resize((20, 20))


def test_a_picture_larger_than_its_maps_is_refused():
    with pytest.raises(ShapeError, match=r"must lie in the 64 x 96 px .* cover, got \(65, 70\)"):
        FeatureMaps([padded(4, 6)]).of_picture((65, 70))


def test_points_and_maps_that_do_not_fit_are_refused():
    here = features(1, 4, 6, 4)
    with pytest.raises(PointsError, match="xy must lie inside the image of 32 x 48 px"):
        here.correspond(33, 3, there=here)
    with pytest.raises(PointsError, match="xy must lie inside the image of 70 x 50 px, got"):
        padded(4, 6).correspond(75, 40, padded(4, 6))
    with pytest.raises(PointsError, match="a point must be finite, got"):
        here.correspond(float("nan"), 3, there=here)
    with pytest.raises(ConfigError, match="must have one stride, got 8 and 16 px"):
        here.correspond(3, 3, there=features(1, 4, 6, 4, stride=16))


def test_features_that_are_no_numbers_have_no_picture():
    with pytest.raises(ImageError, match="features to be shown must be finite"):
        Features(torch.full((1, 8, 4, 4), torch.inf), "up1", 1, 8).to_pil()
