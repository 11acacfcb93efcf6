"""Line drawings of the first scenes, rendered once: one style each by turn, in pieces on disk."""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featurekit.core.atomic import replacing
from featurekit.scenes import TRAIN_SEEDS, Scene, scene
from featurekit.scenes.colours import COLOURS
from featurekit.scenes.drawings import STYLES
from featurekit.scenes.wording import article
from featurekit.training.data.rendered_scenes import pieces

PRINTS = ("striped", "checkered", "dotted", "wavy", "tiled")  # see ``canvas.Pattern``
_UNSEEN = re.compile(rf"\b(?:{'|'.join((*COLOURS, *PRINTS))}) ")
_ARTICLE = re.compile(r"\ban? (\w+)")

Pixels: TypeAlias = NDArray[np.uint8]


class DrawingAlbum:
    """Rendered drawings; number ``i`` is of the scene that is number ``i`` in the ``Album``."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open the pieces that ``render`` wrote; all but the last one are equally long."""
        self._pixels = [np.load(path, mmap_mode="r") for path in paths]
        self._length = len(self._pixels[0])

    def __len__(self) -> int:
        """How many drawings there are."""
        return sum(len(piece) for piece in self._pixels)

    def drawings(self, indices: Tensor) -> Tensor:
        """Drawings of some scenes, (b h w), uint8, white paper."""
        rows = [self._pixels[i // self._length][i % self._length] for i in indices.tolist()]
        return torch.from_numpy(np.stack(rows))


def render(
    folder: Path, *, size: int, count: int, workers: int, show: Callable[[int], None]
) -> list[Path]:
    """Draw the first scenes of the training seeds; pieces that exist are kept.

    Args:
        folder: where the pieces are, or are written.
        size: side in px.
        count: how many scenes.
        workers: processes.
        show: told the number of drawings as they are done.

    Returns:
        The pieces' files.
    """
    paths = pieces(folder, size=size, count=count, what="drawings")
    todo = {path: seeds for path, seeds in paths.items() if not path.exists()}
    show(sum(len(seeds) for path, seeds in paths.items() if path not in todo))
    if todo:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            jobs = [pool.submit(_piece, path, seeds, size) for path, seeds in todo.items()]
            for job in as_completed(jobs):
                show(job.result())
    return list(paths)


def _piece(path: Path, seeds: range, size: int) -> int:
    drawings = [
        pixels_of(scene(seed), size, style=style_of(seed - TRAIN_SEEDS.start)) for seed in seeds
    ]
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, np.stack(drawings))
    return len(seeds)


def pixels_of(one: Scene, size: int, *, style: str) -> Pixels:
    """A scene's drawing in one channel, (h w), white paper."""
    return np.asarray(one.drawing(size, style).convert("L"))


def style_of(index: int) -> str:
    """The style whose turn it is."""
    return tuple(STYLES)[index % len(STYLES)]


def drawn_caption(caption: str, *, style: str) -> str:
    """Caption of a scene's drawing: without colours and prints, which no drawing shows."""
    seen = _ARTICLE.sub(lambda found: article(found[1]), _UNSEEN.sub("", caption))
    return f"{article(f'{style} drawing')} of {seen}"
