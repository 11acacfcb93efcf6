"""A store of very many pictures: memory while it is written, and what opening and reading cost.

python -m benchmarks.store.many_pictures                        # 10,000 and 100,000: many minutes
python -m benchmarks.store.many_pictures --counts 1000 2000
python -m benchmarks.store.many_pictures --ray 2                # memory of a driver and two workers
python -m benchmarks.store.many_pictures --ray 2 --network      # the same, with the network

Tiny pictures are made into a tar. A worker of its own process, whose memory is watched, brings
them into a store as ``featurekit extract`` does: the tar is listed, each picture is hashed, decoded
and stored, flushed to the disk. In place of the network stand means of its pixels (``--network``
takes the one with random weights, some 30 times as long). Seconds of the processor are not
lengthened by other programs. Everything is in a temporary folder.
"""

import argparse
import io
import json
import random
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image

from benchmarks.records.recording import child, recorded, recorded_to, typed
from benchmarks.records.side_by_side import timed
from benchmarks.store import many_pictures_work
from benchmarks.store.many_pictures_work import MEANS, NETWORK, REDUCE
from featurekit.store.read import StoredFeatures
from featurekit.store.upkeep import verify_store

SIDE = 16
READS = 1000
MIB = ".0f"
PICTURES = {"title": "pictures", "format": ",d"}
EACH = {"title": "bytes a further picture", "format": ".0f"}
ALONE = (
    PICTURES,
    {"title": "written, CPU s", "format": ".1f"},
    {"title": "s by the wall", "format": ".1f"},
    {"title": "most memory, MiB", "format": MIB},
    "above the first",
    EACH,
    {"title": "`store verify`, CPU s", "format": ".2f"},
    {"title": "opening a reader, CPU s", "format": ".2f"},
    {"title": "one sample at random, ms, median", "format": ".3f"},
    {"title": "95 % below", "format": ".3f"},
)
BY_RAY = (
    PICTURES,
    {"title": "most memory of the driver, MiB", "format": MIB},
    "above the first",
    "of each worker, MiB",
    "above the first",
    EACH,
    {"title": "written, CPU s of all workers", "format": ".1f"},
)
Made: TypeAlias = tuple[Sequence[object], list[list[object]], dict[str, list[object]]]


def main(words: Sequence[str] | None = None) -> None:
    """Write a store of each size and print a line for it.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--network", action="store_true")
    parser.add_argument("--ray", type=int, default=0, help="workers of Ray, whose memory is told")
    recorded_to(parser)
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    measure = _memory_by_ray if asked.ray else _one_worker
    columns, rows, samples = measure(asked)
    settings = {"counts": asked.counts, "side_px": SIDE, "workers_of_ray": asked.ray,
                "features": NETWORK if asked.network else MEANS,
                "reduce": REDUCE, "random_reads": 0 if asked.ray else READS}  # fmt: skip
    command = typed("store.many_pictures", words)
    recorded(asked.record, command, columns, rows, settings=settings, samples=samples)


def _one_worker(asked: argparse.Namespace) -> Made:
    """Let a process of its own write each store; then verify, open and read it."""
    rows: list[list[object]] = []
    samples: dict[str, list[object]] = {}
    for count in asked.counts:
        with TemporaryDirectory() as folder:
            tar, store = _tar(Path(folder) / "a.tar", count), Path(folder) / "s"
            wall, cpu, peak = json.loads(_worked(tar, store, asked))
            damages: list[object] = []
            verified = timed(lambda: damages.extend(verify_store(store)))  # noqa: B023 - at once
            opened = timed(lambda: StoredFeatures(store))  # noqa: B023
            features = StoredFeatures(store)
            twentieths = _read_ms(features)
        if damages or len(features) != count:
            sys.exit(f"{len(damages)} damages, {len(features)} of {count} pictures")
        more = _more(count, peak, [(row[0], row[3]) for row in rows])
        read = (twentieths[9], twentieths[18])
        rows.append([count, cpu, wall, peak, *more, verified.cpu, opened.cpu, *read])
        samples[f"{count} pictures, a read in ms by twentieths"] = [*twentieths]
        print(*rows[-1], flush=True)
    return ALONE, rows, samples


def _memory_by_ray(asked: argparse.Namespace) -> Made:
    """Let workers of Ray write each store, and tell the most memory of them and of the driver."""
    rows: list[list[object]] = []
    samples: dict[str, list[object]] = {}
    most: list[tuple[int, float]] = []
    for count in asked.counts:
        with TemporaryDirectory() as folder:
            tar, store = _tar(Path(folder) / "a.tar", count), Path(folder) / "s"
            driver, *workers = json.loads(_worked(tar, store, asked))
        growth = (*_more(count, driver, [(row[0], row[1]) for row in rows])[:1],
                  *_more(count, max(peak for peak, _ in workers), most))  # fmt: skip
        spent = [cpu for _, cpu in workers]
        most.append((count, max(peak for peak, _ in workers)))
        told = ", ".join(f"{peak:.0f}" for peak, _ in workers)
        rows.append([count, driver, growth[0], told, *growth[1:], sum(spent)])
        samples[f"{count} pictures, most MiB and CPU s of each worker"] = workers
        print(*rows[-1], flush=True)
    return BY_RAY, rows, samples


def _more(count: int, peak: float, before: Sequence[tuple[int, float]]) -> tuple[str, float | None]:
    """Word how much more memory than for the first number, and the bytes that a picture takes."""
    if not before:
        return "", None
    first, least = before[0]
    return f"{peak / least - 1:+.1%}", (peak - least) * 2**20 / (count - first)


def _worked(tar: Path, store: Path, asked: argparse.Namespace) -> str:
    """Do the work in a process of its own, whose memory is its own, and tell what it printed."""
    features = NETWORK if asked.network else MEANS
    work = [sys.executable, "-m", many_pictures_work.__name__]
    return child([*work, str(tar), str(store), str(asked.ray), features])[0].splitlines()[-1]


def _tar(path: Path, count: int) -> Path:
    draw = np.random.default_rng(0)
    with tarfile.open(path, "w") as archive:
        for number in range(count):
            stream = io.BytesIO()
            pixels = draw.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(stream, "PNG", compress_level=0)
            member = tarfile.TarInfo(f"{number:07}.png")
            member.size = len(stream.getvalue())
            archive.addfile(member, io.BytesIO(stream.getvalue()))
    return path


def _read_ms(features: StoredFeatures) -> list[float]:
    """Milliseconds of one sample at a random place: the limits of twentieths of all reads."""
    draw, taken = random.Random(0), []
    for _ in range(READS):
        place = draw.randrange(len(features))
        start = time.perf_counter()
        features[place]
        taken.append(1000 * (time.perf_counter() - start))
    return quantiles(taken, n=20)


if __name__ == "__main__":
    main()
