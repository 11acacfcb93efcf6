"""features: a map answers in pixels of the picture, shows itself, and keeps what it is."""

from io import BytesIO

import pytest
import torch
from PIL import Image

from featurekit import fields
from featurekit.errors import ConfigError, ImageError, PointsError, ShapeError
from featurekit.features import FeatureMaps, Features


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
    assert repr(features(1, 2, 4, 4)) == "FeatureMap(up1 t=261 (1, 2, 4, 4) float32 stride=8px)"


def test_the_row_of_a_picture_does_not_hold_the_batch():
    maps = FeatureMaps([features(3, 8, 4, 4)])
    row = maps.row(1)
    assert torch.equal(row[0].tensor, maps[0].tensor[1:2])
    assert row[0].tensor.untyped_storage().nbytes() == 8 * 4 * 4 * 4


def test_a_stride_that_does_not_divide_the_picture_is_refused():
    for stride in (5, 0, -8):
        with pytest.raises(ShapeError, match="stride must be at least 1 and divide 48 x 32 px"):
            features(1, 4, 6, 4).resize(stride)


def test_points_and_maps_that_do_not_fit_are_refused():
    here = features(1, 4, 6, 4)
    with pytest.raises(PointsError, match="xy must lie inside the image of 32 x 48 px"):
        here.correspond(33, 3, there=here)
    with pytest.raises(PointsError, match="a point must be finite, got"):
        here.correspond(float("nan"), 3, there=here)
    with pytest.raises(ConfigError, match="must have one stride, got 8 and 16 px"):
        here.correspond(3, 3, there=features(1, 4, 6, 4, stride=16))


def test_features_that_are_no_numbers_have_no_picture():
    with pytest.raises(ImageError, match="features to be shown must be finite"):
        Features(torch.full((1, 8, 4, 4), torch.inf), "up1", 1, 8).to_pil()
