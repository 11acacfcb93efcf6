"""How well a model knows a picture: what is left of the noise that it should find in it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.flow_steps import eps_from_flow
from featurekit.diffusion.flow_table import FlowTable
from featurekit.diffusion.levels import ForwardProcess
from featurekit.diffusion.noise_schedule import NoiseTable
from featurekit.images.coordinates import Window
from featurekit.measures.held_out import side_px

TIMESTEP = 261  # train timestep of Stable Diffusion; others part the same pictures alike
DRAWS = 4  # of noise
SEED = 0

EMBEDDED_KNOWS = 0.2
"""Below it lie pictures like those that the embedded model was trained on, above it the others.

Measured on the shipped weights at 64 px: 60 held-out scenes of the five kinds of its training have
0.03 to 0.12; 24 scenes of the two kinds kept from it 0.24 to 0.41; nine photographs, whole and
three parts of each, 0.20 to 0.65, but for one part of plain sky, 0.13.
"""


@torch.no_grad()
def denoising_error(backbone: Backbone, image: Tensor, *, draws: int = DRAWS) -> float:
    """Mean squared error of the noise that a model finds in a picture, at the model's own size.

    Args:
        backbone: the model; its empty prompt is used.
        image: (1 3 h w) in [-1, 1]; a larger one than the model's own is shrunk to it.
        draws: of noise; one parts the pictures of ``EMBEDDED_KNOWS`` as well.

    Returns:
        0 for all of the noise; 1 is what finding none costs.

    Source: the loss of its training, Ho et al. 2020, arXiv:2006.11239, eq. 14, at one timestep.
    """
    height, width = image.shape[-2:]
    shrink = max(1.0, max(height, width) / side_px(backbone))
    latent = backbone.encode(Window(0, 0, width, height, shrink).take(image))
    return latent_error(backbone, latent, draws=draws)


def has_known_scenes(backbone: Backbone) -> bool:
    """Whether it is known what a model was trained on, so that ``told_unknown`` is of it."""
    return backbone.name == "embedded"


def is_unknown(error: float) -> bool:
    """Whether the embedded model does not know a picture of that ``denoising_error``."""
    return error >= EMBEDDED_KNOWS


def told_unknown(errors: Sequence[float]) -> str:
    """Say where the embedded model meets pictures unlike those of its training.

    Args:
        errors: ``denoising_error`` of each picture.

    Returns:
        One sentence; empty where it knows all of them.
    """
    missed = sorted(error for error in errors if is_unknown(error))
    if not missed:
        return ""
    share, which, them = f"{missed[0]:.0%}", "this picture", "it"
    if len(errors) > 1:
        which = f"{len(missed)} of {len(errors)} pictures"
    if len(missed) > 1:
        share, them = f"{share} to {missed[-1]:.0%}", "them"
    return (
        f"the embedded model knows simple painted scenes and does not know {which} (it misses "
        f"{share} of the noise in {them}, of its own scenes 3% to 12%); for photographs use "
        f"backbone=sd15, sd21 or sdxl"
    )


@torch.no_grad()
def latent_error(backbone: Backbone, latent: Tensor, *, draws: int = DRAWS) -> float:
    """Mean squared error of the noise that a model finds in a clean latent (1 c h w).

    Args:
        backbone: the model; its empty prompt is used.
        latent: of a picture at the model's own size.
        draws: of noise.

    Returns:
        As for ``denoising_error``.
    """
    return float(missed_noise(backbone, latent, draws=draws).mean())


@torch.no_grad()
def missed_noise(backbone: Backbone, latent: Tensor, *, draws: int = DRAWS) -> Tensor:
    """Squared errors of the noise that a model finds in a clean latent.

    A flow is asked at the share of noise that leaves as much signal beside the noise, where noise
    and latent are those of diffusion but for one factor, so that the errors are of the same kind.

    Args:
        backbone: the model; its empty prompt is used.
        latent: (1 c h w), of a picture at the model's own size.
        draws: of noise.

    Returns:
        (draws c h w), float32.
    """
    seeded = torch.Generator().manual_seed(SEED)
    eps = torch.randn((draws, *latent.shape[1:]), generator=seeded).to(latent)
    noise, t = backbone.noise, timestep_of(backbone.noise)
    z = noise.noised(latent.expand(draws, -1, -1, -1), eps, t)
    answer = backbone.predictor(backbone.embed(""))(z, t)
    flows = isinstance(noise, FlowTable)
    found = eps_from_flow(answer, z, sigma=noise.level(t)) if flows else answer
    return (found - eps).float().square()


def timestep_of(noise: ForwardProcess) -> float:
    """Train timestep of any model with as much noise as Stable Diffusion has at ``TIMESTEP``.

    Args:
        noise: what the model was trained with.

    Returns:
        Whole for diffusion, real for a flow.
    """
    alpha_bar = NoiseTable.scaled_linear().level(TIMESTEP)
    if isinstance(noise, NoiseTable):
        return int((noise.alpha_bars - alpha_bar).abs().argmin())
    ratio = ((1 - alpha_bar) / alpha_bar).sqrt()  # of noise to signal, as amplitudes
    return float(ratio / (1 + ratio)) * noise.train_timesteps
