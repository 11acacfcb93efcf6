"""The network at two scales: nothing that it is given is left out, nothing hangs on the batch."""

from dataclasses import replace

import invented
import pytest
import torch
from torch.nn import functional

from featurekit.core.errors import ShapeError, UnknownNameError
from featurekit_sketch.two_scales.moments import Moments, moments_of
from featurekit_sketch.two_scales.network import (
    DROPPED,
    FURTHEST,
    PAPER,
    TwoScaleNetwork,
    slopes,
)
from featurekit_sketch.two_scales.reading import MapSpec, TwoScaleMaps

SPECS = invented.specs("embedded")
SIDE = 64


def network(specs=SPECS, *, doublings=2, channels=1, stirred=True):
    """A network whose weights have left their beginning, where some are 0."""
    lots = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        made = TwoScaleNetwork(specs, doublings=doublings, channels=channels)
    if stirred:
        with torch.no_grad():
            for one in made.parameters():
                one.add_(0.05 * torch.randn(one.shape, generator=lots))
    return made.eval()


@pytest.fixture(scope="module")
def drawn():
    """A network, and maps that it is given."""
    return network(), invented.two_scale_maps(SPECS, SIDE, SIDE)


def changed(given, name):
    """The same maps, one of them with other noise."""
    lots = torch.Generator().manual_seed(9)
    other = torch.randn(given.maps[name].shape, generator=lots).half()
    return replace(given, maps={**given.maps, name: other})


def test_every_parameter_has_a_gradient():
    made, given = network().train(), invented.two_scale_maps(SPECS, SIDE, SIDE)
    made(given).square().mean().backward()
    still = [name for name, one in made.named_parameters() if not one.grad.abs().max() > 0]
    assert still == []


def test_it_begins_with_paper():
    logit = network(stirred=False)(invented.two_scale_maps(SPECS, SIDE, SIDE))
    assert torch.equal(logit, torch.full((1, 1, SIDE, SIDE), PAPER))


def test_the_maps_are_those_of_both_scales_and_of_the_decoder():
    taps = invented.feature_taps("embedded")
    unet = [tap.name for tap in taps.unet]
    assert [spec.name for spec in SPECS] == [
        *(f"fine.{name}" for name in unet),
        *(f"half.{name}" for name in unet),
        *(tap.name for tap in taps.vae),
    ]
    strides = {spec.name: spec.stride for spec in SPECS}
    for tap in taps.unet:
        assert strides[f"half.{tap.name}"] == 2 * strides[f"fine.{tap.name}"] == 2 * tap.stride
        spec = next(one for one in SPECS if one.name == f"fine.{tap.name}")
        assert spec.channels == 2 * tap.channels
    assert invented.specs("embedded", sources=("vae",)) == SPECS[2 * len(unet) :]
    assert invented.specs("embedded", sources=("unet",)) == SPECS[: 2 * len(unet)]


@torch.no_grad()
@pytest.mark.parametrize("name", [spec.name for spec in SPECS])
def test_every_map_changes_what_is_drawn(drawn, name):
    made, given = drawn
    assert (made(changed(given, name)) - made(given)).abs().max() > 1e-4


@torch.no_grad()
def test_the_picture_changes_what_is_drawn_near_where_it_changed(drawn):
    made, given = drawn
    image = given.image.clone()
    image[:, :, 20, 30] += 0.5
    moved = (made(replace(given, image=image)) - made(given)).abs()[0, 0]
    assert moved[20, 30] > 1e-4
    assert moved[20, 31] > 1e-4
    # blocks are normalised over the picture, so that all may move, but hardly
    assert moved[17:24, 27:34].max() > 10 * moved[40:, 40:].max()


@torch.no_grad()
def test_three_pictures_at_once_are_drawn_as_one_by_one(drawn):
    made, _ = drawn
    singles = [invented.two_scale_maps(SPECS, SIDE, SIDE, seed=seed) for seed in range(3)]
    together = made(TwoScaleMaps.together(singles))
    assert together.shape == (3, 1, SIDE, SIDE)
    for number, one in enumerate(singles):
        assert (together[number] - made(one)[0]).abs().max() < 1e-4


@torch.no_grad()
def test_a_picture_that_is_no_square_and_colours_have_their_size():
    made = network(channels=3)
    assert made(invented.two_scale_maps(SPECS, 64, 128)).shape == (1, 3, 64, 128)


@torch.no_grad()
@pytest.mark.parametrize("name", ["sd15", "narrow"])
def test_maps_of_stable_diffusion_are_doubled_three_times(name):
    taps, specs = invented.feature_taps(name), invented.specs(name)
    made = network(specs, doublings=taps.stride.bit_length() - 1)
    assert made.doublings == 3
    given = invented.two_scale_maps(specs, 128, 64)
    assert made(given).shape == (1, 1, 128, 64)
    for spec in (specs[0], specs[len(taps.unet)], specs[-1]):
        assert (made(changed(given, spec.name)) - made(given)).abs().max() > 1e-5


@torch.no_grad()
def test_a_model_whose_latents_are_halves_is_doubled_once():
    specs = (MapSpec("fine.u0.0", 6, 2), MapSpec("v0.0", 5, 2), MapSpec("v1.0", 4, 1))
    made = network(specs, doublings=1)
    given = invented.two_scale_maps(specs, 16, 24)
    assert made(given).shape == (1, 1, 16, 24)
    for spec in specs:
        assert (made(changed(given, spec.name)) - made(given)).abs().max() > 1e-4


def test_the_network_of_the_embedded_model_is_as_large_as_the_recipe_says():
    count = sum(one.numel() for one in network().parameters())
    assert 0.3e6 < count < 0.7e6


@torch.no_grad()
def test_which_channels_are_dropped_hangs_on_the_given_generator_alone():
    made, given = network().train(), invented.two_scale_maps(SPECS, SIDE, SIDE)

    def learning(seed, other):
        made.lots.manual_seed(seed)
        torch.default_generator.manual_seed(other)
        before = torch.default_generator.get_state()
        logit = made(given)
        assert torch.equal(torch.default_generator.get_state(), before)
        return logit

    with torch.random.fork_rng(devices=[]):
        first, again, other = learning(1, 1), learning(1, 2), learning(2, 1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(made.eval()(given), made(given))


@torch.no_grad()
def test_a_tenth_of_the_channels_is_dropped_whole_and_the_others_make_up_for_it():
    wide = (MapSpec("fine.u0.0", 5000, 4), MapSpec("v1.0", 4, 1))
    reduced = network(wide).reduced["fine_u0_0"].train()
    seen = []
    reduced.mix.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    reduced(torch.ones(2, 5000, 2, 3))
    (given,) = seen
    per_channel = given.flatten(2)
    assert torch.equal(per_channel.amax(2), per_channel.amin(2))
    dropped = per_channel[..., 0] == 0
    assert float(dropped.float().mean()) == pytest.approx(DROPPED, abs=0.01)
    assert not torch.equal(dropped[0], dropped[1])
    assert given[given != 0].unique().tolist() == pytest.approx([1 / (1 - DROPPED)])


@torch.no_grad()
def test_maps_are_standardised_by_their_moments_and_cut_off(drawn):
    given = drawn[1]
    scaled = {name: (20 * one.float() + 7).half() for name, one in given.maps.items()}
    made, other = network(), network()
    made.standardise(moments_of([given]))
    other.standardise(moments_of([replace(given, maps=scaled)]))
    # moments of maps of one cell are no moments: their channels are cut off alike
    assert (made(given) - other(replace(given, maps=scaled))).abs().max() < 0.05
    reduced = made.reduced["fine_u3_0"]
    seen = []
    reduced.mix.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    reduced(torch.full((1, 128, 2, 2), 1e6))
    assert torch.equal(seen[0], torch.full((1, 128, 2, 2), FURTHEST))


@torch.no_grad()
def test_the_moments_are_kept_with_the_weights(drawn):
    made, other = network(), network()
    made.standardise(moments_of([drawn[1]]))
    other.load_state_dict(made.state_dict())
    assert torch.equal(made(drawn[1]), other(drawn[1]))


def test_moments_of_every_map_are_needed(drawn):
    moments = {spec.name: Moments(torch.zeros(1), torch.ones(1)) for spec in SPECS[1:]}
    with pytest.raises(UnknownNameError, match=r"moments of map .*'fine\.u0\.0'"):
        network().standardise(moments)


@pytest.mark.parametrize("name", ["half.u3.1", "v2.1"])
def test_a_missing_map_is_named(drawn, name):
    made, given = drawn
    fewer = {key: one for key, one in given.maps.items() if key != name}
    with pytest.raises(UnknownNameError, match=name.replace(".", r"\.")):
        made(replace(given, maps=fewer))


@pytest.mark.parametrize(
    ("sides", "told"), [((62, 64), "62x64"), ((64, 30), "64x30"), ((2, 2), "2x2")]
)
def test_sides_that_are_no_multiples_of_a_cell_are_refused(drawn, sides, told):
    made, given = drawn
    with pytest.raises(ShapeError, match=rf"must be multiples of 4, got {told}"):
        made(replace(given, image=torch.zeros(1, 3, *sides)))


def test_maps_and_pictures_of_other_shapes_are_refused(drawn):
    made, given = drawn
    with pytest.raises(ShapeError, match=r"image must be \(b 3 h w\)"):
        made(replace(given, image=torch.zeros(1, 1, 64, 64)))
    maps = {**given.maps, "v0.1": torch.zeros(1, 63, 16, 16)}
    with pytest.raises(ShapeError, match=r"map 'v0\.1' must be \(b c=64 h w\)"):
        made(replace(given, maps=maps))


def test_slopes_are_central_differences_along_x_then_y():
    plane = torch.arange(5.0)[None] * 3 + torch.arange(4.0)[:, None] * 7
    found = slopes(plane.expand(1, 2, 4, 5))
    assert found.shape == (1, 4, 4, 5)
    assert torch.equal(found[:, :2, :, 1:-1], torch.full((1, 2, 4, 3), 6.0))
    assert torch.equal(found[:, 2:, 1:-1], torch.full((1, 2, 2, 5), 14.0))
    assert functional.l1_loss(found[:, 2:, 0], torch.full((1, 2, 5), 7.0)) == 0
