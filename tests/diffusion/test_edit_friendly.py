"""Edit-friendly DDPM: levels noised each by itself, and the step that its noises belong to."""

import pytest
import torch
from diffusers import DDPMScheduler

from featurekit.core.errors import NoiseLevelError
from featurekit.diffusion.methods.edit_friendly import edit_friendly_latents
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.steps import ddpm_mean, denoised

SCHEDULE = Schedule.ddim(NoiseTable.scaled_linear(), steps=50)


def level(value):
    return torch.tensor(value, dtype=torch.float64)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def pair():
    return normal(2, 4, 6, 5), normal(2, 4, 6, 5, seed=1)


def test_a_level_is_noised_to_its_variance_and_keeps_its_signal():
    z0 = torch.full((1, 4, 64, 64), 2.0, dtype=torch.float64)
    way = edit_friendly_latents(z0, SCHEDULE, 50, torch.Generator().manual_seed(0))
    assert way[0] is z0
    for at in (1, 25, 50):
        alpha_bar = float(SCHEDULE.alpha_bars[at])
        assert float(way[at].mean()) == pytest.approx(2 * alpha_bar**0.5, abs=0.03)
        assert float(way[at].var()) == pytest.approx(1 - alpha_bar, rel=0.05)


def test_a_shorter_way_is_the_start_of_a_longer_one():
    z0 = normal(1, 4, 3, 3)
    short, long = (
        edit_friendly_latents(z0, SCHEDULE, until, torch.Generator().manual_seed(0))
        for until in (3, 9)
    )
    assert all(torch.equal(one, other) for one, other in zip(short, long, strict=False))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_seed_means_the_same_noise_for_latents_of_every_precision(dtype):
    z0 = torch.zeros(1, 4, 3, 3, dtype=torch.float64)
    exact, rounded = (
        edit_friendly_latents(z, SCHEDULE, 3, torch.Generator().manual_seed(0))
        for z in (z0, z0.to(dtype))
    )
    for one, other in zip(exact, rounded, strict=True):
        assert other.dtype == dtype
        torch.testing.assert_close(other.double(), one, atol=0, rtol=2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("t", [1, 300, 999])
def test_the_ancestral_mean_is_that_of_diffusers(pair, t):
    scheduler = DDPMScheduler(
        num_train_timesteps=1000, clip_sample=False, variance_type="fixed_small"
    )
    z, eps = pair
    theirs = scheduler.step(eps, t, z, generator=torch.Generator().manual_seed(0)).prev_sample
    bars = scheduler.alphas_cumprod.double()
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(0), dtype=z.dtype)
    variance = (1 - bars[t - 1]) / (1 - bars[t]) * (1 - bars[t] / bars[t - 1])
    ours = ddpm_mean(z, eps, alpha_bar_from=bars[t], alpha_bar_to=bars[t - 1])
    torch.testing.assert_close(ours + variance.sqrt() * noise, theirs, atol=1e-4, rtol=1e-4)


def test_an_ancestral_step_to_level_one_or_to_its_own_level_draws_nothing(pair):
    z, eps = pair
    end = ddpm_mean(z, eps, alpha_bar_from=level(0.5), alpha_bar_to=level(1.0))
    torch.testing.assert_close(end, denoised(z, eps, alpha_bar=level(0.5)))
    torch.testing.assert_close(
        ddpm_mean(z, eps, alpha_bar_from=level(0.5), alpha_bar_to=level(0.5)), z
    )


@pytest.mark.parametrize(("start", "end"), [(1.0, 1.0), (0.5, 0.4)])
def test_an_ancestral_step_upwards_or_from_the_clean_end_is_refused(pair, start, end):
    with pytest.raises(NoiseLevelError, match="ancestral step must lead from below 1 to no lower"):
        ddpm_mean(*pair, alpha_bar_from=level(start), alpha_bar_to=level(end))
