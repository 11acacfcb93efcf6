"""The objective that a diffusion model is trained with, for given images and a given network."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.precision import rounded
from featurekit.core.shapes import expect
from featurekit.core.types import Conditioning
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.flow_table import FlowTable
from featurekit.diffusion.flows.sigmas import mu_of
from featurekit.diffusion.steps import noised

_STEPS = 50  # of a flow's runs whose shift is trained at, where that follows their number as well

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


def flow_objective(
    backbone: Backbone, moments: tuple[Tensor, Tensor], conditioning: Conditioning, batch: int
) -> Objective:
    """Make the objective that a flow is trained with, for given images.

    Every call draws latents from the cached posterior, noise, and levels of a logit-normal density
    (location 0, scale 1), shifted as the model's runs are; the network is held to the squared
    error of the velocity, noise minus latent, each level alike.

    Args:
        backbone: the model whose denoiser is fitted; its noise is a ``FlowTable``.
        moments: mean and standard deviation, (n c h w) each; rows are drawn evenly.
        conditioning: what the images show.
        batch: rows per call, >= 1.

    Returns:
        Function of a generator that returns the 0-dim loss.

    Source: Lipman et al. 2023, arXiv:2210.02747, eq. 14; Esser et al. 2024, arXiv:2403.03206,
    section 3.1 for the density (rf/lognorm(0.00, 1.00)) and eq. 23 for the shift.
    """
    mean, std = moments
    noise, predict = backbone.noise, backbone.predictor(conditioning)
    factor = shift_of(noise, (mean.shape[2], mean.shape[3])) if isinstance(noise, FlowTable) else 1

    def objective(generator: torch.Generator) -> Tensor:
        where = generator.device
        rows = torch.randint(len(mean), (batch,), generator=generator, device=where)
        even = torch.randn(batch, generator=generator, device=where).sigmoid()
        both = torch.randn((2, batch, *mean.shape[1:]), generator=generator, device=where)
        posterior, n = both.to(mean)
        sigma = factor * even / (1 + (factor - 1) * even)
        t = (sigma * noise.train_timesteps).to(mean.device)
        rows = rows.to(mean.device)
        x0 = mean[rows] + std[rows] * posterior
        velocity = predict(noise.noised(x0, n, t), t)
        loss: Tensor = (velocity - (n - x0)).square().mean()
        return loss

    return objective


def shift_of(table: FlowTable, cells: tuple[int, int]) -> float:
    """Factor by which the runs of a flow move their levels towards the noise.

    Args:
        table: what the network was trained with.
        cells: rows and columns of the latent.

    Returns:
        The factor s of s sigma / (1 + (s - 1) sigma).
    """
    if table.dynamic is None:
        return table.shift
    mu = mu_of(table.spacing.mu, table.dynamic, table.tokens(cells), _STEPS)
    return math.exp(mu) if table.dynamic.kind == "exponential" else mu
