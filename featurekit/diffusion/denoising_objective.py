"""The objective that a diffusion model is trained with, for given images and a given network."""

from collections.abc import Callable

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.precision import rounded
from featurekit.core.shapes import expect
from featurekit.core.types import Conditioning
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.flow_objective import flow_objective
from featurekit.diffusion.steps import noised

Objective = Callable[[torch.Generator], Tensor]
"""From the source of all randomness to a 0-dim loss of a network."""


def denoising_objective(
    backbone: Backbone, moments: tuple[Tensor, Tensor], conditioning: Conditioning, batch: int
) -> Objective:
    """Make the objective that a diffusion model is trained with, for given images.

    Every call draws latents from the cached posterior, timesteps uniformly, and noise. A network
    is held to the squared error of what it predicts: of v that of eps divided by alpha_bar, of x0
    that of eps times (1 - alpha_bar) / alpha_bar. That of a flow is ``flow_objective``'s.

    Args:
        backbone: the model whose denoiser is fitted.
        moments: mean and standard deviation as ``backbone.moments`` returns them, (n c h w) each;
            rows are drawn evenly.
        conditioning: what the images show.
        batch: rows per call, >= 1.

    Returns:
        Function of a generator that returns the 0-dim loss.

    Raises:
        ConfigError: ``batch`` is below 1.
        ShapeError: the moments are not two (n c h w) of one size.

    Source: Ho et al. 2020, arXiv:2006.11239, eq. 14.
    """
    mean, std = moments
    expect(std, "n c h w", of="standard deviation", **expect(mean, "n c h w", of="mean"))
    if batch < 1:
        raise ConfigError(f"batch must be at least 1, got {batch}")
    if backbone.noise.prediction == "flow":
        return flow_objective(backbone, moments, conditioning, batch)
    predict = backbone.predictor(conditioning)
    train_timesteps = backbone.noise.train_timesteps

    def objective(generator: torch.Generator) -> Tensor:
        def drawn(high: int) -> Tensor:
            found = torch.randint(high, (batch,), generator=generator, device=generator.device)
            return found.to(mean.device)

        rows, t = drawn(len(mean)), drawn(train_timesteps)
        shape = (2, batch, *mean.shape[1:])
        both = torch.randn(shape, generator=generator, device=generator.device)
        posterior, eps = both.to(mean)
        alpha_bar = backbone.noise.level(t)
        z = noised(mean[rows] + std[rows] * posterior, eps, alpha_bar=alpha_bar)
        error = (predict(z, t) - eps).square()
        if backbone.noise.prediction == "v_prediction":
            error = error / rounded(alpha_bar, error)
        elif backbone.noise.prediction == "sample":
            error = error * rounded((1 - alpha_bar) / alpha_bar, error)
        loss: Tensor = error.mean()
        return loss

    return objective
