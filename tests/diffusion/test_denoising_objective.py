"""The training objective: what is drawn, from what, and the error that comes of it."""

import pytest
import torch
from reduced import reduced_configs

from featurekit.backbones.lora import LoraRecipe, fit_lora
from featurekit.backbones.unet import sd
from featurekit.core.errors import ConfigError, ShapeError
from featurekit.core.types import Conditioning
from featurekit.diffusion.denoising_objective import denoising_objective
from featurekit.diffusion.noise_schedule import NoiseTable
from featurekit.diffusion.steps import denoised, v_from_eps


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


class Linear:
    """A backbone with a one-number network, whose loss can be written down."""

    def __init__(self, prediction):
        self.noise = NoiseTable.scaled_linear(prediction=prediction)
        self.seen = []

    def predictor(self, conditioning, guidance=1.0):
        def predict(z, t):
            self.seen.append((z, t))
            return 0.5 * z

        return predict


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_objective_is_the_error_of_what_the_network_predicts(prediction):
    backbone = Linear(prediction)
    mean, std = normal(1, 4, 3, 5), torch.zeros(1, 4, 3, 5)
    objective = denoising_objective(backbone, (mean, std), Conditioning(normal(1, 2, 3), ""), 6)
    loss = objective(seeded())
    ((z, t),) = backbone.seen
    alpha_bar = backbone.noise.level(t).float()
    eps = (z - alpha_bar.sqrt() * mean) / (1 - alpha_bar).sqrt()
    errors = 0.5 * z - eps
    if prediction == "v_prediction":
        errors = v_from_eps(0.5 * z, z, alpha_bar=alpha_bar) - v_from_eps(
            eps, z, alpha_bar=alpha_bar
        )
    if prediction == "sample":
        errors = denoised(z, 0.5 * z, alpha_bar=alpha_bar) - mean
    torch.testing.assert_close(loss, errors.square().mean(), rtol=1e-3, atol=0)
    assert z.shape == (6, 4, 3, 5)
    assert t.shape == (6,)


def test_timesteps_cover_the_table_and_latents_the_posterior():
    backbone = Linear("epsilon")
    backbone.noise = NoiseTable(torch.tensor([1.0, 0.5], dtype=torch.float64), 1.0, "epsilon")
    mean = torch.stack([torch.zeros(1, 4, 4), torch.full((1, 4, 4), 10.0)])
    objective = denoising_objective(
        backbone, (mean, torch.full_like(mean, 2.0)), Conditioning(normal(1, 2, 3), ""), 2000
    )
    objective(seeded())
    ((z, t),) = backbone.seen
    assert t.float().mean() == pytest.approx(0.5, abs=0.05)
    clean = z[t == 0]  # alpha_bar 1: the latent itself
    rows = clean.mean(dim=(1, 2, 3)) > 5
    assert rows.float().mean() == pytest.approx(0.5, abs=0.05)
    assert (clean[rows] - 10).std() == pytest.approx(2.0, abs=0.1)
    assert clean[rows].mean() == pytest.approx(10.0, abs=0.1)


def test_the_objective_draws_from_its_generator_alone():
    backbone = Linear("epsilon")
    moments = (normal(1, 4, 3, 5), torch.ones(1, 4, 3, 5))
    objective = denoising_objective(backbone, moments, Conditioning(normal(1, 2, 3), ""), 4)
    before = torch.get_rng_state()
    first, again, other = objective(seeded(1)), objective(seeded(1)), objective(seeded(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_backbone_learns_through_the_objective():
    tiny = sd.build("tiny", reduced_configs("sd15"), device="cpu")
    moments = tiny.moments(normal(1, 3, 64, 64).clamp(-1, 1))
    objective = denoising_objective(tiny, moments, tiny.embed("a face"), 4)
    recipe = LoraRecipe(learning_rate=1e-2, steps=20)
    lora = fit_lora(tiny.unet, objective, recipe=recipe, generator=seeded())
    assert sum(lora.losses[-5:]) < sum(lora.losses[:5])


@pytest.mark.parametrize("batch", [0, -1])
def test_an_objective_without_rows_is_refused(batch):
    moments = (normal(1, 4, 3, 5), normal(1, 4, 3, 5))
    with pytest.raises(ConfigError, match=f"batch must be at least 1, got {batch}"):
        denoising_objective(Linear("epsilon"), moments, Conditioning(normal(1, 2, 3), ""), batch)


def test_moments_of_two_sizes_are_refused():
    moments = (normal(1, 4, 3, 5), normal(1, 4, 3, 6))
    with pytest.raises(ShapeError, match=r"standard deviation must be .* got \(1, 4, 3, 6\)"):
        denoising_objective(Linear("epsilon"), moments, Conditioning(normal(1, 2, 3), ""), 1)
