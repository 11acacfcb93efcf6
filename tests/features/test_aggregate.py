"""aggregate: fused maps compare as their parts do, on one grid, and nonsense is refused."""

import pytest
import torch
from torch.nn import functional

from featurekit.core import fields
from featurekit.core.errors import ConfigError, ShapeError
from featurekit.core.types import FeatureMap
from featurekit.features.aggregate import averaged, concatenated


def feature_map(tap="up1", timestep=261, stride=8, channels=5, seed=0, batch=1):
    generator = torch.Generator().manual_seed(seed)
    cells = 32 // stride
    tensor = torch.randn(batch, channels, cells, 2 * cells, generator=generator).double()
    return FeatureMap(tensor, tap, timestep, stride)


def similarities(field):
    """Cosine of every cell with every other, (b n n)."""
    flat = functional.normalize(field.flatten(2), dim=1)
    return flat.transpose(1, 2) @ flat


def test_the_cosine_of_a_concatenation_is_the_weighted_mean_of_the_cosines():
    maps = [feature_map("up1", batch=2), feature_map("up2", channels=3, seed=1, batch=2)]
    fused = concatenated(maps, weights=[3, 1])
    parts = [similarities(one.tensor) for one in maps]
    torch.testing.assert_close(similarities(fused), 0.75 * parts[0] + 0.25 * parts[1])
    torch.testing.assert_close(fused.norm(dim=1), torch.ones(2, 4, 8, dtype=torch.float64))


def test_the_scale_of_a_map_does_not_matter():
    maps = [feature_map("up1"), feature_map("up2", seed=1)]
    loud = FeatureMap(100 * maps[1].tensor, "up2", 261, 8)
    torch.testing.assert_close(concatenated([maps[0], loud]), concatenated(maps))


def test_maps_meet_on_the_finest_grid_or_on_the_one_asked_for():
    maps = [feature_map("up1", stride=8), feature_map("up2", stride=4, channels=3, seed=1)]
    assert concatenated(maps).shape == (1, 8, 8, 16)
    assert concatenated(list(reversed(maps))).shape == (1, 8, 8, 16)
    assert concatenated(maps, size=(3, 5)).shape == (1, 8, 3, 5)
    coarse = functional.normalize(fields.resize(maps[0].tensor, 8, 16), dim=1)
    torch.testing.assert_close(concatenated(maps)[:, :5] * 2**0.5, coarse)


def test_each_map_can_be_reduced_to_its_main_components():
    maps = [feature_map("up1", batch=2), feature_map("up2", channels=4, seed=1, batch=2)]
    fused = concatenated(maps, components=3)
    assert fused.shape == (2, 6, 4, 8)
    first = functional.normalize(fields.pca(maps[0].tensor, 3), dim=1)
    torch.testing.assert_close(fused[:, :3] * 2**0.5, first)


def test_an_average_is_the_weighted_mean_of_unit_features():
    maps = [feature_map(timestep=1), feature_map(timestep=261, seed=1)]
    units = [functional.normalize(one.tensor, dim=1) for one in maps]
    torch.testing.assert_close(averaged(maps, weights=[1, 3]), units[0] / 4 + units[1] * 3 / 4)
    torch.testing.assert_close(averaged(maps[:1]), units[0])
    assert averaged(maps, size=(2, 2)).shape == (1, 5, 2, 2)


def test_averaging_several_taps_is_refused_with_what_to_do():
    with pytest.raises(ConfigError, match=r"one tap, got up1, up2; .* use concatenated"):
        averaged([feature_map("up1"), feature_map("up2")])


def test_maps_that_do_not_belong_together_are_refused():
    with pytest.raises(ConfigError, match="at least one feature map, got none"):
        concatenated([])
    with pytest.raises(ShapeError, match=r"map up2 must be \(b=1 c h w\), got \(2, 5, 4, 8\)"):
        concatenated([feature_map("up1"), feature_map("up2", batch=2)])
    stray = FeatureMap(torch.zeros(1, 5, 4, 4), "up2", 261, 8)
    with pytest.raises(ShapeError, match=r"up1 over \(32, 64\) and up2 over \(32, 32\) px"):
        concatenated([feature_map("up1"), stray])


@pytest.mark.parametrize("weights", [[1], [3, -1], [0, 0], [1, float("inf")], [1, float("nan")]])
def test_weights_that_weigh_nothing_are_refused(weights):
    with pytest.raises(ConfigError, match="one number >= 0 for each of 2 maps and not all 0, got"):
        concatenated([feature_map(), feature_map()], weights=weights)
