"""Scenes rendered once: pictures with their foreground masks and captions, in pieces on disk."""

import json
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

PIECE = 2000  # scenes per file
CAPTIONS = 3  # per scene, each with other details

Pixels: TypeAlias = NDArray[np.uint8]


class Album:
    """Rendered scenes; pictures are read from disk as they are needed."""

    def __init__(self, pieces: Sequence[Path]) -> None:
        """Open the pieces that ``render`` wrote; all but the last one are equally long."""
        self._pixels = [np.load(path, mmap_mode="r") for path in pieces]
        self._length = len(self._pixels[0])
        self.captions: list[list[str]] = []
        for path in pieces:
            self.captions += json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))

    def __len__(self) -> int:
        """How many scenes there are."""
        return len(self.captions)

    def pictures(self, indices: Tensor) -> Tensor:
        """Pictures and foregrounds of some scenes, (b 4 h w), channels last, uint8."""
        rows = [self._pixels[i // self._length][i % self._length] for i in indices.tolist()]
        return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2)


def scaled(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Split into pictures (b 3 h w) in [-1, 1] and foregrounds (b 1 h w) in [0, 1]."""
    values = pictures.float()
    return values[:, :3] / 127.5 - 1, values[:, 3:] / 255


def pieces(folder: Path, *, size: int, count: int, what: str = "scenes") -> dict[Path, range]:
    """Files of the first scenes of the training seeds, there or not, with the seeds they hold."""
    found = {}
    for start in range(0, count, PIECE):
        seeds = TRAIN_SEEDS[start : min(start + PIECE, count)]
        short = "" if len(seeds) == PIECE else f"-{len(seeds)}"
        found[folder / f"{what}-{size}-{start:07d}{short}.npy"] = seeds
    return found


def render(
    folder: Path, *, size: int, count: int, workers: int, show: Callable[[int], None]
) -> None:
    """Render the first scenes of the training seeds; pieces that exist are kept.

    Args:
        folder: where the pieces are, or are written.
        size: side in px.
        count: how many scenes.
        workers: processes.
        show: told the number of scenes as they are done.
    """
    todo = {}
    for path, seeds in pieces(folder, size=size, count=count).items():
        if path.exists() and path.with_suffix(".json").exists():
            show(len(seeds))
        else:
            todo[path] = seeds
    if not todo:
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_piece, path, seeds, size) for path, seeds in todo.items()]
        for job in as_completed(jobs):
            show(job.result())


def _piece(path: Path, seeds: range, size: int) -> int:
    scenes = [scene(seed) for seed in seeds]
    pixels = np.stack([pixels_of(one, size) for one in scenes])
    captions = [[one.caption(i) for i in range(CAPTIONS)] for one in scenes]
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, pixels)
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(captions), encoding="utf-8")
    return len(seeds)


def pixels_of(one: Scene, size: int) -> Pixels:
    """A scene's picture and foreground, (h w 4)."""
    picture = np.asarray(one.image(size))
    return np.concatenate((picture, np.asarray(one.foreground(size))[..., None]), axis=2)
