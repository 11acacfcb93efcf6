"""A store of very many pictures: memory while it is written, and what opening and reading cost.

python benchmarks/many_pictures.py                        # 10,000 and 100,000: many minutes
python benchmarks/many_pictures.py --counts 1000 2000
python benchmarks/many_pictures.py --ray 2                # memory of a driver and two workers

Tiny pictures are made into a tar. A worker of its own process, whose memory is watched, brings
them into a store as ``featurekit extract`` does: the tar is listed, each picture is hashed, decoded
and stored, flushed to the disk. In place of the network stand means of its pixels (``--network``
takes the one with random weights, some 30 times as long). Verifying and opening are in seconds of
the processor, which other programs do not lengthen. Everything is in a temporary folder.
"""

import argparse
import io
import json
import random
import resource
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from featurekit import backbones
from featurekit.core.errors import ConfigError
from featurekit.core.sharding import Share
from featurekit.core.types import Progress
from featurekit.features.recipes import Recipe
from featurekit.images.io import load_image
from featurekit.images.packed import PictureFile, sha256_of_picture
from featurekit.scale.inputs import pictures_of
from featurekit.scale.ray_engine import Placing, placed
from featurekit.store.export import Reader, store_pictures
from featurekit.store.picture_reader import PictureReader
from featurekit.store.plan import Cost
from featurekit.store.read import StoredFeatures
from featurekit.store.records import FEATURES, Provenance, SampleRef
from featurekit.store.upkeep import verify_store

SIDE = 16
READS = 1000


class Means:
    """Stands in for the network: means of 8 x 8 pixels, as one tap at one timestep."""

    kind, batch, cost = FEATURES, 8, Cost(0, batch=8)

    def shapes(self, size: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """What is stored of a picture."""
        return {"means/0": (3, size[0] // 8, size[1] // 8)}

    def ref(self, picture: PictureFile, size: tuple[int, ...] | None = None) -> SampleRef:
        """A picture, decoded where its size is not known."""
        found = size or tuple(load_image(picture).shape[2:])
        return SampleRef(picture.name, sha256_of_picture(picture), found, file=picture)

    def __call__(self, refs: Sequence[SampleRef]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        """Read pictures one by one."""
        for ref in refs:
            if ref.file is None:
                raise ConfigError(f"a picture must have a file, got none for {ref.id!r}")
            yield ref.id, {"means/0": functional.avg_pool2d(load_image(ref.file), 8)[0]}

    def provenance(self) -> Provenance:
        """What makes them."""
        return Provenance(backbone="means", weights="none", taps={"means": "none"}, timesteps=(0,))

    def timed(self, ref: SampleRef) -> Cost:
        """Nothing to measure."""
        return self.cost


def main(words: Sequence[str] | None = None) -> None:
    """Write a store of each size and print a line for it.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--network", action="store_true")
    parser.add_argument("--ray", type=int, default=0, help="workers of Ray, whose memory is told")
    parser.add_argument("--work", nargs=2, default=(), help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    if asked.work:
        tar, store = map(Path, asked.work)
        if asked.ray:
            _by_ray(tar, store, asked.ray)
        else:
            _work(tar, store, network=asked.network)
        return
    if asked.ray:
        _memory_by_ray(asked.counts, asked.ray)
        return
    print(f"{'pictures':>9} {'write s':>9} {'CPU s':>8} {'peak MB':>8} {'verify':>9} "
          f"{'open':>8} {'read ms':>8}")  # fmt: skip
    for count in asked.counts:
        with TemporaryDirectory() as folder:
            tar, store = _tar(Path(folder) / "a.tar", count), Path(folder) / "s"
            more = ["--network"] if asked.network else []
            said = subprocess.run(
                [sys.executable, __file__, "--work", str(tar), str(store), *more],
                check=True, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            write_s, spent_s, peak = json.loads(said.stdout)
            start = time.process_time()
            damages = verify_store(store)
            verify_s = time.process_time() - start
            start = time.process_time()
            features = StoredFeatures(store)
            open_s = time.process_time() - start
            read_ms = 1000 * _read(features)
        if damages or len(features) != count:
            sys.exit(f"{len(damages)} damages, {len(features)} of {count} pictures")
        print(f"{count:9} {write_s:9.1f} {spent_s:8.1f} {peak:8.0f} {verify_s:9.1f} {open_s:8.2f} "
              f"{read_ms:8.3f}", flush=True)  # fmt: skip


def _work(tar: Path, store: Path, *, network: bool) -> None:
    """Bring a tar into a store; print seconds, processor seconds and most memory in MB."""
    reader: Reader = Means()
    if network:
        backbone = backbones.load("random", device="cpu")
        reader = PictureReader(backbone, Recipe(("mid",), (261,)), batch=32)
    start, spent = time.perf_counter(), time.process_time()
    store_pictures(store, pictures_of(str(tar)).pictures, reader=reader, reduce=("fp16",))
    row = [time.perf_counter() - start, time.process_time() - spent]
    print(json.dumps([*row, _peak_mb()]))


def _memory_by_ray(counts: Sequence[int], workers: int) -> None:
    """Print the most memory of a driver and of its workers for each number of pictures."""
    print(f"{'pictures':>9} {'driver MB':>10} " + " ".join(["worker MB"] * workers))
    for count in counts:
        with TemporaryDirectory() as folder:
            tar, store = _tar(Path(folder) / "a.tar", count), Path(folder) / "s"
            words = [sys.executable, __file__, "--ray", str(workers)]
            words += ["--work", str(tar), str(store)]
            said = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(f"{count:9} " + " ".join(f"{one:10.0f}" for one in json.loads(said)), flush=True)


def _by_ray(tar: Path, store: Path, workers: int) -> None:
    """Let workers bring a tar into a store; print most memory of the driver and each, in MB."""
    peaks = placed(partial(_share, tar, store), Placing(workers, "cpu"))
    print(json.dumps([_peak_mb(), *peaks]))


def _share(tar: Path, store: Path, share: Share, progress: Progress) -> float:
    files = pictures_of(str(tar)).pictures
    store_pictures(store, files, reader=Means(), reduce=("fp16",), share=share, progress=progress)
    return _peak_mb()


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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


def _read(features: StoredFeatures) -> float:
    """Median seconds of one sample at a random place."""
    draw, seconds = random.Random(0), []
    for _ in range(READS):
        place = draw.randrange(len(features))
        start = time.perf_counter()
        features[place]
        seconds.append(time.perf_counter() - start)
    return median(seconds)


if __name__ == "__main__":
    main()
