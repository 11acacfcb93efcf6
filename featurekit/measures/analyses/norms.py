"""Tokens and channels of a network that are out of all measure, and where they lie."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from featurekit.analysis.artefacts import HighNorms, corner_excess, high_norms, massive_channels
from featurekit.analysis.plots import captioned, heat, heat_scale
from featurekit.core.errors import ConfigError
from featurekit.core.types import Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.features.extract import extract
from featurekit.features.noise_draws import seed_of
from featurekit.images.io import image_to_pil
from featurekit.images.pictures import contact_sheet
from featurekit.measures.held_out import Measured

SHOWN = 4  # pictures on the sheet
TOP = 0.995  # share of tokens below the brightest colour
SCALE = ("dark to bright; what", "the ends stand for", "is below each tile")
TILE_PX = 256


@torch.no_grad()
def measure_norms(
    backbone: Backbone,
    images: Sequence[Tensor],
    *,
    taps: Sequence[str],
    timestep: int,
    seed: int = 0,
    progress: Progress = silent,
) -> Measured:
    """Find tokens with a norm far above the others', and channels far larger than the others.

    Args:
        backbone: a loaded model.
        images: (1 3 h w) in [-1, 1] of one size, at least one.
        taps: which activations to look at, as in ``extract``.
        timestep: at which train timestep.
        seed: of the noise.
        progress: called after each picture.

    Returns:
        Figures by tap: ``threshold`` and ``median`` of the norms, ``high_share`` of tokens,
        ``corner_excess`` (norms of corners over those inside, None where
        nothing is inside) and ``massive``, the size of
        massive channels over that of the median one. The picture ``norms`` shows the norms of
        some pictures and their mean over all, which is where artefacts of a place show.

    Raises:
        FeatureKitError: as in ``extract``.
        ConfigError: there is no picture, or they differ in size.

    Source: the questions are Loos and Linhardt's, 2025, arXiv:2504.07008.
    """
    check_one_size(images)
    read: dict[str, list[Tensor]] = {}
    for done, image in enumerate(images, start=1):
        on_device = image.to(backbone.device)
        own = seed_of(seed, str(done))  # one noise for all would show in the mean over pictures
        for one in extract(backbone, on_device, taps=taps, timesteps=[timestep], seed=own):
            read.setdefault(one.tap, []).append(one.tensor.float().cpu())
        progress(done, len(images))
    by_tap: dict[str, Any] = {}
    rows: dict[str, list[Image.Image | None]] = {
        "picture": [image_to_pil(image) for image in images[:SHOWN]]
    }
    for tap, fields in read.items():
        field = torch.cat(fields)
        high = high_norms(field)
        by_tap[tap] = {
            "median": float(high.norms.median()),
            "threshold": high.threshold,
            "high_share": high.share,
            "corner_excess": corner_excess(high.norms) if min(field.shape[2:]) >= 3 else None,
            "massive": massive_channels(field),
        }
        rows[f"{tap}: {high.share:.1%} high"] = _shown(high, len(rows["picture"]))
    numbered = [f"norms of picture {i}" for i in range(1, len(rows["picture"]) + 1)]
    titles = [*numbered, "mean norm of all", "pictures where it is high"]
    rows["picture"] += [None, captioned(heat_scale(TILE_PX, TILE_PX // 8), *SCALE)]
    figures = {"images": len(images), "timestep": timestep, "taps": by_tap}
    return Measured(figures, {"norms": contact_sheet(rows, titles)})


def check_one_size(images: Sequence[Tensor]) -> None:
    """Refuse pictures whose places cannot be compared.

    Args:
        images: (1 3 h w).

    Raises:
        ConfigError: there is no picture, or they differ in size.
    """
    sizes = sorted({(image.shape[3], image.shape[2]) for image in images})
    if len(sizes) != 1:
        listed = ", ".join(f"{width}x{height} px" for width, height in sizes) or "none"
        raise ConfigError(
            f"norms need pictures of one size to be compared, got {listed}; crop or resize them"
        )


def _shown(high: HighNorms, count: int) -> list[Image.Image | None]:
    """Norms of some pictures, the mean norm of each place, and in how many it is high."""
    low, top = float(high.norms.min()), float(high.norms.quantile(TOP))
    mean, often = high.norms.mean(0), high.high.double().sum(0)
    most, images = int(often.max()), len(high.norms)
    words = f"0 to {most} of {images}" if most else f"in none of {images}"
    return [
        *(_scaled(one, low, top) for one in high.norms[:count]),
        _scaled(mean, float(mean.min()), float(mean.max())),
        captioned(heat(often, low=0.0, high=max(most, 1)), words),
    ]


def _scaled(norms: Tensor, low: float, high: float) -> Image.Image:
    """A tile with what its darkest and brightest colour stand for."""
    tile = heat(norms, low=low, high=max(high, low + 1e-12))
    return captioned(tile, f"{low:.3g} to {high:.3g}")
