"""The output of the network's middle block is changed; the latent is not."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from featurekit.taps.inject import inject
from featurekit_drag.engine.parts import Readout
from featurekit_drag.engine.variables.encoder_path import MIDDLE, EncoderPath, recalled


@dataclass(frozen=True)
class Bottleneck:
    """What the middle block says of one latent at one level.

    Neither the latent nor what lies before the middle block changes, so that part of the network
    is computed once; a forward begins at the decoder.

    Source: Liu et al. 2024, arXiv:2404.01050 (DragNoise), section 3.2; their code computes the
    encoder anew.
    """

    latent: Tensor  # (1 c h w)
    start: Tensor  # (1 c h w), or (2 c h w) with guidance
    path: EncoderPath
    unet: nn.Module
    reader: Callable[[Tensor], Readout]
    cleaner: Callable[[Tensor], Tensor]

    def read(self, value: Tensor) -> Readout:
        """One forward of the decoder."""
        with recalled(self.unet, self.path, value.to(self.start)):
            return self.reader(self.latent)

    def clean(self, values: tuple[Tensor, ...]) -> Tensor:
        """Predict clean latents of the one latent with some bottlenecks, in one call."""
        rows = torch.cat([self.latent] * len(values))
        # rows of a guided batch are all unconditional ones first
        stacked = torch.stack([value.to(self.start) for value in values], dim=1)
        with inject(self.unet, {MIDDLE: stacked.reshape(-1, *self.start.shape[1:])}):
            return self.cleaner(rows)

    def placed(self, value: Tensor) -> tuple[Tensor, Tensor | None]:
        """Denoising goes on from the unmoved latent, with this in the place of the middle."""
        return self.latent, value


def put_into(
    unet: nn.Module, bottleneck: Tensor | None, *, rows: int
) -> AbstractContextManager[None]:
    """Put a bottleneck in the last row of each group, in the place of the network's own.

    Args:
        unet: the network.
        bottleneck: (1 c h w), (2 c h w) with guidance; None leaves the network alone.
        rows: rows of a group, the first of which are references.
    """
    if bottleneck is None:
        return nullcontext()

    def change(activation: Tensor) -> Tensor:
        changed = activation.clone()
        changed[rows - 1 :: rows] = bottleneck.to(activation)
        return changed

    return inject(unet, {MIDDLE: change})
