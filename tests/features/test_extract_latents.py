"""extract_latents and conditioning: the same reading, of latents and words that are given."""

import pytest
import torch
from reduced import reduced_configs
from small_parts import drawn
from small_transformers import flux

from featurekit.backbones import load
from featurekit.backbones.unet import sdxl
from featurekit.core.errors import ConfigError, NoiseLevelError, NotFiniteError, ShapeError
from featurekit.diffusion.flow_schedule import schedule_of
from featurekit.diffusion.invert import invert
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.steps import noised
from featurekit.diffusion.trajectory import Trajectory
from featurekit.features.extract import extract, extract_latents
from featurekit.features.extractor import Extractor, joined
from featurekit.features.feature_maps import load_features
from featurekit.features.noise_draws import noises
from featurekit.features.recipes import Ensemble, Recipe
from featurekit.taps.capture import capture
from featurekit.taps.tokens_to_maps import as_map


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


@pytest.fixture(scope="module")
def image(backbone):
    """Two pictures whose width is no multiple of anything."""
    side = backbone.multiple
    return torch.rand(2, 3, side, side + 5, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def latents(backbone, image):
    """What ``extract`` makes of the pictures with seed 3, by hand."""
    z0 = backbone.encode(image)
    noise = noises(Ensemble(), tuple(z0.shape[1:]), 3).expand_as(z0)
    return {t: noised(z0, noise, alpha_bar=backbone.noise.level(t)) for t in (1, 261, 701)}


# laws


def test_latents_noised_by_hand_give_the_features_of_the_picture(backbone, image, latents):
    asked = {"taps": ["mid", "up1"], "timesteps": [261, 1], "prompt": "a house"}
    true = extract(backbone, image, **asked, seed=3)
    for rows in (1, 64):  # one timestep a call, all in one
        found = extract_latents(backbone, latents, **asked, rows=rows)
        assert [(one.tap, one.timestep) for one in found] == [
            (one.tap, one.timestep) for one in true
        ]
        for one, other in zip(found, true, strict=True):
            torch.testing.assert_close(one.tensor, other.tensor, atol=1e-5, rtol=1e-5)
        assert rows > 1 or torch.equal(found[0].tensor, true[0].tensor)


def test_latents_share_calls_that_end_at_the_deepest_tap(backbone, latents):
    wanted, lasts = [], []
    want = backbone.unet.mid_block.register_forward_hook(lambda *_: wanted.append(1))
    last = backbone.unet.up_blocks[2].register_forward_hook(lambda *_: lasts.append(1))
    with want, last:
        extract_latents(backbone, latents, taps="up1", rows=4)
    assert (len(wanted), lasts) == (2, [])


def test_a_trajectory_says_its_timesteps_and_of_a_pair_the_first_state(backbone, latents):
    schedule = Schedule.ddim(backbone.noise, 10)
    states = tuple(latents.values())
    timesteps = [schedule.timestep(level) for level in (1, 2)]
    maps = extract_latents(backbone, Trajectory(states, schedule), taps="mid")
    assert [one.timestep for one in maps] == timesteps
    by_hand = dict(zip(timesteps, states[1:], strict=True))
    pairs = tuple(torch.cat((z, -z)) for z in states)
    for same in (by_hand, Trajectory(pairs, schedule, method="edict")):
        for one, other in zip(maps, extract_latents(backbone, same, taps="mid"), strict=True):
            assert torch.equal(one.tensor, other.tensor)


def test_a_flow_s_trajectory_is_read_at_its_own_timesteps(tmp_path):
    small = flux()
    flow, z = small.wrapped(), drawn(1, 16, 6, 10)
    predict = flow.predictor(small.words)
    with torch.no_grad():
        way = invert(predict, z, schedule_of(flow.noise, 3, cells=(6, 10)))
        asked = {"taps": ["double1"], "conditioning": small.words}
        together = extract_latents(flow, way, **asked)
        t = way.schedule.timesteps[-1]
        alone = extract_latents(flow, way, **asked, timesteps=t)
        with capture(flow.denoiser, flow.addresses("double1")) as found:
            predict(way.at(1), t)
    assert t != int(t)
    assert {one.timestep for one in together} == set(way.schedule.timesteps)
    wanted = as_map(found["double1"], flow.taps["double1"], size_px=(48, 80))
    torch.testing.assert_close(alone["double1", t].tensor, wanted)
    torch.testing.assert_close(together["double1", t].tensor, wanted, rtol=1e-4, atol=1e-5)
    read = load_features(together.save(tmp_path / "maps.safetensors"))
    assert torch.equal(read["double1", t].tensor, together["double1", t].tensor)
    picture = drawn(1, 3, 48, 80).clamp(-1, 1)
    noisy = extract(flow, picture, **asked, timesteps=[261, 261.5])
    assert [one.timestep for one in noisy] == [261, 261.5]
    assert not torch.equal(noisy[0].tensor, noisy[1].tensor)


def test_gradients_reach_a_latent(backbone, latents):
    leaf = latents[261].clone().requires_grad_(True)
    extract_latents(backbone, {261: leaf}, taps="up1")["up1"].tensor.sum().backward()
    assert leaf.grad.abs().max() > 0


def test_maps_of_latents_know_the_picture_they_are_told(backbone, image, latents):
    asked = {"taps": "mid", "timesteps": 261}
    sides = tuple(image.shape[2:])
    assert extract_latents(backbone, latents, **asked, picture_px=sides)["mid"].size_px == sides
    whole = extract_latents(backbone, latents, **asked)["mid"]
    assert whole.size_px == (backbone.multiple, 2 * backbone.multiple)


def test_a_conditioning_stands_for_its_prompt_and_may_have_a_row_an_image(backbone, image):
    asked = {"taps": "mid", "timesteps": 261}
    prompts = ("a house", "a cat")
    two = [backbone.embed(prompt) for prompt in prompts]
    found = extract(backbone, image, **asked, conditioning=joined(two))["mid"].tensor
    for index, prompt in enumerate(prompts):
        one = image[index : index + 1]
        alone = extract(backbone, one, **asked, prompt=prompt)["mid"].tensor
        torch.testing.assert_close(found[index : index + 1], alone, atol=1e-5, rtol=1e-5)
        same = extract(backbone, one, **asked, conditioning=two[index])["mid"].tensor
        assert torch.equal(same, alone)


def test_a_network_that_is_told_sizes_is_told_the_pictures_own():
    model = sdxl.build("sdxl", reduced_configs("sdxl"), device="cpu")
    told = []

    def note(module, args, given):
        told.append(given["added_cond_kwargs"]["time_ids"].tolist())

    picture, latent = torch.zeros(1, 3, 50, 70), torch.zeros(1, 4, 8, 12)
    asked = {"taps": "conv_in", "timesteps": 261}
    with model.unet.register_forward_pre_hook(note, with_kwargs=True):
        extract(model, picture, **asked)
        chosen = sdxl.with_sizes(model.embed(""), original_px=(9, 8), target_px=(7, 6))
        extract(model, picture, **asked, conditioning=chosen)
        list(Extractor(model, Recipe("conv_in", 261), batch=2)([picture, picture[:, :, :48]]))
        extract_latents(model, {261: latent}, taps="conv_in")
        extract_latents(model, {261: latent}, taps="conv_in", picture_px=(50, 70))
    own = [50, 70, 0, 0, 50, 70]
    assert told[:2] == [[own], [[9, 8, 0, 0, 7, 6]]]
    assert told[2] == [own, [48, 70, 0, 0, 48, 70]]
    assert told[3:] == [[[64, 96, 0, 0, 64, 96]], [own]]


# refusals


def test_a_prompt_beside_a_conditioning_is_refused(backbone, image):
    states = backbone.embed("")
    with pytest.raises(ConfigError, match=r"a prompt must be left out where .*, got 'a cat'"):
        extract(backbone, image, taps="mid", timesteps=1, prompt="a cat", conditioning=states)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"timesteps": 5}, NoiseLevelError, "must have a latent, got 5, there are 1, 261, 701"),
        ({"latents": {}}, ConfigError, "timesteps must ask for something, got none"),
        (
            {"latents": torch.zeros(1, 4, 8, 8)},
            ConfigError,
            "must be tensors by timestep, .* got a",
        ),
        ({"latents": {1000: torch.zeros(1, 8, 8, 8)}}, NoiseLevelError, "1000"),
        ({"latents": {1: torch.zeros(1, 3, 8, 8)}}, ShapeError, "the latent of t=1 must be"),
        ({"latents": {1: torch.zeros(1, 8, 3, 8)}}, ShapeError, "must cover a multiple of 32 px"),
        ({"latents": {1: torch.zeros(1, 8, 8, 8).long()}}, ShapeError, "of a floating dtype"),
        ({"latents": {1: torch.full((1, 8, 8, 8), torch.nan)}}, NotFiniteError, "latent of t=1"),
        (
            {"latents": {1: torch.zeros(1, 8, 8, 8), 2: torch.zeros(2, 8, 8, 8)}},
            ShapeError,
            "latents must have one shape and a row, got",
        ),
        ({"rows": 0}, ConfigError, "rows must be at least 1, got 0"),
        ({"picture_px": (500, 9)}, ShapeError, "a picture must lie in the"),
    ],
)
def test_latents_that_cannot_be_read_are_refused(backbone, latents, change, error, message):
    asked = {"latents": latents, "taps": ["mid"], **change}
    with pytest.raises(error, match=message):
        extract_latents(backbone, asked.pop("latents"), **asked)
