"""The picture's own latents below the level that is dragged."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from featurekit.diffusion.trajectory import Trajectory


@dataclass(frozen=True)
class Stored:
    """The stored latents of an inversion, or of a sampling run.

    What a step down misses of them is carried to the moved latent as well.

    Source: Ju et al. 2024, arXiv:2310.01506, who add it to the source row only.
    """

    path: Trajectory
    step: Callable[[int, Tensor], Tensor]

    def at(self, level: int) -> Tensor:
        """Take the stored latent of a level."""
        return self.path.at(level)

    def missed(self, level: int) -> Tensor:
        """Say what a step down from a level misses of the stored latent below it."""
        return self.path.at(level - 1) - self.step(level, self.path.at(level))


@dataclass(frozen=True)
class Redenoised:
    """The latents that plain steps lead to from the noisiest one, as in the published codes."""

    path: Trajectory
    step: Callable[[int, Tensor], Tensor]
    level: int
    known: dict[int, Tensor] = field(default_factory=dict)

    def at(self, level: int) -> Tensor:
        """Walk down to a level; every latent on the way is kept."""
        if level == self.level:
            return self.path.at(level)
        if level not in self.known:
            self.known[level] = self.step(level + 1, self.at(level + 1))
        return self.known[level]

    def missed(self, level: int) -> Tensor:
        """Miss nothing."""
        return torch.zeros_like(self.at(level))
