"""What a store of features costs to write and to read, for each way to make features smaller.

python -m benchmarks.store.recipes                    # some minutes on one core
python -m benchmarks.store.recipes --images 16 --side 64 --repeats 1

Features come from a network with random weights. The first line is what making them takes
without a store; then each recipe writes the same pictures' features, which are made beforehand
so that they cost nothing, flushed to the disk; then single samples are read back at random
places, with the files in the system's cache. Everything is in a temporary folder.
"""

import argparse
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from benchmarks.records.tables import measured, write_record
from featurekit.backbones import load
from featurekit.features.extractor import Extractor, Sample
from featurekit.features.recipes import Recipe
from featurekit.store.read import StoredFeatures
from featurekit.store.records import Layout, Provenance, SampleRef, StoreSpec
from featurekit.store.write import write_store

COLUMNS = (
    "recipe",
    {"title": "written, images/s", "format": ".0f"},
    {"title": "MB/s", "format": ".3g"},
    {"title": "bytes an image", "format": ".0f"},
    {"title": "read, images/s", "format": ".0f"},
    {"title": "MB/s", "format": ".3g"},
)
TAPS, TIMESTEPS = ("up0", "up1", "up2"), (101, 261)
RECIPES: Mapping[str, tuple[str, ...]] = {
    "raw": (),
    "fp16": ("fp16",),
    "int8": ("int8",),
    "pca:16, fp16": ("pca:16", "fp16"),
    "pool:2, pca:16, int8": ("pool:2", "pca:16", "int8"),
}


def main(words: Sequence[str] | None = None) -> None:
    """Write and read the same features by every recipe, and print a line for each.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--side", type=int, default=64, help="of a picture in px")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--record", type=Path, help="write the table there, for evidence.py")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    features, seconds = made(asked.images, asked.side)
    print(f"{asked.images} pictures of {asked.side} px, {', '.join(TAPS)} at {TIMESTEPS}, 1 thread")
    print(f"{'made without a store':<22} {asked.images / seconds:8.1f} images/s")
    print(f"{'':<22} {'images/s':>9} {'MB/s':>8} {'bytes an image':>15} {'read/s':>9} {'MB/s':>8}")
    table = []
    for title, recipe in RECIPES.items():
        rows = [timed(features, recipe, asked.side) for _ in range(asked.repeats)]
        written, size, read = (median(column) for column in zip(*rows, strict=True))
        rates = (asked.images / written, size / written / 1e6, size / asked.images)
        table.append([title, *rates, asked.images / read, size / read / 1e6])
        print("{:<22} {:9.1f} {:8.1f} {:15.0f} {:9.1f} {:8.1f}".format(*table[-1]))
    if asked.record:
        settings = {"images": asked.images, "side_px": asked.side, "repeats": asked.repeats,
                    "taps": TAPS, "timesteps": TIMESTEPS,
                    "made_images_per_s": asked.images / seconds}  # fmt: skip
        write_record(
            measured("python -m benchmarks.store.recipes", COLUMNS, table, settings=settings),
            asked.record,
        )


def made(count: int, side: int) -> tuple[dict[str, dict[str, Tensor]], float]:
    """Features of made-up pictures by id, and the seconds that they took."""
    extractor = Extractor(load("random", device="cpu"), Recipe(TAPS, TIMESTEPS), batch=8)
    generator = torch.Generator().manual_seed(0)
    samples = [
        Sample(f"{index}.png", torch.rand(1, 3, side, side, generator=generator) * 2 - 1)
        for index in range(count)
    ]
    start = time.perf_counter()
    features = {
        name: {f"{one.tap}/{one.timestep}": one.tensor[0].clone() for one in maps}
        for name, maps in extractor(samples)
    }
    return features, time.perf_counter() - start


def timed(
    features: Mapping[str, Mapping[str, Tensor]], recipe: tuple[str, ...], side: int
) -> tuple[float, int, float]:
    """Seconds to write all, bytes of the store, seconds to read all one by one."""

    def read(refs: Sequence[SampleRef]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        for ref in refs:
            yield ref.id, features[ref.id]

    refs = [SampleRef(name, sha256(name.encode()).hexdigest(), (side, side)) for name in features]
    taps = {name: name for name in TAPS}
    spec = StoreSpec(
        Provenance("random", "none", taps, TIMESTEPS), recipe, Layout(samples=32, groups=2)
    )
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_store(folder, refs, read=read, spec=spec)
        written = time.perf_counter() - start
        size = sum(path.stat().st_size for path in Path(folder).rglob("*"))
        stored = StoredFeatures(folder)
        places = random.Random(0).sample(range(len(stored)), len(stored))
        start = time.perf_counter()
        for place in places:
            stored[place]
        return written, size, time.perf_counter() - start


if __name__ == "__main__":
    main()
