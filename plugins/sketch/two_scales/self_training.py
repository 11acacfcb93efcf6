"""Pictures without a drawing: a view of each must be drawn as the mean network draws the picture.

What a line is of a boat cannot be learnt from one face; but what is drawn of it must not depend
on colours, and must be lines and masses such as the drawing has.

Source: mean teacher, Tarvainen & Valpola 2017, arXiv:1703.01780.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from featurekit.measures.model.lines import soft_f1
from featurekit_sketch.two_scales.reading import TwoScaleMaps

BEGINS = 0.35  # share of the training without it
RISES = 0.2  # share of the training in which its weight rises to ``WEIGHT``
WEIGHT = 0.3
CUT = 0.4  # chance of ink from which the mean network's ink is a line
UNSURE = 0.12  # chances as near to the cut as this ask for nothing


@dataclass(frozen=True, eq=False)
class Undrawn:
    """A picture without a drawing."""

    own: TwoScaleMaps
    view: TwoScaleMaps  # of the picture in other colours, bent
    bent: Callable[[Tensor], Tensor]  # ink (1 1 H W) of the picture, bent like the view


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a network is asked to draw of a view."""

    maps: TwoScaleMaps
    lines: Tensor  # (1 c H W) of 0 and 1
    sure: Tensor  # likewise: where it is asked
    weight: float

    def loss(self, logit: Tensor) -> Tensor:
        """Cross-entropy where it is asked, and 1 - F1 of lines, 0-dim."""
        each = functional.binary_cross_entropy_with_logits(logit, self.lines, reduction="none")
        return (each * self.sure).mean() + 1 - soft_f1(torch.sigmoid(logit), self.lines)


@dataclass(frozen=True, eq=False)
class SelfTraining:
    """Lessons that a network gives itself."""

    pictures: Sequence[Callable[[], Undrawn]]

    @torch.no_grad()
    def lesson(self, mean: nn.Module, share: float, lots: torch.Generator) -> Lesson | None:
        """Draw one of the pictures by the mean network.

        Args:
            mean: network whose weights are the moving mean.
            share: of the training that is over, in [0, 1).
            lots: decides which picture.

        Returns:
            Lesson; none before the network draws well enough, or without pictures.
        """
        if not self.pictures or share < BEGINS:
            return None
        picture = self.pictures[int(torch.randint(len(self.pictures), (), generator=lots))]()
        chance = torch.sigmoid(mean(picture.own))
        wanted = 1 - picture.bent(1 - chance)
        return Lesson(
            maps=picture.view,
            lines=(wanted > CUT).to(chance),
            sure=((wanted - CUT).abs() > UNSURE).to(chance),
            weight=WEIGHT * min(1.0, (share - BEGINS) / RISES),
        )
