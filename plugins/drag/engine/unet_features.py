"""Looking at a latent through the UNet: the features that drag, and the step they imply."""

from collections.abc import Callable

import torch
from torch import Tensor

from featurekit.core.types import Predict
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.noise import Schedule
from featurekit.diffusion.steps import ddim_step
from featurekit.taps.capture import capture
from featurekit_drag.engine.latent_optimisation import Glance
from featurekit_drag.engine.settings import DragSettings


def level_of(backbone: Backbone, settings: DragSettings) -> tuple[Schedule, int]:
    """The schedule of a run and the level whose latent is dragged (t = 681 on SD)."""
    schedule = Schedule.ddim(backbone.noise, steps=settings.steps)
    return schedule, schedule.level_for(settings.strength)


def glimpser(
    backbone: Backbone, settings: DragSettings, predict: Predict
) -> Callable[[Tensor], Glance]:
    """Look at the features only; the network is left right after them."""
    schedule, level = level_of(backbone, settings)
    taps = {"field": backbone.taps[settings.tap].path}

    def look(z: Tensor) -> Glance:
        with capture(backbone.unet, taps, stop_after=True) as seen:
            predict(z, schedule.timestep(level))
        return Glance(fused(seen["field"].float(), settings.guidance), None)

    return look


def onlooker(
    backbone: Backbone, settings: DragSettings, predict: Predict
) -> Callable[[Tensor], Glance]:
    """Look at the features and at the latent one DDIM step on; costs the whole network."""
    schedule, level = level_of(backbone, settings)
    taps = {"field": backbone.taps[settings.tap].path}

    def look(z: Tensor) -> Glance:
        with capture(backbone.unet, taps) as seen:
            eps = predict(z, schedule.timestep(level))
        onward = ddim_step(
            z,
            eps,
            alpha_bar_from=schedule.alpha_bars[level],
            alpha_bar_to=schedule.alpha_bars[level - 1],
        )
        return Glance(fused(seen["field"].float(), settings.guidance), onward)

    return look


def fused(field: Tensor, guidance: float) -> Tensor:
    """Join the features of both halves of a guided batch along the channels.

    Args:
        field: (1 c h w) as it is without guidance; (2 c h w), unconditional first, with it.
        guidance: classifier-free guidance scale g of the run.

    Returns:
        (1 c h w) unchanged, or (1 2c h w) weighted by 1 - w and w with w = g / (2g - 1).

    Source: the published code's weights for generated images; the paper joins them plainly.
    """
    if len(field) == 1:
        return field
    weight = guidance / (2 * guidance - 1)
    unconditional, conditional = field.chunk(2)
    return torch.cat([(1 - weight) * unconditional, weight * conditional], dim=1)
