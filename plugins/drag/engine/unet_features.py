"""UNet features of a latent at the dragged timestep, and the DDIM step that follows from them."""

from collections.abc import Callable

import torch
from torch import Tensor

from featurekit.core.types import Predict
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.steps import ddim_step
from featurekit.taps.capture import capture
from featurekit_drag.engine.parts import Readout
from featurekit_drag.engine.settings import DragSettings


def level_of(backbone: Backbone, settings: DragSettings) -> tuple[Schedule, int]:
    """The schedule of a run and the level whose latent is dragged (t = 681 on SD)."""
    schedule = Schedule.ddim(backbone.noise, steps=settings.steps)
    return schedule, schedule.level_for(settings.strength)


def feature_reader(
    backbone: Backbone, settings: DragSettings, predict: Predict, level: int | None = None
) -> Callable[[Tensor], Readout]:
    """Make a reader of the features alone; the network is left right after them.

    Args:
        backbone: the model.
        settings: for the tap, and for the level.
        predict: with its conditioning.
        level: of the latents; None is the noisiest that is dragged.
    """
    schedule, level = _at(backbone, settings, level)
    taps = {"field": backbone.taps[settings.tap].path}

    def read(z: Tensor) -> Readout:
        with capture(backbone.denoiser, taps, stop_after=True) as captured:
            predict(z, schedule.timestep(level))
        return Readout(fused(captured["field"].float(), settings.guidance), None)

    return read


def feature_and_step_reader(
    backbone: Backbone, settings: DragSettings, predict: Predict, level: int | None = None
) -> Callable[[Tensor], Readout]:
    """Make a reader of the features and the latent one DDIM step on; takes the whole network.

    Args:
        backbone: the model.
        settings: for the tap, and for the level.
        predict: with its conditioning.
        level: of the latents; None is the noisiest that is dragged.
    """
    schedule, level = _at(backbone, settings, level)
    taps = {"field": backbone.taps[settings.tap].path}

    def read(z: Tensor) -> Readout:
        with capture(backbone.denoiser, taps) as captured:
            eps = predict(z, schedule.timestep(level))
        next_latent = ddim_step(
            z,
            eps,
            alpha_bar_from=schedule.alpha_bars[level],
            alpha_bar_to=schedule.alpha_bars[level - 1],
        )
        return Readout(fused(captured["field"].float(), settings.guidance), next_latent)

    return read


def _at(backbone: Backbone, settings: DragSettings, level: int | None) -> tuple[Schedule, int]:
    schedule, noisiest = level_of(backbone, settings)
    return schedule, noisiest if level is None else level


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
