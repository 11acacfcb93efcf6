"""The latent itself is changed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from featurekit_drag.engine.parts import Readout


@dataclass(frozen=True)
class LatentVariable:
    """A latent at one level.

    Source: Shi et al. 2024, arXiv:2306.14435, section 3.3.
    """

    start: Tensor  # (1 c h w)
    reader: Callable[[Tensor], Readout]
    cleaner: Callable[[Tensor], Tensor]  # latents (n c h w) to their clean predictions

    def read(self, value: Tensor) -> Readout:
        """One forward with a latent."""
        return self.reader(value)

    def clean(self, values: tuple[Tensor, ...]) -> Tensor:
        """Predict clean latents in one call."""
        return self.cleaner(torch.cat(values))

    def placed(self, value: Tensor) -> tuple[Tensor, Tensor | None]:
        """Denoising goes on from it, with a network that is left alone."""
        return value, None
