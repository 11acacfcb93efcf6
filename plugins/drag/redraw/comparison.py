"""Which of two fills of a hole goes better with its ring: the model's redraw or the patches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp
from typing import Any

import torch
from torch import Tensor

from featurekit.diffusion.backbone import Backbone
from featurekit.images.coordinates import Window
from featurekit.images.parts import Box
from featurekit_drag.plan.laying import Laid
from featurekit_drag.plan.warp_plan import WarpPlan
from featurekit_drag.redraw.likeness import Likeness, missed_around, ring_around

SHOWN = 0.5  # share of a pixel that the layer leaves to the ground, from which it is compared
# What a fill may miss: a share of the noise on the ring, for the model alone, and what a squared
# logarithm of the sharpness weighs beside it. docs/results.md says how often that is right.
MAY_MISS, BLUR = 0.2, 0.02


@dataclass(frozen=True)
class Filled:
    """Pictures with their hole filled, and the one to take."""

    pictures: Sequence[Tensor]  # of the part that was laid
    best: int = 0
    remarks: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Both fills beside the ring around the hole."""

    model: Likeness
    patches: Likeness
    missed: float  # share of the noise on the ring that the model does not find

    @property
    def against_the_model(self) -> float:
        """What speaks against the model's redraw, less what speaks against the patches."""
        blurs = max(0.0, self.model.sharpness**2 - self.patches.sharpness**2)
        return self.missed - MAY_MISS + BLUR * blurs + self.model.colours - self.patches.colours

    @property
    def model_is_better(self) -> bool:
        """Whether the model's redraw is taken."""
        return self.against_the_model < 0

    @property
    def told(self) -> str:
        """One sentence for a person."""
        model, patches = (exp(one.sharpness / 2) for one in (self.model, self.patches))
        figures = (
            f"around the hole the model misses {self.missed:.0%} of the noise; against what is "
            f"there, its redraw is {model:.0%} as sharp, patches are {patches:.0%}"
        )
        if self.model_is_better:
            return f"the model redrew the hole ({figures}); plugin.fill=patches continues it"
        return f"patches of the picture fill the hole ({figures}); plugin.fill=model redraws it"

    @property
    def facts(self) -> Mapping[str, Any]:
        """All of it, for run.json."""
        return {
            "filled_by": "model" if self.model_is_better else "patches",
            "against_the_model": self.against_the_model,
            "missed_noise": self.missed,
            "sharpness": {"model": self.model.sharpness, "patches": self.patches.sharpness},
            "colours": {"model": self.model.colours, "patches": self.patches.colours},
        }


def compared(
    backbone: Backbone,
    view: Window,
    plan: WarpPlan,
    laid: Laid,
    pictures: tuple[Tensor, Tensor, Tensor],
) -> Comparison:
    """Compare the model's redraw with patches.

    Args:
        backbone: the model.
        view: of the picture, at the size that the model works at.
        plan: whose hole it is.
        laid: by that plan.
        pictures: (1 3 H W) before the drag; (1 3 h w) of what was laid with the redraw, and with
            the patches.
    """
    before, redrawn, patched = pictures
    hole = laid.hole > 0
    shown = hole & (laid.moved < SHOWN)
    shown = shown if bool(shown.any()) else hole
    unknown = torch.maximum(laid.left, (laid.moved > 0).to(laid.left))
    ring = ring_around(laid.hole, unknown, plan.grid.unit_px)
    if not bool(ring.any()):  # the layer hides all that is known
        ring = ~(laid.left > 0) if bool((laid.left <= 0).any()) else shown
    seen = laid.box.carried(ring.float(), Box.whole(plan.size))
    missed = missed_around(backbone, view.take(before), view.take_mask(seen))
    return Comparison(Likeness.of(redrawn, shown, ring), Likeness.of(patched, shown, ring), missed)
