"""Whole-field arithmetic: resizing, principal components and the nearest cell."""

import math

import pytest
import torch
from torch.nn import functional

from featurekit.core.errors import ShapeError, UnknownNameError
from featurekit.core.fields import nearest, pca, resize, sample_refined


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


# resizing


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest", "area"])
def test_resizing_keeps_a_constant_and_reaches_the_size(mode):
    resized = resize(torch.full((2, 3, 5, 7), 0.5), 11, 4, mode=mode)
    assert resized.shape == (2, 3, 11, 4)
    torch.testing.assert_close(resized, torch.full((2, 3, 11, 4), 0.5))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest", "area"])
def test_resizing_commutes_with_mirroring(mode):
    field = normal(1, 2, 5, 7)
    mirrored = resize(field.flip(3), 9, 11, mode=mode).flip(3)
    close(mirrored, resize(field, 9, 11, mode=mode))


def test_bilinear_enlarging_is_refined_reading():
    field = normal(1, 2, 5, 7)
    y, x = torch.meshgrid(torch.arange(20), torch.arange(28), indexing="ij")
    xy = torch.stack((x, y), -1).reshape(-1, 2).double()
    close(resize(field, 20, 28).flatten(2).mT, sample_refined(field, xy, factor=4))


def test_area_is_the_mean_of_the_cells():
    field = normal(1, 2, 4, 6)
    close(resize(field, 2, 3, mode="area"), functional.avg_pool2d(field, 2))


def test_nearest_takes_the_cell_under_the_centre():
    field = torch.arange(6.0).reshape(1, 1, 1, 6)
    assert resize(field, 1, 2, mode="nearest").flatten().tolist() == [1.0, 4.0]


def test_an_unknown_mode_is_refused():
    with pytest.raises(UnknownNameError, match="no resize mode named 'bilinaer'; did you mean bil"):
        resize(normal(1, 2, 4, 4), 2, 2, mode="bilinaer")


@pytest.mark.parametrize(("height", "width"), [(0, 2), (2, 0)])
def test_an_empty_grid_is_refused(height, width):
    with pytest.raises(ShapeError, match=f"at least one cell, got {height} x {width}"):
        resize(normal(1, 2, 4, 4), height, width)


# principal components


def test_components_are_centred_uncorrelated_and_fall_in_strength():
    projected = pca(normal(2, 6, 8, 9) * torch.arange(1.0, 7.0).reshape(6, 1, 1), 4)
    cells = projected.movedim(1, 0).flatten(1)
    covariance = cells @ cells.mT
    close(cells.mean(1), torch.zeros(4, dtype=torch.float64))
    close(covariance / covariance.trace(), torch.diag(covariance.diag() / covariance.trace()))
    assert (covariance.diag().diff() < 0).all()


def test_all_components_keep_every_distance():
    field = normal(1, 5, 4, 6)
    cells, projected = (f.flatten(2)[0].mT for f in (field, pca(field, 5)))
    close(torch.cdist(projected, projected), torch.cdist(cells, cells))


def test_a_single_pattern_comes_back_with_the_sign_of_its_largest_loading():
    pattern = normal(1, 1, 6, 6)
    pattern = pattern - pattern.mean()
    loadings = torch.tensor([1.0, -3.0, 2.0], dtype=torch.float64).reshape(1, 3, 1, 1)
    close(pca(loadings * pattern, 1), -math.sqrt(14) * pattern)
    close(pca(-loadings * pattern, 1), math.sqrt(14) * pattern)


def test_equal_loadings_take_the_sign_of_the_first():
    pattern = normal(1, 1, 6, 6)
    pattern = pattern - pattern.mean()
    loadings = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64).reshape(1, 3, 1, 1)
    for scale in (1.0, 0.1, 1 / 3, 7.7):
        projected = pca(scale * loadings * pattern, 1)
        close(projected, -math.sqrt(3) * scale * pattern)


def test_components_do_not_depend_on_the_random_state():
    field = normal(2, 5, 4, 6)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = pca(field)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(pca(field), first)


def test_the_batch_shares_its_directions():
    field = normal(2, 5, 4, 6)
    side_by_side = torch.cat(field.split(1), 3)
    close(torch.cat(pca(field).split(1), 3), pca(side_by_side))


def test_a_constant_field_has_no_components():
    assert torch.equal(pca(torch.ones(1, 4, 3, 3)), torch.zeros(1, 3, 3, 3))


def test_components_have_the_dtype_of_the_field():
    assert pca(normal(1, 4, 3, 3).half()).dtype == torch.float16


@pytest.mark.parametrize("components", [0, 5])
def test_more_components_than_channels_are_refused(components):
    with pytest.raises(ShapeError, match=rf"\[1, 4\] \(channels\), got {components}"):
        pca(normal(1, 4, 3, 3), components)


# nearest


@pytest.mark.parametrize(("x", "y"), [(0, 0), (6, 4), (3, 1)])
def test_a_feature_of_the_field_is_found_whatever_its_length(x, y):
    field = normal(1, 8, 5, 7)
    cell, score = nearest(3 * field[0, :, y, x], field)
    assert cell.tolist() == [x, y]
    assert float(score) == pytest.approx(1)


def test_the_score_is_the_cosine():
    field = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)
    assert float(nearest(torch.tensor([1.0, 0.0]), field)[1]) == pytest.approx(0.6)
    assert float(nearest(torch.tensor([-1.0, 0.0]), field)[1]) == pytest.approx(-0.6)


def test_among_equals_the_first_in_reading_order_wins():
    field = torch.zeros(1, 2, 3, 4)
    field[0, 0, 1, 2] = field[0, 0, 2, 0] = 1.0
    assert nearest(torch.tensor([1.0, 0.0]), field)[0].tolist() == [2.0, 1.0]


def test_features_without_length_score_zero():
    assert float(nearest(torch.ones(2), torch.zeros(1, 2, 3, 3))[1]) == 0.0


@pytest.mark.parametrize("shape", [(2, 4, 3, 3), (1, 5, 3, 3), (4, 3, 3)])
def test_a_field_that_does_not_fit_the_query_is_refused(shape):
    with pytest.raises(ShapeError, match=r"field must be \(1 c=4 h w\), got"):
        nearest(torch.ones(4), torch.zeros(shape))
