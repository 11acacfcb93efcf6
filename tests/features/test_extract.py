"""extract: features are what a plain forward computes, for less work and reproducibly."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from featurekit.backbones import load
from featurekit.backbones.unet import sd
from featurekit.core.errors import (
    BackboneError,
    ConfigError,
    ImageError,
    NoiseLevelError,
    ShapeError,
    UnknownNameError,
)
from featurekit.diffusion.steps import noised
from featurekit.features.extract import extract
from featurekit.features.recipes import Ensemble
from featurekit.images.io import load_image
from featurekit.taps.capture import capture


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


@pytest.fixture(scope="module")
def image(backbone):
    """Two pictures whose width is no multiple of anything."""
    size = 2 * backbone.multiple
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, size, size + 5, generator=generator) * 2 - 1


def finished_calls(module):
    """Count the forwards of a module that came to their end."""
    calls = []
    handle = module.register_forward_hook(lambda *call: calls.append(1))
    return calls, handle


def plain(backbone, image, tap, t, *, seed, prompt="", draw=0):
    """The feature of one noise draw by a whole forward, each step written out."""
    z0 = backbone.encode(image)
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(draw + 1, *z0.shape[1:], generator=generator)
    z = noised(z0, draws[draw].expand_as(z0), alpha_bar=backbone.noise.level(t))
    with capture(backbone.unet, {tap: backbone.taps[tap].path}) as captured:
        backbone.predictor(backbone.embed(prompt))(z, t)
    return captured[tap]


def test_every_published_tap_has_its_published_size(backbone, image):
    maps = extract(backbone, image[:1], taps=list(backbone.taps), timesteps=[261])
    assert [one.tap for one in maps] == list(backbone.taps)
    height, width = 2 * backbone.multiple, 3 * backbone.multiple  # padded
    for one in maps:
        tap = backbone.taps[one.tap]
        assert one.stride == tap.stride
        assert one.tensor.shape == (1, tap.channels, height // tap.stride, width // tap.stride)


def test_features_equal_those_of_a_whole_forward(backbone, image):
    maps = extract(
        backbone, image, taps=["up1", "up2"], timesteps=[1, 261], prompt="a house", seed=3
    )
    assert len(maps) == 4
    for one in maps:
        whole = plain(backbone, image, one.tap, one.timestep, seed=3, prompt="a house")
        assert torch.equal(one.tensor, whole)


def test_the_network_is_left_after_the_deepest_tap(backbone, image):
    ends, end = finished_calls(backbone.unet)
    lasts, last = finished_calls(backbone.unet.up_blocks[3])
    wanted, want = finished_calls(backbone.unet.up_blocks[2])
    extract(backbone, image[:1], taps=["up1", "up2"], timesteps=[1, 261], ensemble=3)
    for handle in (end, last, want):
        handle.remove()
    assert len(wanted) == 2
    assert lasts == ends == []


def test_nothing_is_left_on_the_network(backbone, image):
    extract(backbone, image[:1], taps=["up1"], timesteps=[261])
    assert all(not module._forward_hooks for module in backbone.unet.modules())


def test_the_seed_decides_and_nothing_else(backbone, image):
    def up2(seed, **others):
        asked = {"taps": ["up2"], "timesteps": [261], **others}
        return extract(backbone, image[:1], seed=seed, **asked)["up2", 261].tensor

    torch.manual_seed(1)
    first = up2(5)
    torch.manual_seed(2)
    assert torch.equal(up2(5), first)
    assert torch.equal(up2(5, taps=["mid", "up2"], timesteps=[1, 261]), first)
    assert not torch.allclose(up2(6), first)


def test_the_global_generator_is_not_touched(backbone, image):
    before = torch.get_rng_state()
    extract(backbone, image[:1], taps=["up1"], timesteps=[261])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_equals_one_image_at_a_time(backbone, image):
    together = extract(backbone, image, taps=["up1", "up2"], timesteps=[261], ensemble=2)
    for i in range(2):
        alone = extract(
            backbone, image[i : i + 1], taps=["up1", "up2"], timesteps=[261], ensemble=2
        )
        for one, other in zip(together, alone, strict=True):
            torch.testing.assert_close(one.tensor[i : i + 1], other.tensor, atol=1e-5, rtol=0)


def test_an_ensemble_is_the_mean_over_draws(backbone, image):
    mean = extract(backbone, image, taps=["up2"], timesteps=[261], ensemble=3, seed=7)
    draws = [plain(backbone, image, "up2", 261, seed=7, draw=draw) for draw in range(3)]
    torch.testing.assert_close(mean[0].tensor, torch.stack(draws).mean(0), atol=1e-5, rtol=0)
    assert (draws[0] - draws[1]).abs().max() > 0.01


def test_an_antithetic_pair_is_the_mean_over_a_noise_and_its_negative(backbone, image):
    given = []
    with backbone.unet.register_forward_pre_hook(lambda _, args: given.append(args[0])):
        asked = {"taps": ["mid"], "timesteps": [261], "seed": 7}
        extract(backbone, image[:1], **asked, ensemble=Ensemble("antithetic", 2))
    z0 = backbone.encode(image[:1])
    middle = backbone.noise.level(261).sqrt().float() * z0
    torch.testing.assert_close(given[0].mean(0, keepdim=True), middle, atol=1e-6, rtol=0)


def test_every_form_of_a_picture_gives_the_same_maps(backbone, tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    picture = Image.fromarray(array)
    picture.save(tmp_path / "x.png")
    asked = {"taps": ["mid"], "timesteps": [261]}
    true = extract(backbone, load_image(array), **asked)["mid"].tensor
    for form in (array, picture, tmp_path / "x.png", str(tmp_path / "x.png")):
        assert torch.equal(extract(backbone, form, **asked)["mid"].tensor, true)


def test_one_of_a_kind_is_taken_for_a_list_of_one(backbone, image):
    lists = extract(
        backbone, image[:1], taps=["mid"], timesteps=[261], ensemble=Ensemble("antithetic", 2)
    )
    single = extract(backbone, image[:1], taps="mid", timesteps=261, ensemble="antithetic-2")
    assert torch.equal(single["mid"].tensor, lists[0].tensor)
    several = extract(backbone, image[:1], taps="mid", timesteps=torch.tensor([261, 1]))
    assert [one.timestep for one in several] == [261, 1]


def test_maps_know_the_size_of_the_picture(backbone, image):
    (one,) = extract(backbone, image, taps="mid", timesteps=261)
    assert one.size_px == tuple(image.shape[2:])
    assert one.grid[1] * one.stride > image.shape[3]


def test_stopping_after_up1_of_stable_diffusion_saves_44_per_cent_of_the_operations():
    model = sd.from_config("sd15", device="meta")
    z = torch.zeros(1, 4, 64, 64, device="meta")
    states = torch.zeros(1, 77, 768, device="meta")
    with FlopCounterMode(display=False) as full:
        model.unet(z, 261, encoder_hidden_states=states)
    taps = {"up1": model.taps["up1"].path}
    with (
        FlopCounterMode(display=False) as early,
        capture(model.unet, taps, stop_after=True) as found,
    ):
        model.unet(z, 261, encoder_hidden_states=states)
    assert found["up1"].shape == (1, 1280, 32, 32)
    assert 0.5 < early.get_total_flops() / full.get_total_flops() <= 0.56


def test_gradients_reach_the_image(backbone, image):
    leaf = image[:1].clone().requires_grad_(True)
    extract(backbone, leaf, taps=["up1"], timesteps=[261])[0].tensor.sum().backward()
    assert leaf.grad.abs().max() > 0
    assert not extract(backbone, image[:1], taps=["up1"], timesteps=[261])[0].tensor.requires_grad


def test_maps_are_a_sequence_that_can_be_asked_by_name(backbone, image):
    maps = extract(backbone, image[:1], taps=["up1", "up2"], timesteps=[1, 261])
    assert [(one.tap, one.timestep) for one in maps] == [
        ("up1", 1),
        ("up2", 1),
        ("up1", 261),
        ("up2", 261),
    ]
    assert maps["up2", 261] is maps[3] is maps[-1]
    assert list(maps[1:3]) == [maps[1], maps[2]]
    assert repr(maps) == "FeatureMaps(4: taps up1, up2; t 1, 261)"
    assert repr(maps[1:2]) == "FeatureMaps(1: taps up2; t 1)"


def test_a_map_that_was_not_asked_for_is_refused_by_name(backbone, image):
    maps = extract(backbone, image[:1], taps=["up1"], timesteps=[261])
    with pytest.raises(UnknownNameError, match=r'named \("up1", 26\); did you mean \("up1", 261'):
        maps["up1", 26]


def test_what_cannot_be_read_is_refused_before_any_work(backbone, image):
    encoded, handle = finished_calls(backbone.vae.encoder)
    with handle:
        with pytest.raises(UnknownNameError, match="no tap named 'up9'; did you mean up"):
            extract(backbone, image, taps=["up1", "up9"], timesteps=[261])
        for bad in (-1, 1000):
            with pytest.raises(NoiseLevelError, match=f"{bad}"):
                extract(backbone, image, taps=["up1"], timesteps=[261, bad])
    assert encoded == []


@pytest.mark.parametrize(
    ("taps", "timesteps", "ensemble"), [([], [261], 1), (["up1"], [], 1), (["up1"], [261], 0)]
)
def test_asking_for_nothing_is_refused(backbone, image, taps, timesteps, ensemble):
    with pytest.raises(ConfigError, match="must ask for something, got taps"):
        extract(backbone, image, taps=taps, timesteps=timesteps, ensemble=ensemble)


def test_an_image_without_three_channels_is_refused(backbone):
    with pytest.raises(ShapeError, match=r"image must be \(b c=3 h w\), got \(1, 1, 8, 8\)"):
        extract(backbone, torch.zeros(1, 1, 8, 8), taps=["up1"], timesteps=[261])


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_an_image_that_is_no_number_is_refused(backbone, image, value):
    bad = image.clone()
    bad[1, 2, 0, 0] = value
    with pytest.raises(ImageError, match="image must hold finite numbers, got NaN or infinity"):
        extract(backbone, bad, taps=["up1"], timesteps=[261])


def test_an_image_of_bytes_is_refused(backbone):
    with pytest.raises(ImageError, match=r"numbers in \[-1, 1\], got torch\.uint8; use load_image"):
        extract(backbone, torch.zeros(1, 3, 8, 8, dtype=torch.uint8), taps=["up1"], timesteps=[1])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"image": torch.full((1, 3, 8, 8), 255.0)},
            ImageError,
            r"in \[-1, 1\], got 255 to 255; u",
        ),
        ({"image": [torch.zeros(1, 3, 8, 8)] * 2}, ImageError, "got a list of 2; an Extractor rea"),
        ({"image": torch.zeros(0, 3, 8, 8)}, ShapeError, r"at least one picture, got \(0, 3, 8, 8"),
        ({"image": "gone.png"}, ImageError, r"but 'gone\.png' is no such file"),
        ({"image": 5}, ImageError, "or a uint8 array, got a int"),
        ({"prompt": ["a", "b"]}, ConfigError, "prompt must be one text for all images, got a list"),
        (
            {"timesteps": [261.5]},
            NoiseLevelError,
            r"t must be an integer, got torch\.float32; round it yourself",
        ),
        ({"timesteps": ["now"]}, ConfigError, r"timesteps must be numbers, .* got \['now'\]"),
        ({"taps": [3]}, ConfigError, "a tap must be a name, got 3"),
        ({"taps": 3}, ConfigError, "taps must be names, such as .*, got 3"),
        ({"ensemble": 1.5}, ConfigError, r"ensemble must be a number of noises, .* got 1\.5"),
        ({"taps": "up9"}, UnknownNameError, "no tap named 'up9'; did you mean up"),
    ],
)
def test_what_a_person_gives_by_mistake_is_one_sentence(backbone, given, error, message):
    asked = {"image": torch.zeros(1, 3, 8, 8), "taps": ["mid"], "timesteps": [261], **given}
    with pytest.raises(error, match=message) as caught:
        extract(backbone, asked.pop("image"), **asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("overshoot", [1.4, -1.4])
def test_what_a_decoder_overshoots_is_no_mistake(backbone, overshoot):
    extract(backbone, torch.full((1, 3, 8, 8), overshoot), taps="conv_in", timesteps=1)


def test_a_latent_that_is_no_number_is_refused_with_the_remedy(image):
    broken = load("random", device="cpu")
    broken.vae.encoder.conv_in.bias.data.fill_(torch.nan)
    with pytest.raises(BackboneError, match=r"finite latents, .* load it with dtype=float32"):
        extract(broken, image, taps=["up1"], timesteps=[261])


@pytest.mark.parametrize(("taps", "timesteps"), [(["up1", "up1"], [1]), (["up1"], [1, 261, 1])])
def test_asking_twice_for_one_thing_is_refused(backbone, image, taps, timesteps):
    with pytest.raises(
        ConfigError, match=r"must differ from each other, got .*; ask for each once"
    ):
        extract(backbone, image, taps=taps, timesteps=timesteps)
