"""Outside the mask the latent stays as it is, to the last bit."""

from dataclasses import dataclass

import torch
from torch import Tensor

from featurekit_drag.engine.parts import MakeOutside, Readout


@dataclass(frozen=True)
class Hard:
    """The unmoved latent of the level outside; no gradient reaches it."""

    editable: Tensor  # (1 1 h w) at latent resolution, 1 where the latent may change
    unmoved: Tensor

    def held(self, value: Tensor) -> Tensor:
        """Put the unmoved latent back outside."""
        return torch.where(self.editable > 0, value, self.unmoved)

    def price(self, readout: Readout) -> Tensor:
        """Cost nothing: nothing changes."""
        return readout.field.new_zeros(())


def hard(editable: Tensor) -> MakeOutside:
    """Let nothing change outside the mask.

    Args:
        editable: (1 1 h w) at latent resolution, 1 where the latent may change.

    Source: the hard background of DragFlow (ICLR 2026), at each level that is dragged.
    """

    def make(value: Tensor, before: Readout) -> Hard:
        del before
        return Hard(editable, value)

    return make
