"""Edit-friendly DDPM: every level is noised by itself, and the steps are told what they lack."""

import torch
from torch import Tensor

from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.steps import noised


def edit_friendly_latents(
    z0: Tensor, schedule: Schedule, until: int, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Noise a clean latent to every level, each time with fresh noise.

    Neighbouring levels share no noise, so the noise that a DDPM step lacks between them is larger
    than the usual and holds the picture's structure; that is what survives an edit.

    Args:
        z0: clean latent, (b c h w).
        schedule: levels of the run.
        until: highest level to reach.
        generator: CPU generator of the noises, drawn from level 1 upwards.

    Returns:
        Latents of levels 0 to ``until``, dtype and device of ``z0``.

    Source: Huberman-Spiegelglas et al. 2024, arXiv:2304.06140.
    """
    latents = [z0]
    for level in range(1, until + 1):
        # one precision for all latents, so that a seed means the same noise in each
        eps = torch.randn(z0.shape, generator=generator, dtype=torch.float32).to(z0)
        latents.append(noised(z0, eps, alpha_bar=schedule.alpha_bars[level]))
    return tuple(latents)
