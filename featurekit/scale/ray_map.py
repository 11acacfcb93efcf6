"""Features within a user's own Ray Data pipeline: a class for ``Dataset.map_batches``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePath
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featurekit import backbones
from featurekit.core.errors import ConfigError, ImageError
from featurekit.features.extractor import Extractor, Sample
from featurekit.features.recipes import Recipe

Rows: TypeAlias = Mapping[str, NDArray[Any]]
"""Columns of a batch by name, as Ray Data hands them over."""

IMAGE, ID, PATH = "image", "id", "path"


def ray_map(
    backbone: str,
    recipe: Recipe | str,
    *,
    prompt: str = "",
    seed: int = 0,
    batch: int = 8,
    device: str = "auto",
) -> type[Callable[[Rows], dict[str, NDArray[Any]]]]:
    """Make a class that reads features of the batches of a ``ray.data.Dataset``.

    ``dataset.map_batches(fk.ray_map("sd21", "dift_spair"), concurrency=8, num_gpus=1)`` loads one
    model an actor. Batches have ``image``: uint8 arrays (h w 3), encoded bytes, or paths; and
    ``id``, or ``path`` whose file name it is: what decides a picture's noise, as in a store.

    Args:
        backbone: a name, a diffusers folder or a hub id, which each actor loads.
        recipe: what to read, or the name of what a paper reads.
        prompt: what the pictures show.
        seed: of the noises, with the id.
        batch: pictures in a call of the network; those of one size are read together.
        device: as for ``load_backbone``.

    Returns:
        A class without parameters, whose objects give the columns of a batch but ``image``, the
        ids, and ``tap/t``: float32 (b c h w), or one array (c h w) a row where sizes differ.

    Raises:
        ConfigError: the backbone is a loaded one, which does not go to other processes; later, a
            column is missing.
        UnknownNameError: there is no such recipe.
    """
    if not isinstance(backbone, str):
        raise ConfigError(
            f"ray_map must be given the name or folder of a backbone, which each actor loads, got "
            f"a {type(backbone).__name__}"
        )

    settings = _Settings(backbone, recipe, prompt, seed, batch, device)
    return type("FeaturesOfBatches", (_FeaturesOfBatches,), {"settings": settings})


@dataclass(frozen=True)
class _Settings:
    backbone: str
    recipe: Recipe | str
    prompt: str
    seed: int
    batch: int
    device: str


class _FeaturesOfBatches:
    """Loads the model once; reads one batch after another."""

    settings: _Settings

    def __init__(self) -> None:
        asked = self.settings
        model = backbones.load(asked.backbone, asked.device)
        self._extractor = Extractor(model, asked.recipe, seed=asked.seed, batch=asked.batch)

    def __call__(self, rows: Rows) -> dict[str, NDArray[Any]]:
        ids = _ids(rows)
        samples = [
            Sample(name, _picture(image), self.settings.prompt)
            for name, image in zip(ids, rows[IMAGE], strict=True)
        ]
        found = {
            name: {f"{one.tap}/{one.timestep}": one.tensor[0].float() for one in maps}
            for name, maps in self._extractor(samples)
        }
        kept = {name: column for name, column in rows.items() if name != IMAGE}
        columns = {
            name: _column([found[one][name].cpu().numpy() for one in ids]) for name in found[ids[0]]
        }
        return {**kept, ID: np.array(ids, dtype=object), **columns}


def _ids(rows: Rows) -> list[str]:
    """What the pictures are called."""
    if IMAGE not in rows or not {ID, PATH} & rows.keys():
        raise ConfigError(
            f"a batch must have the columns {IMAGE} and {ID} (or {PATH}), got "
            f"{', '.join(rows) or 'none'}; ray.data.read_images(..., include_paths=True) gives them"
        )
    if ID in rows:
        return [str(one) for one in rows[ID]]
    return [PurePath(str(one)).name for one in rows[PATH]]


def _picture(image: Any) -> NDArray[np.uint8] | Image.Image | str:  # noqa: ANN401  # of Ray's kinds
    """An array or a path as it is, bytes as the picture that they encode."""
    if not isinstance(image, bytes):
        return image  # type: ignore[no-any-return]  # the Extractor refuses what is none
    try:
        return Image.open(BytesIO(image))
    except OSError as error:
        raise ImageError(f"image must be a picture in a known format, but {error}") from error


def _column(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """Arrays of one shape as one, else a row each."""
    if len({array.shape for array in arrays}) == 1:
        return np.stack(arrays)
    column = np.empty(len(arrays), dtype=object)
    column[:] = arrays
    return column
