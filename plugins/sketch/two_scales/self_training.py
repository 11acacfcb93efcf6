"""Pictures without a drawing: a view of each must be drawn as the mean network draws the picture.

What a line is of a boat cannot be learnt from one face; but what is drawn of it must not depend
on colours. Masses that are wider than any stroke of the drawing teach nothing: else doubt about
hatches would end in black.

Source: mean teacher, Tarvainen & Valpola 2017, arXiv:1703.01780.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.measures.model.lines import soft_f1
from featurekit_sketch.two_scales.reading import TwoScaleMaps

BEGINS = 0.35  # share of the training without it
RISES = 0.2  # share of the training in which its weight rises to ``WEIGHT``
WEIGHT = 0.25
CUT = 0.4  # chance of ink from which the mean network's ink is a line
WIDEST = 12  # px, of any radius
OUTLASTING = 0.02  # share of the ink that counts as hardly any
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


def cores(lines: Tensor, radius_px: int) -> Tensor:
    """Masses wider than twice a radius: what is left of lines when they are opened by it.

    Args:
        lines: (b c h w) of 0 and 1.
        radius_px: of the square that they are opened by.
    """
    side = 2 * radius_px + 1
    eroded = -functional.max_pool2d(-lines, side, 1, radius_px)
    return functional.max_pool2d(eroded, side, 1, radius_px)


def thickest(inks: Sequence[Tensor]) -> int:
    """Radius, px, that hardly any ink of drawings outlasts; at least 1.

    Args:
        inks: (1 c h w) each in [0, 1], white paper is 1.
    """
    lines = [(1 - ink > CUT).float() for ink in inks]
    whole = sum(float(one.sum()) for one in lines)
    for radius in range(1, WIDEST):
        left = sum(
            float((-functional.max_pool2d(-one, 2 * radius + 1, 1, radius)).sum()) for one in lines
        )
        if left < OUTLASTING * whole:
            return radius
    return WIDEST


@dataclass(frozen=True, eq=False)
class SelfTraining:
    """Lessons that a network gives itself."""

    pictures: Sequence[Callable[[], Undrawn]]
    thickest_px: int  # half the width of the thickest stroke that a drawing has

    @torch.no_grad()
    def lesson(
        self, draw: Callable[[TwoScaleMaps], Tensor], share: float, lots: torch.Generator
    ) -> Lesson | None:
        """Draw one of the pictures by the mean network.

        Args:
            draw: gives the mean network's logit of ink.
            share: of the training that is over, in [0, 1).
            lots: decides which picture.

        Returns:
            Lesson; none before the network draws well enough, or without pictures.
        """
        if not self.pictures or share < BEGINS:
            return None
        picture = self.pictures[int(torch.randint(len(self.pictures), (), generator=lots))]()
        chance = torch.sigmoid(draw(picture.own))
        wanted = 1 - picture.bent(1 - chance)
        lines = (wanted > CUT).to(chance)
        return Lesson(
            maps=picture.view,
            lines=lines,
            sure=((wanted - CUT).abs() > UNSURE).to(chance) * (1 - cores(lines, self.thickest_px)),
            weight=WEIGHT * min(1.0, (share - BEGINS) / RISES),
        )
