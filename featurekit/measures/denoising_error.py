"""How well a model knows a picture: what is left of the noise that it should find in it."""

import torch
from torch import Tensor

from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.steps import noised
from featurekit.images.coordinates import Window
from featurekit.measures.held_out import side_px

TIMESTEP = 261  # train timestep; others part the same pictures alike
DRAWS = 4  # of noise
SEED = 0

EMBEDDED_KNOWS = 0.2
"""Below it lie pictures like those that the embedded model was trained on, above it the others.

Measured on the shipped weights at 64 px: 60 held-out scenes of the five kinds of its training have
0.03 to 0.12; 24 scenes of the two kinds kept from it 0.24 to 0.41; nine photographs, whole and
three parts of each, 0.20 to 0.65, but for one part of plain sky, 0.13.
"""


@torch.no_grad()
def denoising_error(backbone: Backbone, image: Tensor) -> float:
    """Mean squared error of the noise that a model finds in a picture, at the model's own size.

    Args:
        backbone: the model; its empty prompt is used.
        image: (1 3 h w) in [-1, 1]; a larger one than the model's own is shrunk to it.

    Returns:
        0 for all of the noise; 1 is what finding none costs.

    Source: the loss of its training, Ho et al. 2020, arXiv:2006.11239, eq. 14, at one timestep.
    """
    height, width = image.shape[-2:]
    shrink = max(1.0, max(height, width) / side_px(backbone))
    return latent_error(backbone, backbone.encode(Window(0, 0, width, height, shrink).take(image)))


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
    seeded = torch.Generator().manual_seed(SEED)
    eps = torch.randn((draws, *latent.shape[1:]), generator=seeded).to(latent)
    alpha_bar = backbone.noise.level(torch.tensor([TIMESTEP]))
    z = noised(latent.expand(draws, -1, -1, -1), eps, alpha_bar=alpha_bar.to(latent))
    found = backbone.predictor(backbone.embed(""))(z, TIMESTEP)
    return float((found - eps).float().square().mean())
