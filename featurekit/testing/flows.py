"""The velocity of a flow in closed form: what tests of flow matching stand on without weights."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.precision import double, double_device, rounded
from featurekit.core.shapes import expect
from featurekit.diffusion.flow_table import FlowTable


@dataclass(frozen=True)
class MixtureFlow:
    """The exact velocity from data of an equal mixture of normals N(T_k, spread^2 I) to noise.

    It is a ``Predict``: ``flow(z, t) -> v = E[n - x0 | z]`` for any real ``t`` in [0, T], both ends
    included. It computes in float64, on the device of ``z`` where that has it, answers in the dtype
    of ``z``, and is differentiable in ``z``. ``MixtureDenoiser`` is the same for diffusion.

    Attributes:
        templates: the means T_k, (k c h w).
        spread: standard deviation of each component, > 0.
        noise: sigma by train timestep.

    Raises:
        ShapeError: the templates are not (k c h w), or a latent has other sizes.
        ConfigError: ``spread`` is not positive.

    Source: Bayes' rule for ``z = (1 - s) x0 + s n`` under that prior; Lipman et al. 2023,
    arXiv:2210.02747, eq. 8, for the marginal velocity as the mean of the conditional ones.
    """

    templates: Tensor
    spread: float = 0.05
    noise: FlowTable = field(default_factory=FlowTable)

    def __post_init__(self) -> None:
        """Refuse what is no mixture."""
        expect(self.templates, "k c h w", of="templates")
        if not self.spread > 0:
            raise ConfigError(f"spread must be positive, got {self.spread}")

    def __call__(self, z: Tensor, t: float | Tensor) -> Tensor:
        """Expected velocity at ``z``.

        Args:
            z: noisy latent (b c h w).
            t: train timestep, one real number or (b,).

        Returns:
            E[n - x0 | z], (b c h w).
        """
        s = self._level(z, t)
        variance = self._variance(s)
        mean = torch.einsum("bk,kchw->bchw", self.responsibilities(z, t), self._templates(z))
        # of one component: noise s/variance, data (1-s) spread^2/variance of what is off its mean
        share = (s - (1 - s) * self.spread**2) / variance
        return rounded(share * (double(z) - (1 - s) * mean) - mean, z)

    def responsibilities(self, z: Tensor, t: float | Tensor) -> Tensor:
        """Probability of each component given ``z``.

        Args:
            z: noisy latent (b c h w).
            t: train timestep, one real number or (b,).

        Returns:
            (b k) float64, rows sum to 1.
        """
        sizes = dict(zip("chw", self.templates.shape[1:], strict=True))
        expect(z, "b c h w", of="latent", **sizes)
        s = self._level(z, t).reshape(-1, 1)
        means = (1 - s)[..., None] * self._templates(z).flatten(1)[None]
        # ||z - (1-s) T||^2 less ||z||^2, which all components share
        pulls = torch.einsum("bd,bkd->bk", double(z).flatten(1), means.expand(len(z), -1, -1))
        return torch.softmax((pulls - means.square().sum(2) / 2) / self._variance(s), dim=1)

    def _variance(self, s: Tensor) -> Tensor:
        return (1 - s) ** 2 * self.spread**2 + s**2

    def _templates(self, z: Tensor) -> Tensor:
        return double(self.templates).to(double_device(z.device))

    def _level(self, z: Tensor, t: float | Tensor) -> Tensor:
        """Sigma at ``t``, 0-dim or (b 1 1 1), where float64 of ``z`` lies."""
        return self.noise.level(t).to(double_device(z.device))
