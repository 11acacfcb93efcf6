"""How fast a store is written and opened: beside plain safetensors files, and with many records.

python -m benchmarks.store.speed                     # beside safetensors, a minute on one core
python -m benchmarks.store.speed --records 100000    # many tiny records, some minutes

Both ways write the same tensors in the same shards, one after the other within each round, and
flush each file to the disk; the store besides checks and hashes every number, and writes manifests
and a log. Everything is in a temporary folder.
"""

import argparse
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.records.layouts import Record
from benchmarks.records.side_by_side import Seconds, compared, peak_mib, timed
from benchmarks.records.tables import measured, write_record
from featurekit.store.read import StoredFeatures
from featurekit.store.records import Layout, Provenance, SampleRef, StoreSpec
from featurekit.store.upkeep import verify_store
from featurekit.store.write import write_store

SHAPES = {"up0": (160, 4, 4), "up1": (160, 8, 8), "up2": (96, 16, 16)}  # of the embedded model
TIMESTEPS = (101, 261)
POOLED = {"up1/261": (16,)}  # of a tiny record, c
WAYS = {
    "safetensors": "plain safetensors",
    "safetensors, flushed": "the same, each file flushed to the disk",
    "write_store": "`write_store`",
}
SPEEDS = (
    "",
    {"title": "MB/s of CPU time", "format": ".0f"},
    "rate to flushed (least to greatest)",
    {"title": "MB/s by the wall", "format": ".0f"},
    "rate to flushed",
)
MOST = {"written": None, "opened by a reader": "1", "verified": "60"}  # s, which it may take
TIMES = (
    "",
    {"title": "CPU s", "format": ".2f"},
    {"title": "s by the wall", "format": ".3g"},
    "at most",
)


def main(words: Sequence[str] | None = None) -> None:
    """Print one of the two tables.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--shard", type=int, default=Layout().samples, help="samples of one")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--records", type=int, default=0, help="tiny ones in place of the images")
    parser.add_argument("--record", type=Path, help="write the table there, for evidence.py")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    if asked.records:
        record = many(asked.records)
    else:
        record = beside_safetensors(asked.images, asked.shard, asked.rounds)
    if asked.record:
        write_record(record, asked.record)


def beside_safetensors(count: int, shard: int, rounds: int) -> Record:
    """Write the same features as plain files and as a store, in turn."""
    generator = torch.Generator().manual_seed(0)
    features = {
        f"{index}.png": {
            f"{tap}/{t}": torch.randn(shape, generator=generator)
            for tap, shape in SHAPES.items()
            for t in TIMESTEPS
        }
        for index in range(count)
    }
    size = sum(tensor.nbytes for one in features.values() for tensor in one.values())
    ways = {
        "safetensors": lambda: plain(features, shard, sync=False),
        "safetensors, flushed": lambda: plain(features, shard, sync=True),
        "write_store": lambda: stored(features, shard),
    }
    found = compared(f"{size / 1e6:.1f} MB, {shard} samples a shard", ways, rounds=rounds)
    rows = []
    first = found["safetensors, flushed"]
    for name, own in found.items():
        row: list[object] = [WAYS[name]]
        for clock in ("cpu", "wall"):
            rates = [getattr(a, clock) / getattr(b, clock) for a, b in zip(first, own, strict=True)]
            row.append(size / 1e6 / median(getattr(one, clock) for one in own))
            row.append(f"{median(rates):.2f} ({min(rates):.2f} to {max(rates):.2f})")
        rows.append(row)
        print(*row)
    return measured(
        "python -m benchmarks.store.speed",
        SPEEDS,
        rows,
        settings={"images": count, "samples_a_shard": shard, "rounds": rounds, "bytes": size},
        samples={name: [one._asdict() for one in own] for name, own in found.items()},
    )


def plain(features: Mapping[str, Mapping[str, Tensor]], shard: int, *, sync: bool) -> Seconds:
    """Seconds to write stacked tensors by safetensors alone."""
    names = list(features)

    def write(folder: Path) -> None:
        for start in range(0, len(names), shard):
            some = [features[name] for name in names[start : start + shard]]
            path = folder / f"{start}.safetensors"
            save_file({key: torch.stack([one[key] for one in some]) for key in some[0]}, path)
            if sync:
                with path.open("rb+") as stream:
                    os.fsync(stream.fileno())

    with TemporaryDirectory() as folder:
        return timed(lambda: write(Path(folder)))


def stored(features: Mapping[str, Mapping[str, Tensor]], shard: int) -> Seconds:
    """Seconds to write the same as a store of one group."""
    refs = [SampleRef(name, sha256(name.encode()).hexdigest(), (64, 64)) for name in features]
    made = Provenance("random", "none", {tap: tap for tap in SHAPES}, TIMESTEPS)
    spec = StoreSpec(made, (), Layout(samples=shard, groups=1))

    def read(some: Sequence[SampleRef]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        for ref in some:
            yield ref.id, features[ref.id]

    with TemporaryDirectory() as folder:
        return timed(lambda: write_store(folder, refs, read=read, spec=spec))


def many(count: int) -> Record:
    """Write so many tiny records, then open, read and verify the store."""
    refs = [SampleRef(f"{index:07d}.png", f"{index:064x}", (64, 64)) for index in range(count)]
    spec = StoreSpec(Provenance("random", "none", {"up1": "up1"}, (261,)), (), Layout(64, 16))

    def read(some: Sequence[SampleRef]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        for ref in some:
            draw = torch.Generator().manual_seed(int(ref.source, 16))
            yield ref.id, {key: torch.randn(shape, generator=draw) for key, shape in POOLED.items()}

    with TemporaryDirectory() as folder:
        took = [timed(lambda: write_store(folder, refs, read=read, spec=spec))]
        took.append(timed(lambda: StoredFeatures(folder)))
        features = StoredFeatures(folder)
        seconds = []
        for place in random.Random(0).sample(range(count), min(count, 2000)):
            start = time.perf_counter()
            features[place]
            seconds.append(time.perf_counter() - start)
        took.append(timed(lambda: verify_store(folder)))
    rows: list[list[object]] = [
        [title, one.cpu, one.wall, most]
        for (title, most), one in zip(MOST.items(), took, strict=True)
    ]
    rows[2:2] = [["one of 2,000 read at random", None, f"{1e3 * median(seconds):.3f} ms", "1 ms"]]
    for row in rows:
        print(*row)
    print(f"most memory: {peak_mib():.0f} MiB")
    command = f"python -m benchmarks.store.speed --records {count}"
    settings = {"records": count, "samples_a_shard": 64, "groups": 16, "floats_each": POOLED}
    return measured(command, TIMES, rows, settings={**settings, "peak_mib": peak_mib()})


if __name__ == "__main__":
    main()
