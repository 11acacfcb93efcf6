"""Two workers of Ray beside two plain processes, each with its share of the same pictures.

python benchmarks/ray_workers.py                    # some minutes on two cores
python benchmarks/ray_workers.py --images 16 --repeats 1

Both ways run the same function: a network with random weights reads each picture, and a store is
written, flushed to the disk. They take turns, every other one backwards. A rate counts from the
first picture to the last shard of the slower worker; what starting costs is told beside it.
Processor seconds are those of the workers, so that they can be compared on a busy machine, too.
Everything is in a temporary folder; Ray is on loopback.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from featurekit import backbones
from featurekit.core.sharding import Share, parse_share
from featurekit.core.types import Progress, silent
from featurekit.features.recipes import Recipe
from featurekit.images.folders import pictures_in
from featurekit.scale.ray_engine import Placing, placed
from featurekit.store.export import store_pictures
from featurekit.store.picture_reader import PictureReader

Row: TypeAlias = tuple[int, float, float]  # samples, seconds, processor seconds of one worker

Turn: TypeAlias = tuple[float, float, float]  # images a second, processor seconds, seconds to start
Way: TypeAlias = tuple[int, tuple[str, Any]]


def worked(album: Path, store: Path, share: Share, progress: Progress) -> Row:
    """Bring a share into a store; what both ways run."""
    backbone = backbones.load("random", device="cpu")
    reader = PictureReader(backbone, Recipe(("up1",), (261,)), batch=4)
    files = pictures_in(album).pictures
    start, spent = time.perf_counter(), time.process_time()
    written, _ = store_pictures(
        store, files, reader=reader, reduce=("pool:2", "fp16"), share=share, progress=progress
    )
    return written.samples, time.perf_counter() - start, time.process_time() - spent


def by_ray(album: Path, store: Path) -> list[Row]:
    """Two workers of a cluster that starts and ends with the call."""
    rows: list[Row] = placed(partial(worked, album, store), Placing(2, "cpu"))
    return rows


def by_processes(album: Path, store: Path) -> list[Row]:
    """Two processes, each told its share."""
    words = [sys.executable, __file__, "--album", str(album), "--store", str(store), "--share"]
    processes = [
        subprocess.Popen([*words, f"{index}/2"], stdout=subprocess.PIPE, text=True)
        for index in range(2)
    ]
    rows = [json.loads(process.communicate()[0]) for process in processes]
    return [(row[0], row[1], row[2]) for row in rows]


def main(words: Sequence[str] | None = None) -> None:
    """Time both ways in turn and print a line for each.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--side", type=int, default=64, help="of a picture in px")
    parser.add_argument("--repeats", type=int, default=3)
    for name in ("--album", "--store", "--share"):
        parser.add_argument(name, default="", help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if asked.share:
        row = worked(Path(asked.album), Path(asked.store), parse_share(asked.share), silent)
        print(json.dumps(row))
        return
    ways = {"two processes, shard=i/2": by_processes, "two workers of Ray": by_ray}
    with TemporaryDirectory() as folder:
        album = _album(Path(folder) / "album", asked.images, asked.side)
        found: dict[str, list[Turn]] = {name: [] for name in ways}
        for turn in range(asked.repeats):
            for number, (name, way) in _in_turn(list(enumerate(ways.items())), turn):
                start = time.perf_counter()
                rows = way(album, Path(folder) / f"{turn} {number}")
                whole_s = time.perf_counter() - start
                slowest_s = max(row[1] for row in rows)
                spent_s = sum(row[2] for row in rows)
                found[name].append((asked.images / slowest_s, spent_s, whole_s - slowest_s))
            _refuse_difference(Path(folder) / f"{turn} 0", Path(folder) / f"{turn} 1")
    print(f"{asked.images} pictures of {asked.side} px, {asked.repeats} turns, medians; same bytes")
    for name, some in found.items():
        rate, spent, start_s = (_told(column) for column in zip(*some, strict=True))
        print(f"{name:<26} {rate} images/s, {spent} CPU s, {start_s} s to start")
    plain, ray = found.values()
    rates = [one[0] / other[0] for one, other in zip(ray, plain, strict=True)]
    spent = [other[1] / one[1] for one, other in zip(ray, plain, strict=True)]
    print(f"Ray's rate over plain: {_told(rates)}")
    print(f"the same by CPU time:  {_told(spent)}")


def _in_turn(ways: list[Way], turn: int) -> list[Way]:
    """Every other turn backwards, so that what slows a machine down slows both."""
    return ways if turn % 2 == 0 else ways[::-1]


def _told(figures: Sequence[float]) -> str:
    """The median, and the least and the greatest."""
    return f"{median(figures):.3g} ({min(figures):.3g} to {max(figures):.3g})"


def _album(folder: Path, images: int, side: int) -> Path:
    folder.mkdir()
    for number in range(images):
        pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06}.png")
    return folder


def _refuse_difference(one: Path, two: Path) -> None:
    """End where the two stores are not the same bytes."""
    both = [
        {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()}
        for store in (one, two)
    ]
    if both[0] != both[1]:
        sys.exit("the two stores differ")


if __name__ == "__main__":
    main()
