"""What a network looks at, added up by layer and by timestep: nothing is lost in between."""

import pytest
import torch
from invented import feature_taps

from featurekit_sketch.network.mixing_weights import shares
from featurekit_sketch.network.sketch_network import SketchNetwork


@pytest.fixture(scope="module")
def network():
    made = SketchNetwork(feature_taps("narrow"), timesteps=5)
    with torch.no_grad():
        for level in (made.levels.low, made.levels.top):
            draw = torch.Generator().manual_seed(len(level.taps))
            level.logits.copy_(torch.randn(level.logits.shape, generator=draw))
    return made


def test_layers_and_timesteps_of_a_level_are_two_sums_of_the_same_weights(network):
    found = shares(network.mixing())
    assert set(found) == {"low", "top"}
    for name, level in (("low", network.levels.low), ("top", network.levels.top)):
        weights = level.weights().detach()[:, :5]
        layers = list(found[name]["layers"].values())
        assert layers == pytest.approx(weights.sum(1).tolist(), abs=1e-5)
        assert found[name]["timesteps"] == pytest.approx(weights.sum(0).tolist(), abs=1e-5)
        assert list(found[name]["layers"]) == [tap.name for tap in level.taps]


def test_the_share_of_the_first_level_is_what_the_second_leaves(network):
    found = shares(network.mixing())
    assert sum(found["low"]["timesteps"]) == pytest.approx(1, abs=1e-4)
    rest = 1 - sum(found["top"]["timesteps"])
    assert found["top"]["first_level"] == pytest.approx(rest, abs=1e-4)
    assert 0.02 < rest < 0.9


def test_a_network_without_the_unet_looks_at_none_of_it():
    assert shares(SketchNetwork(feature_taps("narrow"), sources=("vae",)).mixing()) == {}
