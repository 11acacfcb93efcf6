"""Moments: those of the channels, over all pictures."""

import numpy as np
import pytest
import torch

from featurekit_sketch.two_scales.moments import LEAST, moments_of
from featurekit_sketch.two_scales.reading import TwoScaleMaps


def maps(*shape, seed=0, dtype=torch.float16, **others):
    """Maps with one of noise of deviation 3 and mean 5."""
    lots = torch.Generator().manual_seed(seed)
    one = (3 * torch.randn(*shape, generator=lots) + 5).to(dtype)
    return TwoScaleMaps({"noise": one, **others}, torch.zeros(1, 3, 4, 4))


def test_mean_and_deviation_are_numpys_over_all_cells_of_all_pictures():
    read = [maps(1, 6, 9, 14, seed=seed) for seed in range(3)]
    found = moments_of(read)["noise"]
    cells = np.concatenate([one.maps["noise"][0].float().numpy().reshape(6, -1) for one in read], 1)
    assert found.mean.shape == found.deviation.shape == (1, 6, 1, 1)
    assert found.mean.dtype == found.deviation.dtype == torch.float32
    assert np.allclose(found.mean.flatten(), cells.mean(1), atol=1e-4)
    assert np.allclose(found.deviation.flatten(), cells.std(1), atol=1e-4)


def test_pictures_of_other_sizes_count_by_their_cells():
    read = [maps(1, 2, 4, 4, seed=0), maps(1, 2, 8, 12, seed=1)]
    cells = np.concatenate([one.maps["noise"][0].float().numpy().reshape(2, -1) for one in read], 1)
    assert np.allclose(moments_of(read)["noise"].mean.flatten(), cells.mean(1), atol=1e-4)


def test_a_constant_channel_is_divided_by_no_less_than_the_least():
    flat = torch.full((1, 2, 8, 8), 7.0)
    flat[:, 1] = -2.0
    found = moments_of([maps(1, 2, 8, 8, flat=flat)])["flat"]
    assert found.mean.flatten().tolist() == [7, -2]
    assert found.deviation.flatten().tolist() == pytest.approx([LEAST] * 2)


def test_a_map_of_a_single_cell_has_finite_moments():
    found = moments_of([maps(1, 3, 1, 1)])["noise"]
    assert found.mean.isfinite().all()
    assert found.deviation.flatten().tolist() == pytest.approx([LEAST] * 3)


@pytest.mark.parametrize(("height", "width"), [(8, 640), (640, 8), (256, 256)])
def test_a_large_map_is_counted_all_over_whatever_its_proportions(height, width):
    down = torch.linspace(0, 1, height)[:, None].expand(1, 1, height, width)
    across = torch.linspace(0, 1, width).expand(1, 1, height, width)
    found = moments_of([maps(1, 1, 4, 4, down=down, across=across)])
    for name in ("down", "across"):
        assert float(found[name].mean) == pytest.approx(0.5, abs=0.07)
        assert float(found[name].deviation) == pytest.approx(12**-0.5, abs=0.06)
