"""From a mask and a word to what holds the outside."""

from dataclasses import dataclass

from torch import Tensor

from featurekit_drag.engine.outside.everywhere import Everywhere
from featurekit_drag.engine.outside.hard import hard
from featurekit_drag.engine.outside.penalty import penalty
from featurekit_drag.engine.parts import MakeOutside
from featurekit_drag.engine.settings import Outside


@dataclass(frozen=True)
class LatentMask:
    """What of the latent may change, and how the rest is kept."""

    editable: Tensor  # (1 1 h w) at latent resolution, 1 where the latent may change
    outside: Outside = "penalty"  # change there costs, or is impossible

    @property
    def is_priced(self) -> bool:
        """Whether the loss asks for the latent one step on, hence for the whole network."""
        return self.outside == "penalty"


def outside_of(mask: LatentMask | None, weight: float) -> MakeOutside:
    """Choose what holds the outside.

    Args:
        mask: None lets everything change.
        weight: price of change, for a mask whose outside has one.
    """
    if mask is None:
        return Everywhere
    return penalty(mask.editable, weight) if mask.is_priced else hard(mask.editable)
