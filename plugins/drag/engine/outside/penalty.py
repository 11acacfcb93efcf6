"""Change outside the mask costs, one DDIM step on."""

from dataclasses import dataclass

from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit_drag.engine.parts import MakeOutside, Readout


@dataclass(frozen=True)
class Penalty:
    """The price of change outside, against the unmoved latent of the level."""

    editable: Tensor  # (1 1 h w) at latent resolution, 1 where the latent may change
    weight: float
    next_latent: Tensor  # one step on from the unmoved latent

    def held(self, value: Tensor) -> Tensor:
        """Hold nothing."""
        return value

    def price(self, readout: Readout) -> Tensor:
        """Sum the absolute change outside, times the weight."""
        change = (_next(readout) - self.next_latent).abs()
        return self.weight * (change * (1 - self.editable)).sum()


def penalty(editable: Tensor, weight: float) -> MakeOutside:
    """Let change outside the mask cost.

    Args:
        editable: (1 1 h w) at latent resolution, 1 where the latent may change.
        weight: lambda.

    Source: Shi et al. 2024, arXiv:2306.14435, eq. 3, second term, as a sum over the latent.
    """

    def make(value: Tensor, before: Readout) -> Penalty:
        del value
        return Penalty(editable, weight, _next(before))

    return make


def _next(readout: Readout) -> Tensor:
    if readout.next_latent is None:
        raise ConfigError(
            "a price of change must be told the latent one step on, this reader tells features "
            "alone; use feature_and_step_reader, or outside='hard'"
        )
    return readout.next_latent
