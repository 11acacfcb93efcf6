"""The network of the released code: what of it learns, and what never reaches a sketch."""

from dataclasses import replace

import pytest
import torch
from invented import feature_taps, features

from featurekit_sketch.network.mixing_weights import shares
from featurekit_sketch.network.released_network import released_network
from featurekit_sketch.network.sketch_network import SketchNetwork

SIDE = 32


@pytest.fixture(scope="module")
def taps():
    return feature_taps("narrow")


def learning(network):
    return sum(one.numel() for one in network.parameters() if one.requires_grad)


def test_as_many_parameters_learn_on_sd_1_as_effectively_in_the_released_code():
    with torch.device("meta"):
        network = released_network(feature_taps("sd15"))
    assert learning(network) == 3_271_080
    assert sum(one.numel() for one in network.parameters()) == 3_271_080 + 97_168


def test_coarse_maps_never_reach_the_sketch_and_fine_ones_do(taps):
    network, whole = released_network(taps), SketchNetwork(taps)
    given = features(taps, SIDE, SIDE)
    for tap in (taps.low[0], taps.low[-1], taps.top[0], taps.top[-1]):
        changed = {**given.unet, tap.name: given.unet[tap.name] + 1}
        other = replace(given, unet=changed)
        with torch.no_grad():
            moved = float((network(other) - network(given)).abs().max())
            assert (moved > 1e-6) == (tap in taps.top)
            assert float((whole(other) - whole(given)).abs().max()) > 1e-7


def test_what_reduces_the_autoencoders_maps_stays_as_it_was_drawn(taps):
    network = released_network(taps, seed=3)
    before = {name: one.clone() for name, one in network.state_dict().items()}
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    network(features(taps, SIDE, SIDE)).square().mean().backward()
    optimiser.step()
    for name, one in network.state_dict().items():
        assert torch.equal(one, before[name]) == name.startswith("decoder.reducers"), name


def test_the_first_level_counts_nothing_in_a_report(taps):
    found = shares(released_network(taps, timesteps=4).mixing())
    assert found["top"]["first_level"] == 0
    assert sum(found["top"]["timesteps"]) == pytest.approx(1, abs=1e-4)


def test_first_weights_hang_on_the_seed_alone(taps):
    with torch.random.fork_rng(devices=[]):
        before = torch.default_generator.get_state()
        one = released_network(taps, seed=5).state_dict()
        assert torch.equal(torch.default_generator.get_state(), before)
        torch.default_generator.manual_seed(9)
        again = released_network(taps, seed=5).state_dict()
    assert all(torch.equal(again[name], weight) for name, weight in one.items())
