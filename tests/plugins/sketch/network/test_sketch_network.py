"""The whole network: published size, nothing dead in it, rows apart, sizes, and what it refuses."""

from dataclasses import replace

import pytest
import torch
from invented import feature_taps, features
from safetensors.torch import load, save

from featurekit import load_backbone
from featurekit.core.errors import ConfigError, ShapeError, UnknownNameError
from featurekit_sketch.network.sketch_network import SketchNetwork
from featurekit_sketch.sampling.feature_reading import read
from featurekit_sketch.sampling.noising_paths import noised_path

VARIANTS = [("unet", "vae"), ("vae",), ("unet",)]


def count(module):
    return sum(one.numel() for one in module.parameters())


def sd_network(**settings):
    with torch.device("meta"):
        return SketchNetwork(feature_taps("sd15"), **settings)


def row(given, i):
    """The features of one picture of a batch."""
    return replace(
        given,
        unet={name: one[i : i + 1] for name, one in given.unet.items()},
        vae={name: one[i : i + 1] for name, one in given.vae.items()},
        image=given.image[i : i + 1],
    )


def test_its_parameters_on_sd_1_are_the_published_numbers():
    network = sd_network()
    assert count(network.levels.low) == 18_302_517
    assert count(network.levels.top) == 826_026
    assert count(network.decoder) == 2_542_225
    assert count(network.decoder.reducers) == 97_168
    assert count(network) == 21_670_768


def test_parts_that_are_not_used_do_not_exist():
    assert count(sd_network(sources=("unet",)).decoder) < count(sd_network().decoder) - 97_168
    assert not [n for n, _ in sd_network(sources=("vae",)).named_parameters() if "levels" in n]


@pytest.mark.parametrize("sources", VARIANTS)
@pytest.mark.parametrize("name", ["narrow", "embedded"])
def test_every_parameter_learns_and_is_in_the_state(name, sources):
    maps = feature_taps(name)
    network = SketchNetwork(maps, sources=sources).double()
    given = features(maps, 64, 64, timesteps=13, dtype=torch.float64)
    (network(given) - 0.5).square().mean().backward()
    parameters = dict(network.named_parameters())
    dead = [name for name, one in parameters.items() if not one.grad.abs().max() > 1e-9]
    assert not dead
    assert all(one.grad.isfinite().all() for one in parameters.values())
    assert set(network.state_dict()) == set(parameters)


def test_every_layer_at_every_timestep_every_map_and_the_picture_count_each_in_its_own_way():
    maps = feature_taps("narrow")
    base, other = (features(maps, 64, 32, seed=seed) for seed in (0, 1))
    layers = [(tap.name, t) for tap in maps.unet for t in range(13)]
    changes = [*layers, *(tap.name for tap in maps.vae), "image"]
    rows = 1 + len(changes)  # the first is not changed
    unet = {name: one.repeat(rows, 1, 1, 1, 1, 1) for name, one in base.unet.items()}
    vae = {name: one.repeat(rows, 1, 1, 1) for name, one in base.vae.items()}
    image = base.image.repeat(rows, 1, 1, 1)
    for i, change in enumerate(changes, start=1):
        if change == "image":
            image[i] = other.image[0]
        elif change in vae:
            vae[change][i] = other.vae[change][0]
        else:
            name, t = change
            unet[name][i, t] = other.unet[name][0, t]
    with torch.no_grad():
        drawn = SketchNetwork(maps)(replace(base, unet=unet, vae=vae, image=image)).double()
    apart = torch.cdist(drawn.flatten(1), drawn.flatten(1), p=float("inf"))
    assert len(changes) == 12 * 13 + 14 + 1
    assert (apart + torch.eye(rows)).min() > 1e-6


@pytest.mark.parametrize("half", [0, 1])
def test_each_half_of_the_pair_counts(half):
    maps = feature_taps("narrow")
    base = features(maps, 64, 64)
    network = SketchNetwork(maps)
    with torch.no_grad():
        before = network(base)
        for tap in maps.unet:
            base.unet[tap.name][:, :, half] *= -1
            after = network(base)
            assert (after - before).abs().max() > 1e-6, tap.name
            before = after


@pytest.mark.parametrize("name", ["narrow", "embedded"])
def test_rows_of_a_batch_are_drawn_as_if_alone(name):
    maps = feature_taps(name)
    network, given = SketchNetwork(maps), features(maps, 64, 64, rows=3)
    with torch.no_grad():
        together = network(given)
        alone = torch.cat([network(row(given, i)) for i in range(3)])
    assert together.shape == (3, 1, 64, 64)
    assert (together - alone).abs().max() < 1e-4


@pytest.mark.parametrize("sources", VARIANTS)
@pytest.mark.parametrize("name", ["narrow", "embedded"])
def test_a_sketch_has_the_picture_s_size_even_where_the_coarsest_maps_are_rounded_up(name, sources):
    maps = feature_taps(name)
    with torch.no_grad():
        drawn = SketchNetwork(maps, sources=sources)(features(maps, 96, 160))
    assert drawn.shape == (1, 1, 96, 160)
    assert drawn.isfinite().all()


def test_it_takes_what_is_read_off_a_model():
    backbone = load_backbone("random", device="cpu")
    maps, timesteps = feature_taps("embedded"), (1, 401)
    clean = torch.randn(1, 8, 24, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        way = noised_path(backbone, clean, timesteps, seed=0)
        given = read(backbone, maps, way, backbone.embed("a face").states)
        drawn = SketchNetwork(maps, timesteps=2)(given)
    assert drawn.shape == (1, 1, 96, 160)


@pytest.mark.parametrize("sources", VARIANTS)
def test_saved_and_loaded_it_draws_the_same(sources):
    maps = feature_taps("narrow")
    given = features(maps, 64, 64)
    network = SketchNetwork(maps, sources=sources)
    other = SketchNetwork(maps, sources=sources, seed=1)
    other.load_state_dict(load(save(network.state_dict())))
    with torch.no_grad():
        assert torch.equal(network(given), other(given))


def test_first_weights_come_from_the_seed_alone_and_leave_the_random_state_as_it_was():
    maps, state = feature_taps("narrow"), torch.random.get_rng_state()
    first, same, other = (SketchNetwork(maps, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[name], same[name]) for name in first)
    drawn = [name for name in first if name.endswith("weight") and "norm" not in name]
    changed = {name for name in first if not torch.equal(first[name], other[name])}
    assert changed
    assert changed <= set(drawn) | {name for name in first if "decoder" in name}


@pytest.mark.parametrize("contrast", [1.0, 1.5, 4.0])
def test_contrast_is_about_a_light_grey_and_stays_in_the_weights(contrast):
    maps = feature_taps("embedded")
    plain, sharp, loaded = (SketchNetwork(maps) for _ in range(3))
    sharp.sharpen(contrast)
    loaded.load_state_dict(sharp.state_dict())
    given = features(maps, 32, 32)
    with torch.no_grad():
        wanted = 0.75 + contrast * (plain(given) - 0.75)
        torch.testing.assert_close(loaded(given), wanted, rtol=0, atol=1e-5)
    assert all(parameter.requires_grad for parameter in sharp.parameters())


def test_computing_again_trains_the_same():
    maps = feature_taps("narrow")
    given, grads = features(maps, 64, 64), []
    for checkpointed in (False, True):
        network = SketchNetwork(maps, checkpointed=checkpointed)
        network(given).square().mean().backward()
        grads.append({name: one.grad for name, one in network.named_parameters()})
    assert all(torch.equal(one, grads[1][name]) for name, one in grads[0].items())


def test_what_is_not_used_may_be_missing():
    maps = feature_taps("narrow")
    given = features(maps, 64, 64)
    with torch.no_grad():
        for sources, less in (
            (("vae",), replace(given, unet={})),
            (("unet",), replace(given, vae={})),
        ):
            network = SketchNetwork(maps, sources=sources)
            assert torch.equal(network(less), network(given))
        blind = SketchNetwork(maps, sources=("unet",))
        assert torch.equal(blind(given), blind(replace(given, image=given.image + 1)))
    assert SketchNetwork(maps, sources=("vae",)).mixing() == {}
    assert set(SketchNetwork(maps).mixing()) == {"low", "top"}


@pytest.mark.parametrize("name", ["u0.1", "u3.2", "v0.4", "v3.0"])
def test_a_missing_map_is_refused_by_name(name):
    maps = feature_taps("narrow")
    given = features(maps, 64, 64)
    kind = {"u": "unet", "v": "vae"}[name[0]]
    fewer = {key: one for key, one in getattr(given, kind).items() if key != name}
    with pytest.raises(UnknownNameError, match=f"no {kind} map named '{name}'"):
        SketchNetwork(maps)(replace(given, **{kind: fewer}))


def test_maps_of_other_timesteps_are_refused_by_name():
    maps = feature_taps("narrow")
    with pytest.raises(ShapeError, match=r"unet map 'u0.0' must be .*t=13.*, got \(1, 12, 2"):
        SketchNetwork(maps)(features(maps, 64, 64, timesteps=12))


@pytest.mark.parametrize("name", ["u1.0", "v2.1"])
def test_maps_of_another_picture_s_size_are_refused_by_name(name):
    maps = feature_taps("narrow")
    given, larger = features(maps, 64, 64), features(maps, 128, 64)
    kind = {"u": "unet", "v": "vae"}[name[0]]
    mixed = {**getattr(given, kind), name: getattr(larger, kind)[name]}
    with pytest.raises(ShapeError, match=f"{kind} map '{name}' must be "):
        SketchNetwork(maps)(replace(given, **{kind: mixed}))


def test_a_picture_between_two_cells_is_refused():
    maps = feature_taps("narrow")
    given = features(maps, 64, 64)
    with pytest.raises(ShapeError, match="multiples of 8, got 60x64"):
        SketchNetwork(maps)(replace(given, image=given.image[..., :60, :]))


def test_unknown_sources_no_sources_and_no_timesteps_are_refused():
    maps = feature_taps("narrow")
    with pytest.raises(UnknownNameError, match="no source of maps named 'clip'"):
        SketchNetwork(maps, sources=("unet", "clip"))
    with pytest.raises(ConfigError, match="at least one of unet, vae, got none"):
        SketchNetwork(maps, sources=())
    with pytest.raises(ConfigError, match="timesteps must be at least 1, got 0"):
        SketchNetwork(maps, timesteps=0)
