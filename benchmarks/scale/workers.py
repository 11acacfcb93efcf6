"""Two workers of Ray beside two plain processes, each with its share of the same pictures.

python -m benchmarks.scale.workers                    # some minutes on two cores
python -m benchmarks.scale.workers --images 16 --repeats 1

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
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from benchmarks.records.recording import recorded, recorded_to, spread, typed
from benchmarks.scale import workers_work
from benchmarks.scale.workers_work import REDUCE, Row, worked
from featurekit.scale.ray_engine import Placing, placed

Way: TypeAlias = tuple[int, tuple[str, Any]]

REACH = ".9"  # of the plain rate, by the wall
COLUMNS = (
    "median (least to greatest) of the turns",
    "CPU s of both",
    "rate over plain processes, by CPU time",
    "images/s by the wall",
    "rate over plain, by the wall",
    "to reach",
    "s to start, by the wall",
)


class Turn(NamedTuple):
    """Of both workers of a way."""

    images_a_s: float
    cpu: float
    start_s: float


def by_ray(album: Path, store: Path) -> list[Row]:
    """Two workers of a cluster that starts and ends with the call."""
    rows: list[Row] = placed(partial(worked, album, store), Placing(2, "cpu"))
    return rows


def by_processes(album: Path, store: Path) -> list[Row]:
    """Two processes, each told its share."""
    words = [sys.executable, "-m", workers_work.__name__, str(album), str(store)]
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
    recorded_to(parser)
    asked = parser.parse_args(words)
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
                found[name].append(Turn(asked.images / slowest_s, spent_s, whole_s - slowest_s))
            _refuse_difference(Path(folder) / f"{turn} 0", Path(folder) / f"{turn} 1")
    settings = {
        "images": asked.images,
        "side_px": asked.side,
        "repeats": asked.repeats,
        "network": "random, up1 at 261",
        "reduce": REDUCE,
        "bytes": "the same both ways",
    }
    recorded(
        asked.record, typed("scale.workers", words), COLUMNS, _rows(found), settings=settings,
        samples={name: [turn._asdict() for turn in some] for name, some in found.items()},
    )  # fmt: skip


def _rows(found: Mapping[str, Sequence[Turn]]) -> list[list[object]]:
    """A row for each way, with its ratios to the first, turn by turn."""
    rows: list[list[object]] = []
    plain = next(iter(found.values()))
    for name, some in found.items():
        pairs = list(zip(some, plain, strict=True))
        by_cpu = spread([other.cpu / one.cpu for one, other in pairs])
        by_wall = spread([one.images_a_s / other.images_a_s for one, other in pairs])
        told = [spread(column, ".1f") for column in zip(*some, strict=True)]
        reach = REACH if some is not plain else ""
        rows.append([name, told[1], by_cpu, told[0], by_wall, reach, told[2]])
    return rows


def _in_turn(ways: list[Way], turn: int) -> list[Way]:
    """Every other turn backwards, so that what slows a machine down slows both."""
    return ways if turn % 2 == 0 else ways[::-1]


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
