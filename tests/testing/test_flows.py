"""MixtureFlow is the velocity of its own density, and one with MixtureDenoiser."""

import pytest
import torch

from featurekit.core.errors import ConfigError, NoiseLevelError, ShapeError
from featurekit.diffusion.noise_schedule import NoiseTable
from featurekit.testing import MixtureDenoiser, MixtureFlow

SPREAD = 0.4


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def flow():
    return MixtureFlow(normal(3, 2, 2, 3), SPREAD)


@pytest.fixture
def z():
    return normal(4, 2, 2, 3, seed=1)


@pytest.mark.parametrize("t", [1.0, 40, 261.5, 800, 999.9])
def test_it_is_the_velocity_that_the_score_of_its_density_means(flow, z, t):
    s = t / 1000
    z = z.requires_grad_()
    variance = (1 - s) ** 2 * SPREAD**2 + s**2
    apart = (z[:, None] - (1 - s) * flow.templates).square().flatten(2).sum(2)
    density = torch.logsumexp(-apart / (2 * variance), dim=1)
    (score,) = torch.autograd.grad(density.sum(), z)
    noise = -s * score  # Tweedie
    clean = (z - s * noise) / (1 - s)
    torch.testing.assert_close(flow(z, t), noise - clean, atol=1e-10, rtol=1e-10)


def test_at_the_ends_it_is_what_is_missing_there(flow, z):
    torch.testing.assert_close(flow(z, 1000), z - flow.templates.mean(0))
    # a picture says nothing about its noise
    torch.testing.assert_close(flow(z, 0), -z)


@pytest.mark.parametrize("t", [0, 40, 261, 981])
def test_it_is_the_denoiser_of_diffusion_in_other_variables(flow, z, t):
    noise = NoiseTable.scaled_linear()
    eps = MixtureDenoiser(flow.templates, SPREAD, noise)(z, t)
    alpha_bar = noise.level(t)
    signal, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    found = flow(z / (signal + sigma), float(1000 * sigma / (signal + sigma)))
    clean = (z - sigma * eps) / signal
    torch.testing.assert_close(found, eps - clean, atol=1e-10, rtol=0)


def test_a_timestep_a_picture_and_any_dtype(flow, z):
    both = flow(z, torch.tensor([10.0, 400, 700, 1000]))
    torch.testing.assert_close(both[1:2], flow(z[1:2], 400))
    assert flow(z.float(), 400).dtype == torch.float32
    assert flow.responsibilities(z, 400).sum(1).tolist() == pytest.approx([1] * 4)


def test_what_is_no_mixture_or_timestep_is_refused(flow, z):
    with pytest.raises(ConfigError, match="spread must be positive, got 0"):
        MixtureFlow(flow.templates, 0.0)
    with pytest.raises(ShapeError, match=r"templates must be \(k c h w\)"):
        MixtureFlow(flow.templates[0])
    with pytest.raises(ShapeError, match=r"latent must be \(b c=2 h=2 w=3\)"):
        flow(z[:, :1], 400)
    with pytest.raises(NoiseLevelError, match=r"t must lie in \[0, 1000\], got 1001"):
        flow(z, 1001)
