"""The scale of guidance as an input of a network that was distilled to know it."""

import math

import torch
from torch import Tensor

_SCALE = 1000.0  # of the scale before it is embedded
_LONGEST_PERIOD = 10000.0


def guidance_embedding(scale: float, width: int) -> Tensor:
    """Embed a scale of guidance as the stock pipelines do for ``timestep_cond``.

    Such a network was distilled from guided predictions (latent consistency models), so its answer
    to the prompt alone is the guided one, and no unconditional rows are asked for.

    Args:
        scale: of classifier-free guidance, 1 for none.
        width: ``time_cond_proj_dim`` of the network, at least 4.

    Returns:
        (1 width), float32 on the CPU: sines, then cosines, of ``scale - 1``.

    Source: Luo et al. 2023, arXiv:2310.04378, section 4.2, w = scale - 1; frequencies as
    diffusers' ``get_guidance_scale_embedding``.
    """
    half = width // 2
    falling = -math.log(_LONGEST_PERIOD) / (half - 1)
    phases = (scale - 1) * _SCALE * torch.exp(torch.arange(half, dtype=torch.float32) * falling)
    found = torch.cat([phases.sin(), phases.cos()])
    return torch.nn.functional.pad(found, (0, width - 2 * half))[None]
