"""A sampling run that keeps its latents, so that the image it makes can be dragged."""

import torch
from torch import Tensor

from featurekit.core.types import Predict, Progress, silent
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.sample import sample
from featurekit.diffusion.trajectory import Trajectory


@torch.no_grad()
def sampled(
    predict: Predict, noise: Tensor, schedule: Schedule, *, progress: Progress = silent
) -> Trajectory:
    """Generate an image and keep the latent of every level, for ``Drag(...)(request, path=...)``.

    Args:
        predict: with the prompt and guidance of the drag.
        noise: latent of the noisiest level (1 c h w), unit normal.
        schedule: of the drag, ``Drag(...).schedule``.
        progress: called after each step.

    Returns:
        Trajectory without residuals: its path is the model's own. Level 0 decodes to the image.

    Source: Shi et al. 2024, arXiv:2306.14435, section 3.5 (images that a model made).
    """
    latents = [noise]
    sample(
        predict,
        noise,
        schedule,
        on_step=lambda _, z: latents.append(z),
        progress=progress,
    )
    return Trajectory(tuple(reversed(latents)), schedule)
