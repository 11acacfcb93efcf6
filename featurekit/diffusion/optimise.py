"""Improve a latent by gradient descent on a loss of it."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import TypeAlias

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.shapes import expect
from featurekit.core.types import Optimised, Progress, Stop, silent

LatentLoss: TypeAlias = Callable[[Tensor, int], Tensor | Stop]
"""``(z, k)`` before update k (from 0): a scalar to make smaller, or the reason to end now."""


@dataclass(frozen=True)
class Limits:
    """How far ``optimise`` may go."""

    updates: int = 80  # at most; DragDiffusion's number
    learning_rate: float = 0.01  # Adam's, in units of the latent (std about 1) a step

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be meant.

        Raises:
            ConfigError: ``updates`` is negative or ``learning_rate`` is not positive.
        """
        if self.updates < 0:
            raise ConfigError(f"updates must be 0 or more, got {self.updates}")
        if not 0 < self.learning_rate < float("inf"):
            raise ConfigError(f"learning_rate must be positive, got {self.learning_rate}")


def optimise(
    z: Tensor, loss: LatentLoss, *, limits: Limits, progress: Progress = silent
) -> Optimised:
    """Change a latent with Adam until its loss says stop or the updates are used up.

    Only the latent receives a gradient: no parameter's ``grad`` is touched. Gradients are
    on inside, whatever the caller's mode. An exception of ``loss`` passes through.

    Args:
        z: latent (b c h w), any float dtype; it is not changed.
        loss: ``(z, k) -> scalar``, or a ``Stop`` to end before update ``k``. Its ``z`` is
            the latent being changed: clone it to keep it.
        limits: number of updates and learning rate.
        progress: called after each update.

    Returns:
        The latent, detached; why it ended; and one loss for each update that is in the
        latent. When a loss is not finite the update that led to it is taken back, so the
        latent is the last one whose loss and gradient were finite: ``Stop.DIVERGED``.

    Raises:
        ShapeError: the loss is not a scalar.

    Source: Adam (Kingma and Ba 2015, arXiv:1412.6980) with torch's default betas, on a
    latent as in DragDiffusion (Shi et al. 2023, arXiv:2306.14435).
    """
    latent = z.detach().clone().requires_grad_(True)
    adam = torch.optim.Adam([latent], lr=limits.learning_rate)
    trace: list[float] = []
    last_good = latent.detach().clone()
    for k in range(limits.updates):
        with torch.enable_grad():
            value = loss(latent, k)
            if isinstance(value, Stop):
                return Optimised(latent.detach(), value, tuple(trace))
            expect(value, "", of="loss")
            if not isfinite(value.item()):
                # trace[-1] belongs to the update that is taken back
                return Optimised(last_good, Stop.DIVERGED, tuple(trace[:-1]))
            (latent.grad,) = torch.autograd.grad(value, [latent])
        last_good = latent.detach().clone()
        adam.step()
        if not latent.isfinite().all():  # so it is, too, after a gradient that was not finite
            return Optimised(last_good, Stop.DIVERGED, tuple(trace))
        trace.append(value.item())
        progress(k + 1, limits.updates)
    return Optimised(latent.detach(), Stop.MAX_UPDATES, tuple(trace))
