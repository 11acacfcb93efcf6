"""Ways: generation walks the path of diffusers, row by row; noise and inversion keep their laws."""

import diffusers
import pytest
import torch

import featurekit as fk
from featurekit.core.errors import ConfigError, NoiseLevelError, ShapeError
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.sample import sample
from featurekit.scenes import held_out_scenes
from featurekit_sketch.network.feature_taps import FeatureTaps
from featurekit_sketch.network.sketch_network import SketchNetwork
from featurekit_sketch.sampling import noising_paths as ways
from featurekit_sketch.sampling.feature_reading import read
from featurekit_sketch.sampling.noising_paths import (
    NoisingPath,
    SampledRun,
    generated_paths,
    inverted_path,
    noised_path,
)
from featurekit_sketch.sampling.representative_timesteps import levels_of, timesteps_of

STEPS, GUIDANCE, SEEDS = 14, 3.0, (5, 9)
PROMPTS = ("a red circle", "a house at night")


@pytest.fixture(scope="module")
def backbone():
    return fk.load_backbone("random")


@pytest.fixture(scope="module")
def states(backbone):
    with torch.no_grad():
        return torch.cat([backbone.embed(prompt).states for prompt in PROMPTS])


@pytest.fixture(scope="module")
def generated(backbone, states):
    """Two ways of one batch, with what was counted meanwhile."""
    rows, told = [], []
    hook = backbone.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    asked = states.clone().requires_grad_()
    ways = generated_paths(
        backbone,
        asked,
        SampledRun(STEPS, GUIDANCE),
        seeds=SEEDS,
        progress=lambda *of: told.append(of),
    )
    hook.remove()
    return ways, rows, told


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def relative(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


@torch.no_grad()
def diffusers_path(backbone, states, seed, guidance):
    """Latents by timestep as diffusers' scheduler makes them, and the last predicted x0."""
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    scheduler.set_timesteps(STEPS)
    both = torch.cat([backbone.embed("").states, states])
    z, latents = normal(1, 8, 16, 16, seed=seed), {}
    for t in scheduler.timesteps:
        latents[int(t)] = z
        without, given = backbone.unet(z.repeat(2, 1, 1, 1), t, both).sample.chunk(2)
        step = scheduler.step(without + guidance * (given - without), t, z)
        z = step.prev_sample
    return latents, step.pred_original_sample


def test_generation_is_diffusers_ddim_over_the_whole_path(backbone, states, generated):
    for row, way in enumerate(generated[0]):
        latents, x0 = diffusers_path(backbone, states[row, None], SEEDS[row], GUIDANCE)
        assert way.timesteps == tuple(sorted(way.timesteps))
        assert len(set(way.timesteps)) == 13
        for t, latent in zip(way.timesteps, way.latents, strict=True):
            assert relative(latent[None], latents[t]) < 1e-4
        assert relative(way.clean, x0) < 1e-4


def test_the_noisiest_latent_may_be_the_first_noise_itself(generated):
    assert levels_of(STEPS)[-1] == STEPS
    for way, seed in zip(generated[0], SEEDS, strict=True):
        assert torch.equal(way.latents[-1], normal(8, 16, 16, seed=seed))


def test_the_same_seed_twice_is_equal_bit_for_bit(backbone, states, generated):
    again = generated_paths(backbone, states, SampledRun(STEPS, GUIDANCE), seeds=SEEDS)
    for first, second in zip(generated[0], again, strict=True):
        assert torch.equal(first.latents, second.latents)
        assert torch.equal(first.clean, second.clean)


def test_a_row_is_the_same_alone_as_in_a_batch(backbone, states, generated):
    (alone,) = generated_paths(backbone, states[1:], SampledRun(STEPS, GUIDANCE), seeds=SEEDS[1:])
    together = generated[0][1]
    assert relative(alone.latents, together.latents) < 1e-5
    assert relative(alone.clean, together.clean) < 1e-5
    assert relative(generated[0][0].clean, together.clean) > 0.1  # rows do differ


def test_guidance_costs_two_rows_a_picture_and_step_and_progress_is_told(generated):
    _, rows, told = generated
    assert rows == [4] * STEPS
    assert told == [(done, STEPS) for done in range(1, STEPS + 1)]


def test_a_guidance_of_1_costs_one_row_a_picture_and_step(backbone, states):
    rows, before = [], torch.get_rng_state()
    hook = backbone.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    generated_paths(backbone, states[:1], SampledRun(STEPS, 1), seeds=(0,))
    hook.remove()
    assert rows == [1] * STEPS
    assert torch.equal(torch.get_rng_state(), before)  # and the global random state is left alone


def test_generated_ways_own_their_memory_and_hold_no_graph(generated):
    for way in generated[0]:
        for part in (way.latents, way.clean):
            assert not part.requires_grad
            assert part.untyped_storage().nbytes() == part.numel() * 4


def test_a_noised_way_mixes_by_the_signal_with_one_noise_at_all_timesteps(backbone):
    clean = normal(1, 8, 8, 12, seed=1)
    timesteps = (1, 61, 501, 941)
    way = noised_path(backbone, clean, timesteps, seed=7)
    assert way.timesteps == timesteps
    assert way.clean is clean
    eps = normal(1, 8, 8, 12, seed=7).double()
    for latent, t in zip(way.latents, timesteps, strict=True):
        signal = float(backbone.noise.alpha_bars[t])
        wanted = signal**0.5 * clean.double() + (1 - signal) ** 0.5 * eps
        assert (latent - wanted[0]).abs().max() < 1e-6


def test_noise_depends_on_seed_and_size_alone(backbone):
    first, second = normal(1, 8, 8, 8, seed=1), normal(1, 8, 8, 8, seed=2)
    noises = [
        way.latents[-1] - float(backbone.noise.alpha_bars[941]) ** 0.5 * way.clean[0]
        for way in (noised_path(backbone, z, (941,), seed=0) for z in (first, second))
    ]
    assert (noises[0] - noises[1]).abs().max() < 1e-5
    one, few = (noised_path(backbone, first, t, seed=0) for t in ((941,), (61, 941)))
    assert torch.equal(one.latents[-1], few.latents[-1])
    assert not torch.equal(one.latents, noised_path(backbone, first, (941,), seed=1).latents)


@torch.no_grad()
def error_of_return(steps):
    """How far from its latent a face comes back that was inverted and sampled again."""
    backbone = fk.load_backbone("embedded")
    (scene,) = held_out_scenes(1, ("face",))
    clean = backbone.encode(fk.load_image(scene.image(64)))
    conditioning = backbone.embed(scene.caption())
    schedule = Schedule.ddim(backbone.noise, steps)
    way = inverted_path(backbone, clean, schedule, conditioning.states)
    assert way.timesteps == timesteps_of(schedule)
    assert way.latents.shape == (13, *clean.shape[1:])
    assert way.clean is clean
    top = levels_of(steps)[-1]
    predict = backbone.predictor(conditioning)
    return relative(sample(predict, way.latents[-1:], schedule, start=top), clean)


def test_inversion_then_sampling_returns_and_more_steps_return_nearer():
    errors = [error_of_return(steps) for steps in (14, 28)]
    assert errors[1] < 0.75 * errors[0]
    assert errors[1] < 0.1


def test_a_face_comes_back_within_2_percent_in_200_steps():
    assert error_of_return(200) < 0.02


def test_a_sketch_sees_nothing_of_the_levels_that_are_not_listed(backbone, states, monkeypatch):
    feature_taps = FeatureTaps.of(backbone.unet.config, backbone.vae.config)
    network, listed = SketchNetwork(feature_taps), levels_of(16)

    @torch.no_grad()
    def drawn(disturbed):
        def along(predict, start, schedule, *, on_step, progress):
            def keep(level, z):
                on_step(level, z + (level in disturbed))

            return sample(predict, start, schedule, on_step=keep, progress=progress)

        monkeypatch.setattr(ways, "sample", along)
        (way,) = generated_paths(backbone, states[:1], SampledRun(16, 1), seeds=(0,))
        return network(read(backbone, feature_taps, way, states[:1]))

    as_it_is = drawn(())
    unlisted = set(range(16)) - set(listed)
    assert len(unlisted) == 16 - 13 + 1  # with the clean end, which no network sees
    assert float((drawn(unlisted) - as_it_is).abs().max()) == 0.0
    for level in (listed[0], listed[6], listed[-2]):
        assert float((drawn({level}) - as_it_is).abs().max()) > 1e-6


def test_inversion_calls_the_network_once_a_level_and_says_so(backbone, states):
    rows, told = [], []
    hook = backbone.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    way = inverted_path(
        backbone,
        normal(1, 8, 8, 8).requires_grad_(),
        Schedule.ddim(backbone.noise, 25),
        states[:1],
        progress=lambda *of: told.append(of),
    )
    hook.remove()
    top = levels_of(25)[-1]
    assert rows == [1] * top
    assert told[-1] == (top, top)
    assert not way.latents.requires_grad


def test_a_way_goes_to_another_device_as_a_whole(generated):
    there = generated[0][0].to(torch.device("meta"))
    assert there.latents.is_meta
    assert there.clean.is_meta
    assert there.timesteps == generated[0][0].timesteps


def test_a_half_model_draws_float32_ways_from_float32_states(states):
    half = fk.load_backbone("random", dtype="bfloat16")
    (way,) = generated_paths(half, states[:1], SampledRun(STEPS, 2.0), seeds=(0,))
    assert way.latents.dtype == way.clean.dtype == torch.float32


@pytest.mark.parametrize(
    ("latents", "timesteps", "clean", "message"),
    [
        ((2, 8, 4, 4), (1,), (1, 8, 4, 4), "latents of a noising path must be .t=1 c h w"),
        ((8, 4, 4), (1,), (1, 8, 4, 4), "latents of a noising path must be"),
        ((1, 8, 4, 4), (1,), (1, 8, 4, 5), "clean latent of a noising path must be .1 c=8 h=4 w=4"),
        ((1, 8, 4, 4), (1,), (2, 8, 4, 4), "clean latent of a noising path must be"),
        ((1, 8, 4, 4), (1,), (8, 4, 4), "clean latent of a noising path must be"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(latents, timesteps, clean, message):
    with pytest.raises(ShapeError, match=message):
        NoisingPath(torch.zeros(latents), timesteps, torch.zeros(clean))


def test_several_pictures_where_one_is_asked_for_are_refused(backbone, states):
    schedule, two = Schedule.ddim(backbone.noise, 50), normal(2, 8, 4, 4)
    with pytest.raises(ShapeError, match="clean latent must be"):
        noised_path(backbone, two, (1,), seed=0)
    with pytest.raises(ShapeError, match="clean latent must be"):
        inverted_path(backbone, two, schedule, states[:1])
    with pytest.raises(ShapeError, match="states must be"):
        inverted_path(backbone, two[:1], schedule, states)


def test_seeds_that_are_not_one_for_each_row_of_states_are_refused(backbone, states):
    with pytest.raises(ShapeError, match=r"states, one row a seed, must be \(b=3 n d"):
        generated_paths(backbone, states, SampledRun(STEPS, 1), seeds=(0, 1, 2))


def test_too_few_steps_and_unknown_timesteps_are_refused_before_any_work(backbone, states):
    with pytest.raises(ConfigError, match="got 10 steps"):
        generated_paths(backbone, states[:1], SampledRun(10, 1), seeds=(0,))
    with pytest.raises(ConfigError, match="got 10 steps"):
        inverted_path(backbone, normal(1, 8, 4, 4), Schedule.ddim(backbone.noise, 10), states[:1])
    with pytest.raises(NoiseLevelError, match="got 1000"):
        noised_path(backbone, normal(1, 8, 4, 4), (1, 1000), seed=0)
