"""One labelled picture labels others: its foreground, found again along features that are alike."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from PIL import Image
from torch import Tensor

from featurekit.analysis.plots import bars_plot
from featurekit.core import fields
from featurekit.core.errors import ConfigError
from featurekit.core.shapes import expect
from featurekit.core.types import Progress, silent
from featurekit.features.extract import extract
from featurekit.features.label_propagation import overlap, propagate
from featurekit.features.recipes import Recipe
from featurekit.images import coordinates
from featurekit.images.io import image_to_pil
from featurekit.images.pictures import contact_sheet
from featurekit.measures.held_out import (
    Measured,
    foreground_of,
    grouped,
    image_of,
    scenes_of,
    side_px,
)
from featurekit.measures.points.correspondence import Pair
from featurekit.measures.random_weights import Family, untrained
from featurekit.scenes import KINDS

HALF = 0.5  # share of foreground from which on a cell counts as such
CELLS = 1 << 14  # of a picture that are compared, at most; each is compared with each
WINDOW_PX = 7  # side of the raw patches of the control
PALE = 0.7  # how far what is not labelled is moved to white

RECIPE = Recipe(("up1", "up2"), (101,))
NAMES = ("network", "random", "pixels", "position")  # what finds masks, in the order of the sheet

Masks: TypeAlias = Mapping[str, Tensor]
"""Masks (1 1 h w) by what found them."""


class Labeller:
    """One labelled picture, read once, and what it says of others."""

    @torch.no_grad()
    def __init__(
        self,
        backbone: Family,
        labelled: tuple[Tensor, Tensor],
        recipe: Recipe,
        *,
        seed: int = 0,
    ) -> None:
        """Read the labelled picture.

        Args:
            backbone: a loaded model.
            labelled: picture (1 3 h w) in [-1, 1], and how much of each of its pixels is of each
                class, (1 k h w) in [0, 1].
            recipe: which features; those of several taps and timesteps are compared together,
                each with the same weight.
            seed: of the noise.

        Raises:
            FeatureKitError: as in ``extract``.
            ShapeError: the classes have another size than their picture.
        """
        picture, mask = labelled
        expect(mask, "1 k h w", of="labels", h=picture.shape[2], w=picture.shape[3])
        self._backbone, self._recipe, self._seed = backbone, recipe, seed
        self._here = self._field(picture)
        self._mask = fields.resize(mask.float(), *self._here.shape[2:], mode="area").to(self._here)

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        """Label a picture.

        Args:
            image: (1 3 h w) in [-1, 1], any size.

        Returns:
            How much of each pixel is of each class, (1 k h w) in [0, 1], on the CPU.

        Raises:
            FeatureKitError: as in ``extract``.
        """
        found = propagate(self._here, self._mask, self._field(image)).cpu()
        height, width = image.shape[2:]
        return found if found.shape[2:] == (height, width) else fields.resize(found, height, width)

    def _field(self, image: Tensor) -> Tensor:
        """Features (1 c h w) on a grid of at most ``CELLS``: each tap of length 1, all together."""
        height, width = image.shape[2:]
        step = 1
        while -(-height // step) * -(-width // step) > CELLS:
            step *= 2
        rows, columns = -(-height // step), -(-width // step)
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        centres = (torch.stack((x, y), dim=-1).reshape(-1, 2).double() + 0.5) * torch.tensor(
            (width / columns, height / rows), dtype=torch.float64
        )
        parts = []
        for one in extract(
            self._backbone,
            image.to(self._backbone.device),
            taps=self._recipe.taps,
            timesteps=self._recipe.timesteps,
            ensemble=self._recipe.ensemble,
            seed=self._seed,
        ):
            cells = coordinates.cells_from_px(centres, one.stride).to(one.tensor.device)
            read = fields.sample(one.tensor.float(), cells)[0]
            parts.append(torch.nn.functional.normalize(read, dim=1))
        return torch.cat(parts, dim=1).T.reshape(1, -1, rows, columns)


def label_images(
    backbone: Family,
    labelled: tuple[Tensor, Tensor],
    images: Sequence[Tensor],
    *,
    taps: Sequence[str],
    timestep: int,
    seed: int = 0,
) -> list[Tensor]:
    """Carry the classes of one picture over to others.

    Args:
        backbone: a loaded model.
        labelled: picture (1 3 h w) in [-1, 1], and how much of each of its pixels is of each
            class, (1 k h w) in [0, 1]; a mask is one class.
        images: pictures (1 3 h2 w2), any sizes.
        taps: activations that are compared together, each with the same weight.
        timestep: at which train timestep.
        seed: of the noise.

    Returns:
        How much of each pixel is of each class, (1 k h2 w2) in [0, 1], for each picture.

    Raises:
        FeatureKitError: as in ``extract``.
        ShapeError: the classes have another size than their picture.
    """
    labeller = Labeller(backbone, labelled, Recipe(tuple(taps), (timestep,)), seed=seed)
    return [labeller(image) for image in images]


@torch.no_grad()
def measure_labels(
    backbone: Family,
    *,
    pairs: int = 4,
    kinds: Sequence[str] = tuple(KINDS),
    recipe: Recipe = RECIPE,
    seed: int = 0,
    progress: Progress = silent,
) -> Measured:
    """Measure how well the foreground of one held-out scene finds that of another of its kind.

    Args:
        backbone: a loaded model.
        pairs: of scenes, for each kind.
        kinds: of scenes, each once.
        recipe: which features, compared together.
        seed: of the noise.
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
            masks = _masks(models, (first, second), recipe, seed)
            truth = masks["truth"] >= HALF
            found = {name: overlap(masks[name] >= HALF, truth) for name in NAMES}
            rows.setdefault(kind, []).append(found)
            if i == 0:
                sheet[kind] = _row((first, second), masks)
            progress(sum(map(len, rows.values())), pairs * len(kinds))
    titles = ("labelled", "network", "random weights", "raw pixels", "same position", "truth")
    figures = {"pairs": pairs, **grouped(rows)}
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


def raw_patches(image: Tensor) -> Tensor:
    """The raw pixels around each pixel, with 1 beside them, so that a cosine sees brightness."""
    height, width = image.shape[2:]
    reach = WINDOW_PX // 2
    padded = torch.nn.functional.pad(image, (reach,) * 4, mode="replicate")
    cells = torch.nn.functional.unfold(padded, WINDOW_PX).reshape(1, -1, height, width)
    return torch.cat((cells, torch.ones_like(cells)), dim=1)


def _masks(models: Mapping[str, Family], pair: Pair, recipe: Recipe, seed: int) -> Masks:
    """What each method says of the second scene, and the truth."""
    size = side_px(models["network"])
    picture, image = (image_of(scene, size) for scene in pair)
    mask, truth = (foreground_of(scene, size) for scene in pair)
    found = {
        name: Labeller(model, (picture, mask), recipe, seed=seed)(image)
        for name, model in models.items()
    }
    pixels = propagate(raw_patches(picture), mask, raw_patches(image))
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
