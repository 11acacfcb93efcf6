"""Tokens and channels of a network that are out of all measure, and where they lie."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from featurekit.artefacts import HighNorms, corner_excess, high_norms, massive_channels
from featurekit.backbone import Backbone
from featurekit.draws import seed_of
from featurekit.errors import ConfigError
from featurekit.extract import extract
from featurekit.io import image_to_pil
from featurekit.measures.held_out import Measured
from featurekit.pictures import contact_sheet
from featurekit.plots import heat
from featurekit.types import Progress, silent

SHOWN = 4  # pictures on the sheet
TOP = 0.995  # share of tokens below the brightest colour


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
    if not images or any(image.shape != images[0].shape for image in images):
        sizes = sorted({tuple(image.shape[2:]) for image in images})
        raise ConfigError(f"norms need pictures of one size to be compared, got sizes {sizes}")
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
    titles = [*[""] * len(rows["picture"]), "mean norm", "share that is high"]
    figures = {"images": len(images), "timestep": timestep, "taps": by_tap}
    return Measured(figures, {"norms": contact_sheet(rows, titles)})


def _shown(high: HighNorms, count: int) -> list[Image.Image | None]:
    """Norms of some pictures, the mean norm of each place, and how often it is high."""
    low, top = float(high.norms.min()), float(high.norms.quantile(TOP))
    bright = max(top, low + 1e-12)
    mean, often = high.norms.mean(0), high.high.double().mean(0)
    ends = (float(mean.min()), max(float(mean.max()), float(mean.min()) + 1e-12))
    return [
        *(heat(one, low=low, high=bright) for one in high.norms[:count]),
        heat(mean, low=ends[0], high=ends[1]),
        heat(often, low=0.0, high=1.0),
    ]
