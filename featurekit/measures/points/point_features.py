"""Features of pictures at their points: what a network or raw pixels say of each place."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from featurekit.core import fields
from featurekit.core.types import FeatureMap
from featurekit.diffusion.backbone import Backbone
from featurekit.features.extract import extract
from featurekit.features.recipes import Recipe
from featurekit.images import coordinates
from featurekit.images.io import load_image
from featurekit.images.photo import open_photo
from featurekit.measures.points.label_transfer import raw_patches

SMALLEST_SIDE = 8
AT_ONCE = 4096  # pixels of the target that are compared at a time
REMEMBERED = 64  # pictures whose features are kept for the next pair

Read: TypeAlias = Callable[[Tensor, str], Iterable[FeatureMap]]
"""Maps of a picture (1 3 h w) that is shown with a prompt."""


def seen_px(size: tuple[int, int], longer: int) -> tuple[int, int]:
    """Width and height of a picture as a network sees it.

    Args:
        size: width and height of the picture, px.
        longer: what its longer side becomes, px; the shorter one is at least 8.
    """
    factor = longer / max(size)
    width, height = (max(SMALLEST_SIDE, round(side * factor)) for side in size)
    return width, height


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture as the network sees it."""

    maps: tuple[FeatureMap, ...]
    size_px: tuple[int, int]  # width and height of the picture itself
    seen_px: tuple[int, int]  # as the network sees it

    def at(self, xy: Tensor) -> Tensor:
        """Features at points (n 2), px of what the network sees: each map of length 1, (n c)."""
        parts = []
        for one in self.maps:
            cells = coordinates.cells_from_px(xy, one.stride).to(one.tensor.device)
            parts.append(functional.normalize(fields.sample(one.tensor, cells)[0].float(), dim=1))
        return torch.cat(parts, dim=1)


def network_maps(backbone: Backbone, recipe: Recipe, seed: int) -> Read:
    """Read what a recipe says.

    Args:
        backbone: a loaded model.
        recipe: taps, timesteps and ensemble; its prompt is not looked at.
        seed: of the noises.
    """

    def read(image: Tensor, prompt: str) -> Iterable[FeatureMap]:
        return extract(
            backbone,
            image.to(backbone.device),
            taps=recipe.taps,
            timesteps=recipe.timesteps,
            prompt=prompt,
            ensemble=recipe.ensemble,
            seed=seed,
        )

    return read


def pixel_maps(image: Tensor, prompt: str) -> Iterable[FeatureMap]:
    """Raw patches of a picture; the prompt is not looked at."""
    return [FeatureMap(raw_patches(image), "pixels", 0, 1)]


class Reader:
    """Reads pictures, those of files once for pairs that follow each other."""

    def __init__(self, read: Read, side: int) -> None:
        """Say how.

        Args:
            read: what is read of each picture.
            side: longer side of the pictures that it is given, px.
        """
        self._maps, self._side = read, side
        self._kept: OrderedDict[tuple[Path, str], Seen] = OrderedDict()

    def __call__(self, picture: Image.Image | Path, prompt: str) -> Seen:
        """Read a picture, or remember it.

        Args:
            picture: Pillow image or file.
            prompt: what it shows.

        Raises:
            FeatureKitError: as in ``open_photo`` and ``extract``.
        """
        if not isinstance(picture, Path):
            return self._read(picture, prompt)
        key = (picture, prompt)
        if key not in self._kept:
            self._kept[key] = self._read(picture, prompt)
        self._kept.move_to_end(key)
        while len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _read(self, picture: Image.Image | Path, prompt: str) -> Seen:
        photo = open_photo(picture, of="image", background="white")
        size = seen_px(photo.size, self._side)
        resized = photo if size == photo.size else photo.resize(size, Image.Resampling.LANCZOS)
        return Seen(tuple(self._maps(load_image(resized), prompt)), photo.size, size)


def nearest(queries: Tensor, there: Seen) -> Tensor:
    """Find the pixels with the most similar features.

    Args:
        queries: (n c), each map of length 1.
        there: a picture that was read with the same maps.

    Returns:
        Their centres, (n 2), px of what is seen.
    """
    width, height = there.seen_px
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centres = torch.stack((x, y), dim=-1).reshape(-1, 2).double() + 0.5
    scores = [queries @ there.at(some).T for some in torch.split(centres, AT_ONCE)]
    return centres[torch.cat(scores, dim=1).argmax(1).cpu()]
