"""One labelled picture labels others: its foreground, found again along features that are alike."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from PIL import Image
from torch import Tensor

from featurekit import fields
from featurekit.backbones.sd import StableDiffusion
from featurekit.errors import ConfigError
from featurekit.extract import extract
from featurekit.io import image_to_pil
from featurekit.measures.correspondence import Pair, untrained
from featurekit.measures.held_out import (
    Measured,
    foreground_of,
    grouped,
    image_of,
    scenes_of,
    side_px,
)
from featurekit.pictures import contact_sheet
from featurekit.plots import bars_plot
from featurekit.propagation import overlap, propagate
from featurekit.scenes import KINDS
from featurekit.types import Progress, silent

HALF = 0.5  # share of foreground from which on a cell counts as such
WINDOW_PX = 7  # side of the raw patches of the control
PALE = 0.7  # how far what is not labelled is moved to white

NAMES = ("network", "random", "pixels", "position")  # what finds masks, in the order of the sheet

Masks: TypeAlias = Mapping[str, Tensor]
"""Masks (1 1 h w) by what found them."""


@torch.no_grad()
def label_images(
    backbone: StableDiffusion,
    labelled: tuple[Tensor, Tensor],
    images: Sequence[Tensor],
    *,
    taps: Sequence[str],
    timestep: int,
    seed: int = 0,
) -> list[Tensor]:
    """Carry the mask of one picture over to others.

    Args:
        backbone: a loaded model.
        labelled: picture (1 3 h w) in [-1, 1], and its mask (1 1 h w) in [0, 1].
        images: pictures (1 3 h2 w2), any sizes.
        taps: activations that are compared together, each with the same weight.
        timestep: at which train timestep.
        seed: of the noise.

    Returns:
        How much of each pixel is labelled, (1 1 h2 w2) in [0, 1], for each picture.

    Raises:
        FeatureKitError: as in ``extract``; the mask has another size than its picture.
    """
    picture, mask = labelled
    here = _whole(backbone, picture, taps=taps, timestep=timestep, seed=seed)
    found = []
    for image in images:
        there = _whole(backbone, image, taps=taps, timestep=timestep, seed=seed)
        found.append(propagate(here, mask.to(here), there).cpu())
    return found


def measure_labels(
    backbone: StableDiffusion,
    *,
    pairs: int = 4,
    kinds: Sequence[str] = tuple(KINDS),
    taps: Sequence[str] = ("up1", "up2"),
    timestep: int = 101,
    progress: Progress = silent,
) -> Measured:
    """Measure how well the foreground of one held-out scene finds that of another of its kind.

    Args:
        backbone: a loaded model.
        pairs: of scenes, for each kind.
        kinds: of scenes, each once.
        taps: activations that are compared together.
        timestep: at which train timestep.
        progress: called after each pair.

    Returns:
        Figures by kind and group: intersection over union of ``network``; of ``random``, the same
        network with random weights; of ``pixels``, raw patches; and of ``position``, the mask
        where it was. The picture ``labels`` shows a pair of each kind, ``overlap`` the figures.

    Raises:
        ConfigError: ``pairs`` is below 1, or there is no kind.
        FeatureKitError: as in ``extract``.
    """
    if pairs < 1 or not kinds:
        raise ConfigError(
            f"pairs must be at least 1 of some kind, got {pairs} of {len(kinds)} kinds"
        )
    models = {"network": backbone, "random": untrained(backbone)}
    rows: dict[str, list[dict[str, float]]] = {}
    sheet: dict[str, list[Image.Image | None]] = {}
    for kind in kinds:
        for i in range(pairs):
            first, second = scenes_of(kind, 2, skip=2 * i)
            masks = _masks(models, (first, second), taps, timestep)
            truth = masks["truth"] >= HALF
            found = {name: overlap(masks[name] >= HALF, truth) for name in NAMES}
            rows.setdefault(kind, []).append(found)
            if i == 0:
                sheet[kind] = _row((first, second), masks)
            progress(sum(map(len, rows.values())), pairs * len(kinds))
    titles = ("labelled", "network", "random weights", "raw pixels", "same position", "truth")
    figures = {"pairs": pairs, "taps": list(taps), "timestep": timestep, **grouped(rows)}
    bars = {name: {kind: figures["kinds"][kind][name] for kind in rows} for name in NAMES}
    return Measured(
        figures,
        {
            "labels": contact_sheet(sheet, titles),
            "overlap": bars_plot(
                bars, title="foreground of another scene", label="intersection over union"
            ),
        },
    )


def _whole(
    backbone: StableDiffusion, image: Tensor, *, taps: Sequence[str], timestep: int, seed: int
) -> Tensor:
    """Features at each pixel of a picture, (1 c h w): each tap of length 1, one upon another."""
    on_device = image.to(backbone.device)
    parts = []
    for one in extract(backbone, on_device, taps=taps, timesteps=[timestep], seed=seed):
        height, width = (one.stride * cells for cells in one.grid)
        field = fields.resize(one.tensor.float(), height, width)
        parts.append(torch.nn.functional.normalize(field, dim=1))
    return torch.cat(parts, dim=1)[:, :, : image.shape[2], : image.shape[3]]


def _patches(image: Tensor) -> Tensor:
    """The raw pixels around each pixel, with 1 beside them, so that a cosine sees brightness."""
    height, width = image.shape[2:]
    reach = WINDOW_PX // 2
    padded = torch.nn.functional.pad(image, (reach,) * 4, mode="replicate")
    cells = torch.nn.functional.unfold(padded, WINDOW_PX).reshape(1, -1, height, width)
    return torch.cat((cells, torch.ones_like(cells)), dim=1)


def _masks(
    models: Mapping[str, StableDiffusion], pair: Pair, taps: Sequence[str], timestep: int
) -> Masks:
    """What each method says of the second scene, and the truth."""
    size = side_px(models["network"])
    picture, image = (image_of(scene, size) for scene in pair)
    mask, truth = (foreground_of(scene, size) for scene in pair)
    found = {
        name: label_images(model, (picture, mask), [image], taps=taps, timestep=timestep)[0]
        for name, model in models.items()
    }
    pixels = propagate(_patches(picture), mask, _patches(image))
    return {**found, "pixels": pixels, "position": mask, "truth": truth}


def _row(pair: Pair, masks: Masks) -> list[Image.Image | None]:
    """The labelled scene, then the other one as each mask has it."""
    size = masks["truth"].shape[3]
    picture, image = (image_of(scene, size) for scene in pair)
    labelled = _laid_on(picture, masks["position"])
    return [labelled, *(_laid_on(image, mask) for mask in masks.values())]


def _laid_on(image: Tensor, mask: Tensor) -> Image.Image:
    """The picture with what is not labelled grey and pale."""
    grey = image.mean(1, keepdim=True).expand_as(image)
    return image_to_pil(torch.where(mask >= HALF, image, PALE + (1 - PALE) * grey))
