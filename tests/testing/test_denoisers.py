"""MixtureDenoiser is the score of its own density; the blob pictures are the dragged ones."""

import math

import pytest
import torch

from featurekit.core.errors import ConfigError, NoiseLevelError, ShapeError
from featurekit.diffusion.noise_schedule import NoiseTable
from featurekit.testing import (
    MixtureDenoiser,
    blob_templates,
    line_centres,
    square_centres,
)

NOISE = NoiseTable.scaled_linear()


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def small():
    """Three overlapping components in 2 x 2 x 3 numbers, so that none has all the weight."""
    return MixtureDenoiser(0.3 * normal(3, 2, 2, 3), 0.4, NOISE)


def log_density(mixture, z, t):
    """Logarithm of the density of ``z`` (c h w), written out component by component."""
    alpha_bar = float(NOISE.level(t))
    spread = alpha_bar * mixture.sigma**2 + 1 - alpha_bar
    each = []
    for template in mixture.templates:
        squared = (z - math.sqrt(alpha_bar) * template).square().sum()
        each.append(-squared / (2 * spread) - z.numel() / 2 * math.log(2 * math.pi * spread))
    return torch.logsumexp(torch.stack(each), 0) - math.log(len(each))


@pytest.mark.parametrize("t", [0, 1, 261, 681, 999])
def test_eps_is_the_score_of_the_noised_density(small, t):
    z = normal(2, 2, 2, 3, seed=1)
    for row, eps in zip(z, small(z, t), strict=True):
        row = row.clone().requires_grad_(True)
        (score,) = torch.autograd.grad(log_density(small, row, t), row)
        expected = -((1 - NOISE.level(t)).sqrt()) * score
        torch.testing.assert_close(eps, expected, atol=1e-11, rtol=0)


def test_eps_and_clean_estimate_make_up_the_latent(small):
    z, t = normal(2, 2, 2, 3, seed=2), 500
    alpha_bar = NOISE.level(t)
    made = alpha_bar.sqrt() * small.denoised(z, t) + (1 - alpha_bar).sqrt() * small(z, t)
    torch.testing.assert_close(made, z, atol=1e-13, rtol=0)


def test_v_is_the_rotated_pair(small):
    z, t = normal(2, 2, 2, 3, seed=3), 500
    alpha_bar = NOISE.level(t)
    v = alpha_bar.sqrt() * small(z, t) - (1 - alpha_bar).sqrt() * small.denoised(z, t)
    torch.testing.assert_close(small.v(z, t), v, atol=1e-13, rtol=0)


def test_responsibilities_are_probabilities_and_know_a_clean_template(small):
    weights = small.responsibilities(normal(4, 2, 2, 3, seed=4), 300)
    torch.testing.assert_close(weights.sum(1), torch.ones(4, dtype=torch.float64))
    far_apart = MixtureDenoiser(blob_templates(line_centres()), 0.05, NOISE)
    certain = far_apart.responsibilities(far_apart.templates, 1)
    torch.testing.assert_close(certain, torch.eye(21, dtype=torch.float64), atol=1e-12, rtol=0)


def test_of_pure_noise_every_template_is_nearly_equally_likely():
    mixture = MixtureDenoiser(0.1 * normal(5, 2, 2, 3), 0.1, NOISE)
    weights = mixture.responsibilities(torch.zeros(1, 2, 2, 3), 999)
    torch.testing.assert_close(
        weights, torch.full((1, 5), 0.2, dtype=torch.float64), atol=1e-3, rtol=0
    )


def test_a_timestep_for_each_row_equals_row_by_row(small):
    z, t = normal(2, 2, 2, 3, seed=5), torch.tensor([1, 801])
    together = small(z, t)
    for i in range(2):
        torch.testing.assert_close(together[i : i + 1], small(z[i : i + 1], int(t[i])))
    torch.testing.assert_close(
        small.denoised(z, t)[1:], small.denoised(z[1:], 801), atol=1e-13, rtol=0
    )


def test_it_can_be_differentiated(small):
    z = normal(1, 2, 2, 3, seed=6).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda latent: small(latent, 400), z)
    assert torch.autograd.gradcheck(lambda latent: small.denoised(latent, 400), z)


def test_it_answers_in_the_dtype_of_the_latent(small):
    z = normal(1, 2, 2, 3, seed=7)
    for answer in (small, small.v, small.denoised):
        assert answer(z.float(), 400).dtype == torch.float32
        torch.testing.assert_close(answer(z.float(), 400), answer(z, 400).float())


def test_a_latent_of_another_size_is_refused(small):
    with pytest.raises(ShapeError, match=r"latent must be \(b c=2 h=2 w=3\), got \(1, 2, 2, 4\)"):
        small(torch.zeros(1, 2, 2, 4), 1)


def test_a_timestep_outside_the_table_is_refused(small):
    with pytest.raises(NoiseLevelError, match="-1"):
        small(normal(1, 2, 2, 3), -1)


def test_what_is_no_mixture_is_refused():
    with pytest.raises(ShapeError, match=r"templates must be \(k c h w\), got \(2, 3\)"):
        MixtureDenoiser(torch.zeros(2, 3))
    with pytest.raises(ConfigError, match="sigma must be positive, got 0"):
        MixtureDenoiser(torch.zeros(1, 1, 1, 1), 0.0)


def test_a_blob_has_its_peak_at_its_centre_and_is_odd_about_it():
    blob, odd_x, odd_y, core = blob_templates(torch.tensor([[20.0, 12.0]]))[0]
    assert blob[12, 20] == core[12, 20] == blob.max() == core.max() == 2.0
    assert blob[12, 23] == pytest.approx(2 * math.exp(-0.5))
    assert core[12, 23] == pytest.approx(2 * math.exp(-2))
    assert odd_x[12, 23] == pytest.approx(2 * math.exp(-0.5))
    assert odd_x[12, 17] == -odd_x[12, 23]
    assert odd_y[15, 20] == -odd_y[9, 20] == odd_x[12, 23]
    assert odd_x[15, 20] == odd_y[12, 23] == 0


def test_a_stretched_blob_is_wider_along_the_stretched_axis_only():
    wide = blob_templates(torch.tensor([[16.0, 16.0]]), scale=(2.0, 1.0))[0, 0]
    plain = blob_templates(torch.tensor([[16.0, 16.0]]))[0, 0]
    torch.testing.assert_close(wide[16, 16:31:2], plain[16, 16:24])
    torch.testing.assert_close(wide[:, 16], plain[:, 16])


def test_the_families_of_centres_are_those_of_the_specification():
    line = line_centres()
    assert line.shape == (21, 2)
    assert line[0].tolist() == [6.0, 16.0]
    assert line[-1].tolist() == [26.0, 16.0]
    square = square_centres()
    assert square.shape == (289, 2)
    assert square[1].tolist() == [9.0, 8.0]
    assert square[-1].tolist() == [24.0, 24.0]
    assert blob_templates(square).shape == (289, 4, 32, 32)


def test_centres_that_are_no_points_are_refused():
    with pytest.raises(ShapeError, match=r"centres must be \(k 2\), got \(2,\)"):
        blob_templates(torch.tensor([1.0, 2.0]))
