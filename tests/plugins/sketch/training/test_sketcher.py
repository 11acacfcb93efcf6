"""From a picture to its sketch: in half precision as in single, and from a style file or not."""

from dataclasses import replace

import pytest
import torch

import featurekit as fk
from featurekit.core.errors import ConfigError
from featurekit_sketch.network.sketch_network import SketchNetwork
from featurekit_sketch.settings import Reading
from featurekit_sketch.training.sketcher import Reader, Sketcher

KINDS = ("noise", "inversion")


def reader(backbone, kind="noise"):
    return Reader.of(backbone, Reading(kind, steps=16, seed=1))


def sketcher(backbone, kind="noise"):
    """One whose first weights are drawn, not learnt."""
    read = reader(backbone, kind)
    return Sketcher(read, SketchNetwork(read.feature_taps, seed=2).eval())


@pytest.fixture(scope="module")
def single():
    return fk.load_backbone("random", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def half():
    return fk.load_backbone("random", device="cpu", dtype="bfloat16")


@pytest.fixture(scope="module")
def image():
    return 2 * torch.rand(1, 3, 30, 40, generator=torch.Generator().manual_seed(0)) - 1


@pytest.fixture(scope="module")
def style(single):
    return sketcher(single).style((30, 40), prompt="noise")


@pytest.mark.parametrize("kind", KINDS)
def test_a_backbone_of_half_precision_draws_what_one_of_single_precision_draws(
    single, half, image, kind
):
    drawn = sketcher(half, kind)
    assert {one.dtype for one in drawn.reader.features(image).unet.values()} == {torch.bfloat16}
    found, wanted = drawn(image), sketcher(single, kind)(image)
    assert found.shape == wanted.shape == (1, 1, 30, 40)
    assert found.dtype == torch.float32
    assert wanted.std() > 0.02
    assert (found - wanted).abs().mean() < 0.1 * wanted.std()


def test_a_network_learns_from_features_of_half_precision_in_its_own(half, image):
    drawn = sketcher(half)
    features = drawn.reader.features(image)
    ink = drawn.network(features)
    assert ink.dtype == torch.float32
    assert torch.equal(ink, drawn.network(features.to(half.device, torch.float32)))
    ink.square().mean().backward()
    assert all(one.grad.dtype == torch.float32 for one in drawn.network.parameters())


def test_a_style_taken_up_again_draws_the_same(single, style, image):
    again = Sketcher.from_style(style, single)
    assert torch.equal(again(image), sketcher(single)(image))


def test_a_style_learnt_in_one_precision_draws_in_the_other(half, style, image):
    assert torch.equal(Sketcher.from_style(style, half)(image), sketcher(half)(image))


# refusals


def test_a_style_whose_weights_are_no_network_of_the_backbone_is_refused(single, style):
    name, weight = next(iter(style.state.items()))
    lacking = {other: one for other, one in style.state.items() if other != name}
    for state in (lacking, {**style.state, name: weight[..., None]}):
        with pytest.raises(ConfigError, match=r"must hold the weights of a sketch network") as told:
            Sketcher.from_style(replace(style, state=state), single)
        assert "\n" not in str(told.value)


def test_a_style_of_other_timesteps_than_its_steps_give_is_refused(single, style):
    with pytest.raises(ConfigError, match=r"must be read at the timesteps .* it says \(1, 2\)"):
        Sketcher.from_style(replace(style, timesteps=(1, 2)), single)


def test_a_style_that_says_it_was_learnt_on_other_maps_is_refused(single, style):
    channels = dict(style.channels)
    name = min(channels)
    rest = {other: count for other, count in channels.items() if other != name}
    for said, told in (
        ({name: 999}, rf"map {name} has {channels[name]} channels, but it says 999; learn"),
        ({**channels, name: 999}, rf"map {name} has {channels[name]} channels, but it says 999;"),
        (rest, rf"map {name} has {channels[name]} channels, but it says no;"),
        ({**channels, "a9": 3}, r"map a9 has no channels, but it says 3;"),
    ):
        with pytest.raises(ConfigError, match=told):
            Sketcher.from_style(replace(style, channels=said), single)
