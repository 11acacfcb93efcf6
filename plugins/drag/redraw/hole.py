"""The model redraws the hole of a laid picture, several times at once, and says which is best."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

from featurekit.core.types import Predict, Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.steps import ddim_step, noised
from featurekit.images.coordinates import pad
from featurekit.taps.attention_sharing import self_attention_paths, share_attention

RIM_CELLS = 2  # latent cells around the hole, whose true noise is known


@dataclass(frozen=True)
class RedrawSettings:
    """How a hole is redrawn."""

    steps: int = 10  # DDIM steps of a full run
    strength: float = 0.5  # share of them; 0 redraws nothing
    seeds: int = 4  # redraws in one batch
    attention: tuple[str, ...] = ("up_blocks.2", "up_blocks.3")  # self-attention to the source


@dataclass(frozen=True)
class Redrawn:
    """Redraws of one hole, best first known by number."""

    latents: Tensor  # (n c h w)
    errors: tuple[float, ...]  # of each: the denoiser's mean log error around the hole
    fresh: Tensor  # (1 1 h w) latent cells that were redrawn

    @property
    def best(self) -> int:
        """Number of the redraw that the denoiser finds most natural."""
        return min(range(len(self.errors)), key=self.errors.__getitem__)


@torch.no_grad()
def redraw(
    backbone: Backbone,
    predict: Predict,
    source: Tensor,
    laid: Tensor,
    hole: Tensor,
    settings: RedrawSettings,
    *,
    seed: int,
    progress: Progress = silent,
) -> Redrawn:
    """Denoise the hole from a middle level; all else is set back to the laid picture each step.

    The network reads keys and values of the source at the same level, so that ground is continued
    as it is elsewhere. Where the latent is set back its true noise is known: how far the network
    misses it around the hole, on the way that it takes anyway, says how natural a redraw is.

    Args:
        backbone: the model.
        predict: its predictor under the picture's prompt.
        source: the picture before (1 3 h w) in [-1, 1].
        laid: the picture with its layers moved, likewise.
        hole: (1 1 h w), 1 where the picture is to be redrawn.
        settings: steps, strength, seeds.
        seed: of the noise.
        progress: called after every step.

    Source: blended latent diffusion (Avrahami et al. 2023) with keys and values of the source
    (Cao et al. 2023).
    """
    schedule = Schedule.ddim(backbone.noise, steps=settings.steps)
    top = schedule.level_for(settings.strength)
    z_laid, z_source = backbone.encode(laid), backbone.encode(source)
    fresh = _cells(hole, backbone).to(z_laid)
    rim = F.max_pool2d(fresh, 2 * RIM_CELLS + 1, stride=1, padding=RIM_CELLS) - fresh
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((settings.seeds, *z_laid.shape[1:]), generator=generator).to(z_laid)
    z_laid = z_laid.expand_as(noise)
    z = noised(z_laid, noise, alpha_bar=schedule.alpha_bars[top])
    paths = self_attention_paths(backbone.unet, settings.attention)
    logs = []
    for level in range(top, 0, -1):
        here, there = schedule.alpha_bars[level], schedule.alpha_bars[level - 1]
        rows = torch.cat([noised(z_source, noise[:1], alpha_bar=here), z])
        with share_attention(backbone.unet, paths, rows=len(rows)):
            eps = predict(rows, schedule.timestep(level))[1:]
        missed = ((eps - noise) ** 2 * rim).sum(dim=(1, 2, 3)) / rim.sum().clamp_min(1)
        logs.append(missed.clamp_min(1e-12).log())
        z = ddim_step(z, eps, alpha_bar_from=here, alpha_bar_to=there)
        z = fresh * z + (1 - fresh) * noised(z_laid, noise, alpha_bar=there)
        progress(top - level + 1, top)
    errors = torch.stack(logs).mean(dim=0) if logs else torch.zeros(settings.seeds)
    return Redrawn(z, tuple(errors.tolist()), fresh)


def _cells(hole: Tensor, backbone: Backbone) -> Tensor:
    """Latent cells that any pixel of the hole touches, (1 1 h w)."""
    height, width = hole.shape[-2:]
    whole = pad(hole, backbone.multiple)
    whole[..., height:, :] = 0
    whole[..., width:] = 0
    return F.max_pool2d(whole, backbone.stride)
