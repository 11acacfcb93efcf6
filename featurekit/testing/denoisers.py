"""Denoisers in closed form: what tests stand on without weights."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError, ShapeError
from featurekit.core.precision import double, double_device, rounded
from featurekit.core.shapes import expect
from featurekit.diffusion.noise_schedule import NoiseTable
from featurekit.diffusion.steps import v_from_eps

LATENT_CELLS = 32  # side of the latents that the blob templates live on
BLOB_SIGMA = 3.0  # cells
CORE_SIGMA = 1.5  # cells
BLOB_AMPLITUDE = 2.0


@dataclass(frozen=True)
class MixtureDenoiser:
    """The exact denoiser of data drawn from an equal mixture of normals N(T_k, sigma^2 I).

    It is a ``Predict``: ``denoiser(z, t) -> eps``. It computes in float64, on the device of
    ``z`` where that has it, answers in the dtype of ``z``, and is differentiable in ``z``.

    Attributes:
        templates: the means T_k, (k c h w).
        sigma: standard deviation of each component, > 0.
        noise: alpha_bar by train timestep; the flavour it names is not looked at.

    Raises:
        ShapeError: the templates are not (k c h w), or a latent has other sizes.
        ConfigError: ``sigma`` is not positive.

    Source: Bayes' rule for ``z = sqrt(abar) x0 + sqrt(1 - abar) n`` under that prior.
    """

    templates: Tensor
    sigma: float = 0.05
    noise: NoiseTable = field(default_factory=NoiseTable.scaled_linear)

    def __post_init__(self) -> None:
        """Refuse what is no mixture."""
        expect(self.templates, "k c h w", of="templates")
        if not self.sigma > 0:
            raise ConfigError(f"sigma must be positive, got {self.sigma}")

    def __call__(self, z: Tensor, t: float | Tensor) -> Tensor:
        """Expected noise in ``z``.

        Args:
            z: noisy latent (b c h w).
            t: train timestep, one int or (b,).

        Returns:
            E[n | z], (b c h w).
        """
        return rounded(self._eps(z, t), z)

    def v(self, z: Tensor, t: float | Tensor) -> Tensor:
        """The same answer as a v-prediction, ``sqrt(abar) eps - sqrt(1 - abar) x0``.

        Args:
            z: noisy latent (b c h w).
            t: train timestep, one int or (b,).

        Returns:
            v, (b c h w).

        Source: Salimans and Ho 2022, arXiv:2202.00512, appendix D.
        """
        eps = self._eps(z, t)
        return rounded(v_from_eps(eps, double(z), alpha_bar=self._level(z, t)), z)

    def denoised(self, z: Tensor, t: float | Tensor) -> Tensor:
        """Expected clean latent of ``z``, the posterior mean.

        Args:
            z: noisy latent (b c h w).
            t: train timestep, one int or (b,).

        Returns:
            E[x0 | z], (b c h w).
        """
        alpha_bar = self._level(z, t)
        spread = alpha_bar * self.sigma**2 + 1 - alpha_bar
        pull = alpha_bar.sqrt() * self.sigma**2 / spread
        mean = pull * double(z) + (1 - alpha_bar) / spread * self._mean_template(z, t)
        return rounded(mean, z)

    def responsibilities(self, z: Tensor, t: float | Tensor) -> Tensor:
        """Probability of each component given ``z``.

        Args:
            z: noisy latent (b c h w).
            t: train timestep, one int or (b,).

        Returns:
            (b k) float64, rows sum to 1.
        """
        sizes = dict(zip("chw", self.templates.shape[1:], strict=True))
        expect(z, "b c h w", of="latent", **sizes)
        alpha_bar = self._level(z, t).reshape(-1, 1)
        spread = alpha_bar * self.sigma**2 + 1 - alpha_bar
        means = self._templates(z).flatten(1)
        # ||z - sqrt(abar) T||^2 less ||z||^2, which all components share
        distances = alpha_bar * means.square().sum(1) - 2 * alpha_bar.sqrt() * (
            double(z).flatten(1) @ means.T
        )
        return torch.softmax(-distances / (2 * spread), dim=1)

    def _eps(self, z: Tensor, t: float | Tensor) -> Tensor:
        """Expected noise, float64; written so that nothing is divided by sqrt(1 - abar)."""
        alpha_bar = self._level(z, t)
        spread = alpha_bar * self.sigma**2 + 1 - alpha_bar
        centred = double(z) - alpha_bar.sqrt() * self._mean_template(z, t)
        return (1 - alpha_bar).sqrt() / spread * centred

    def _mean_template(self, z: Tensor, t: float | Tensor) -> Tensor:
        """Templates averaged by responsibility, (b c h w) float64."""
        return torch.einsum("bk,kchw->bchw", self.responsibilities(z, t), self._templates(z))

    def _templates(self, z: Tensor) -> Tensor:
        return double(self.templates).to(double_device(z.device))

    def _level(self, z: Tensor, t: float | Tensor) -> Tensor:
        """alpha_bar at ``t``, 0-dim or (b 1 1 1), where float64 of ``z`` lies."""
        return self.noise.level(t).to(double_device(z.device))


def blob_templates(
    centres: Tensor,
    *,
    cells: int = LATENT_CELLS,
    amplitude: float = BLOB_AMPLITUDE,
    scale: tuple[float, float] = (1.0, 1.0),
) -> Tensor:
    """Four-channel blobs, one a template: a Gaussian, its two odd moments, a sharper core.

    The odd moments tell the two sides of the blob apart, so that a feature of it knows where
    in the blob it lies.

    Args:
        centres: (k 2) cell coordinates, (x, y).
        cells: side of the square grid.
        amplitude: peak of the Gaussian.
        scale: stretch of the blob along x and y.

    Returns:
        (k 4 cells cells) float64.

    Raises:
        ShapeError: the centres are not (k 2).

    Source: the toolkit's own; tests/plugins/drag/engine/test_gold.py drags these pictures.
    """
    if centres.ndim != 2 or centres.shape[1] != 2:
        raise ShapeError(f"centres must be (k 2), got {tuple(centres.shape)}")
    index = torch.arange(cells, dtype=torch.float64)
    dx = ((index - centres.double()[:, :1]) / scale[0])[:, None, :]
    dy = ((index - centres.double()[:, 1:]) / scale[1])[:, :, None]
    squared = dx.square() + dy.square()
    blob = torch.exp(-squared / (2 * BLOB_SIGMA**2))
    core = torch.exp(-squared / (2 * CORE_SIGMA**2))
    channels = (blob, blob * dx / BLOB_SIGMA, blob * dy / BLOB_SIGMA, core)
    return amplitude * torch.stack(channels, dim=1)


def line_centres(first: int = 6, last: int = 26, *, y: float = LATENT_CELLS // 2) -> Tensor:
    """Centres on one row, a cell apart, the one-dimensional family of blobs.

    Args:
        first: leftmost cell.
        last: rightmost cell, included.
        y: row, a cell coordinate.

    Returns:
        (n 2) float64 cell coordinates, left to right.
    """
    x = torch.arange(first, last + 1, dtype=torch.float64)
    return torch.stack((x, torch.full_like(x, y)), dim=1)


def square_centres(first: int = 8, last: int = 24) -> Tensor:
    """Centres at every cell of a square, the two-dimensional family of blobs.

    Args:
        first: smallest x and y.
        last: largest x and y, included.

    Returns:
        (n 2) float64 cell coordinates, row by row.
    """
    side = torch.arange(first, last + 1, dtype=torch.float64)
    y, x = torch.meshgrid(side, side, indexing="ij")
    return torch.stack((x.flatten(), y.flatten()), dim=1)
