"""Known ways to invert wrongly, one test each: what goes wrong, and that it cannot happen here."""

from inspect import signature

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, PNDMScheduler

from featurekit.core.errors import ScheduleError
from featurekit.diffusion.backbone import guided
from featurekit.diffusion.invert import invert
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.sample import sample
from featurekit.diffusion.steps import ddim_step, eps_from_v
from featurekit.testing import MixtureDenoiser

NOISE = NoiseTable.scaled_linear()
SD = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def denoiser():
    return MixtureDenoiser(normal(12, 4, 4, 4, seed=1), 0.3, NOISE)


@pytest.fixture(scope="module")
def z0(denoiser):
    return denoiser.templates[:4] + 0.3 * normal(4, 4, 4, 4, seed=2)


def rms(a, b):
    return float((a - b).square().mean().sqrt())


# the list of timesteps and the step


@pytest.mark.parametrize(
    ("spacing", "n"), [("trailing", 30), ("trailing", 13), ("linspace", 50), ("linspace", 4)]
)
def test_a_spacing_whose_stride_disagrees_with_its_list_is_refused(spacing, n):
    with pytest.raises(ScheduleError, match="must lead to the next one"):
        Schedule.ddim(NOISE, n, spacing)


def test_a_linspace_scheduler_is_refused_when_the_run_is_laid_out_and_not_halfway(denoiser):
    scheduler = DDIMScheduler(**SD, clip_sample=False, timestep_spacing="linspace")
    with pytest.raises(ScheduleError, match="use spacing='leading'"):
        Schedule.ddim(NoiseTable.from_scheduler(scheduler), 50)


def test_a_thousand_steps_with_offset_one_are_refused_and_one_fewer_work():
    with pytest.raises(ScheduleError, match=r"must lie in \[0, 999\]"):
        Schedule.ddim(NOISE, 1000)
    assert Schedule.ddim(NOISE, 999).timestep(999) == 999


def test_leading_steps_do_not_reach_the_last_timestep_and_say_what_signal_is_left():
    schedule = Schedule.ddim(NOISE, 50)
    assert schedule.timestep(50) == 981
    assert float(schedule.alpha_bars[-1].sqrt()) == pytest.approx(0.076, abs=5e-4)


def test_no_timestep_below_the_table_is_ever_asked_for(denoiser, z0):
    def strict(z, t):
        assert 0 <= t < 1000
        return denoiser(z, t)

    for offset in (0, 1):
        schedule = Schedule.ddim(NOISE, 50, steps_offset=offset)
        sample(strict, invert(strict, z0, schedule).at(50), schedule)


def test_at_offset_zero_the_first_step_asks_too_but_moves_nothing(denoiser, z0):
    schedule = Schedule.ddim(NOISE, 50, steps_offset=0)
    up = invert(denoiser, z0, schedule, until=1)
    torch.testing.assert_close(up.at(1), z0, atol=1e-14, rtol=0)
    torch.testing.assert_close(sample(denoiser, z0, schedule, start=1), z0, atol=1e-14, rtol=0)


@pytest.mark.parametrize(
    "other",
    [
        Schedule.ddim(NoiseTable.scaled_linear(set_alpha_to_one=True), 50),
        Schedule.ddim(NOISE, 50, steps_offset=0),
    ],
    ids=["set_alpha_to_one", "steps_offset"],
)
def test_a_schedule_that_differs_by_one_setting_errs_and_is_refused(denoiser, z0, other):
    schedule = Schedule.ddim(NOISE, 50)
    up = invert(denoiser, z0, schedule, method="anderson", refine=6)
    alike = rms(sample(denoiser, up.at(50), schedule), z0)
    mixed = rms(sample(denoiser, up.at(50), other), z0)
    assert mixed > 1e-3 > 100 * alike
    with pytest.raises(ScheduleError, match="schedule of this run"):
        sample(denoiser, up.at(50), other, trajectory=up)


# what has no inverse


@pytest.mark.parametrize("setting", ["clip_sample", "thresholding", "rescale_betas_zero_snr"])
def test_a_scheduler_without_inverse_is_refused_with_the_reason(setting):
    scheduler = DDIMScheduler(**SD, **{"clip_sample": False, setting: True})
    with pytest.raises(ScheduleError, match=f"{setting} must be false, got true: "):
        Schedule.ddim(NoiseTable.from_scheduler(scheduler))


def test_levels_without_signal_are_refused_even_if_no_setting_names_them():
    scheduler = DDIMScheduler(**SD, clip_sample=False)
    scheduler.alphas_cumprod[-1] = 0
    with pytest.raises(ScheduleError, match="a level without signal cannot be inverted"):
        NoiseTable.from_scheduler(scheduler)


def test_every_class_that_clips_by_default_is_refused_when_its_config_is_silent():
    clipping = set()
    for name in dir(diffusers):
        kind = getattr(diffusers, name) if name.endswith("Scheduler") else None
        defaults = getattr(kind, "__init__", None) and signature(kind.__init__).parameters
        if defaults and "clip_sample" in defaults and defaults["clip_sample"].default is True:
            clipping.add(name)
    assert {"DDIMScheduler", "DDPMScheduler"} <= clipping
    for name in clipping:
        with pytest.raises(ScheduleError, match=f"got unset, which {name} reads as true"):
            Schedule.ddim(NoiseTable.from_scheduler({**SD, "_class_name": name}))


def test_neither_eta_nor_a_rescaled_guidance_can_be_asked_for():
    offered = {*signature(sample).parameters, *signature(invert).parameters}
    assert not {"eta", "guidance_rescale", "use_clipped_model_output"} & offered


# schedulers that are not DDIM


def test_the_pndm_config_of_stable_diffusion_gives_the_timesteps_of_ddim():
    table = NoiseTable.from_scheduler(PNDMScheduler(**SD, skip_prk_steps=True))
    assert Schedule.ddim(table, 50).timesteps == tuple(range(981, 0, -20))
    assert table.final_alpha_bar == pytest.approx(0.99915, abs=1e-6)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_euler_steps_in_sigma_space_are_ddim_steps(denoiser):
    settings = {key: value for key, value in SD.items() if key != "set_alpha_to_one"}
    scheduler = EulerDiscreteScheduler(**settings, timestep_spacing="leading")
    scheduler.set_timesteps(50)
    table = NoiseTable.from_scheduler(scheduler)
    schedule = Schedule.ddim(table, 50)
    assert schedule.timesteps == tuple(int(t) for t in scheduler.timesteps)
    z = normal(1, 4, 4, 4)
    theirs = z.float() / schedule.alpha_bars[50].sqrt().float()
    for level in range(50, 1, -1):
        t = scheduler.timesteps[50 - level]
        eps = denoiser(scheduler.scale_model_input(theirs, t), schedule.timestep(level))
        theirs = scheduler.step(eps, t, theirs).prev_sample
    met = {}
    sample(denoiser, z, schedule, on_step=lambda level, now: met.update({level: now}))
    ours = met[1] / schedule.alpha_bars[1].sqrt()
    torch.testing.assert_close(theirs.double(), ours, atol=1e-3, rtol=1e-3)


# the network


def test_v_is_converted_at_the_level_that_the_network_was_told(denoiser, z0):
    schedule = Schedule.ddim(NOISE, 50)

    def at_target(z, t):
        return eps_from_v(denoiser.v(z, t), z, alpha_bar=NOISE.level(t))

    def at_source(z, t):
        return eps_from_v(denoiser.v(z, t), z, alpha_bar=NOISE.level(max(t - 20, 0)))

    way = {of: invert(of, z0, schedule).at(50) for of in (denoiser, at_target, at_source)}
    assert rms(way[denoiser], way[at_target]) < 1e-12
    assert rms(way[denoiser], way[at_source]) > 1e-3


def test_a_timestep_beside_the_right_one_is_seen_in_both_directions(denoiser, z0):
    schedule = Schedule.ddim(NOISE, 50)
    right = invert(denoiser, z0, schedule, method="anderson", refine=6)
    for shift in (-1, 1, 20):

        def told(z, t, shift=shift):
            return denoiser(z, min(max(t + shift, 0), 999))

        assert rms(sample(told, right.at(50), schedule), z0) > 5e-4
        up = invert(told, z0, schedule, method="anderson", refine=6)
        assert rms(up.at(50), right.at(50)) > 1e-4


def test_guidance_is_the_callers_own_and_1_leaves_the_prediction_alone(denoiser, z0):
    some = MixtureDenoiser(denoiser.templates[:3], denoiser.sigma, NOISE)
    torch.testing.assert_close(guided(some, denoiser, 1.0)(z0, 500), some(z0, 500))


# precision


def test_latents_in_single_precision_under_a_half_precision_network_come_back(denoiser, z0):
    schedule = Schedule.ddim(NOISE, 50)

    def half(z, t):
        return denoiser(z.to(torch.bfloat16), t).to(z.dtype)

    single = z0.float()
    up = invert(half, single, schedule, method="residual")
    assert up.at(50).dtype == torch.float32
    assert torch.equal(sample(half, up.at(50), schedule, trajectory=up), single)
    pair = invert(half, single, schedule, method="edict")
    assert rms(sample(half, pair.at(50), schedule, trajectory=pair), single) < 1e-2


def test_levels_are_never_rounded_to_the_latents_precision():
    z, eps = torch.ones(1, 4, 1, 1), torch.zeros(1, 4, 1, 1)
    levels = {"alpha_bar_from": NOISE.level(1), "alpha_bar_to": NOISE.level(0)}
    exact = ddim_step(z.double(), eps.double(), **levels)
    torch.testing.assert_close(ddim_step(z, eps, **levels).double(), exact, atol=6e-8, rtol=0)
