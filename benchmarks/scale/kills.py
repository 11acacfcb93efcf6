"""Kill workers and drivers of Ray at random moments, and compare the store with an undisturbed one.

python -m benchmarks.scale.kills                     # 30 kills: some minutes
python -m benchmarks.scale.kills --kills 6 --seed 1

Features are random numbers that follow from a sample's id, given slowly, so that there is time to
be killed in. A driver is started on a cluster of this machine; after a random number of shards one
of its workers or the driver itself gets SIGKILL; a driver that is dead is started again. When the
kills are used up, the same call finishes the store.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from benchmarks.records.recording import recorded, recorded_to, typed
from featurekit.core.sharding import Share
from featurekit.core.types import Progress, silent
from featurekit.scale.ray_crew import from_ray
from featurekit.scale.ray_engine import Placing, placed
from featurekit.scale.ray_here import start_here
from featurekit.store.records import Layout, Provenance, SampleRef, StoreSpec
from featurekit.store.upkeep import stat_store, verify_store
from featurekit.store.write import write_store

OWN = "scale.kills"  # which drivers run, too
MADE = Provenance(backbone="none", weights="0", taps={"up1": "up_blocks.1"}, timesteps=(261,))
PAUSE_S = 0.2  # that a shard takes
COLUMNS = (
    "workers killed",
    "drivers killed",
    "damages found after a kill",
    "in the store that the same call finished",
    "bytes of an undisturbed store",
)
SPEC = StoreSpec(MADE, ("pool:2", "fp16"), Layout(samples=4, groups=32))


def main(words: Sequence[str] | None = None) -> None:
    """Kill as often as asked and print what came of it.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=2000)
    recorded_to(parser)
    parser.add_argument("--drive", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if asked.drive:
        placed(partial(stored, asked.drive, asked.samples, PAUSE_S), Placing(2, "cpu"))
        return
    with TemporaryDirectory() as folder:
        root = Path(folder)
        stored(str(root / "one"), asked.samples, 0.0, Share(), silent)
        killed = _killing(root / "s", asked)
        stored(str(root / "s"), asked.samples, 0.0, Share(), silent)
        same = _contents(root / "s") == _contents(root / "one")
        damages = verify_store(root / "s")
    row = [killed["worker"], killed["driver"], killed["damages"], len(damages),
           "yes" if same else "**no**"]  # fmt: skip
    settings = {"kills": asked.kills, "seed": asked.seed, "samples": asked.samples, "workers": 2,
                "samples_a_shard": SPEC.layout.samples, "groups": SPEC.layout.groups,
                "s_a_shard": PAUSE_S}  # fmt: skip
    command = typed(OWN, words)
    samples = {"samples stored after each kill": killed["held"]}
    recorded(asked.record, command, COLUMNS, [row], settings=settings, samples=samples)
    sys.exit(not same or bool(damages) or bool(killed["damages"]))


def stored(folder: str, samples: int, pause_s: float, share: Share, progress: Progress) -> int:
    """Bring a share of made-up features into a store, and say which process does so."""
    names = [f"picture {number}" for number in range(samples)]
    refs = [SampleRef(name, sha256(name.encode()).hexdigest(), (32, 32)) for name in names]
    mark = Path(f"{folder}.workers") / str(os.getpid())
    mark.parent.mkdir(exist_ok=True, parents=True)
    mark.touch()

    def read(some: Sequence[SampleRef]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        for ref in some:
            time.sleep(pause_s / len(some))
            seeded = torch.Generator().manual_seed(int(ref.source[:12], 16))
            yield ref.id, {"up1/261": torch.randn(64, 8, 8, generator=seeded)}

    written = write_store(folder, refs, read=read, spec=SPEC, share=share, progress=progress)
    mark.unlink()
    return written.samples


def _killing(store: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Start drivers on one cluster and kill until it was done as often as asked."""
    draw = random.Random(asked.seed)
    done: dict[str, Any] = {"worker": 0, "driver": 0, "damages": 0, "held": []}
    marks = Path(f"{store}.workers")
    os.environ |= {"RAY_memory_monitor_refresh_ms": "0"}  # nobody else is to kill
    start_here(2)
    address = from_ray("get_runtime_context")().gcs_address
    driver = _driver(store, asked, address)
    while done["worker"] + done["driver"] < asked.kills:
        if driver.poll() is not None:  # given up after several deaths, or done
            driver = _driver(store, asked, address)
        workers = sorted(int(path.name) for path in marks.glob("*"))
        if not workers:
            time.sleep(0.1)
            continue
        _grown(store, draw.randint(0, 6), driver)
        time.sleep(draw.uniform(0, PAUSE_S))
        of_driver = draw.random() < 1 / 3
        target = driver.pid if of_driver else draw.choice(workers)
        with suppress(ProcessLookupError):
            os.kill(target, signal.SIGKILL)
            done["driver" if of_driver else "worker"] += 1
        if of_driver:
            driver.wait()
        for gone in workers if of_driver else [target]:
            (marks / str(gone)).unlink(missing_ok=True)
        if (store / "store.json").exists():
            done["damages"] += sum(not one.loose for one in verify_store(store))
            done["held"].append(stat_store(store).samples)
            print(f"{done} of {asked.samples} samples", flush=True)
    driver.kill()
    driver.wait()
    from_ray("shutdown")()
    return done


def _grown(store: Path, shards: int, driver: "subprocess.Popen[bytes]") -> None:
    """Wait until a store has so many shards more, however busy the machine is."""
    before = _shards(store)
    while driver.poll() is None and _shards(store) < before + shards:
        time.sleep(0.02)


def _shards(store: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in store.glob("*/commits.jsonl"))


def _driver(store: Path, asked: argparse.Namespace, address: str) -> "subprocess.Popen[bytes]":
    words = ["--drive", str(store), "--samples", str(asked.samples)]
    environment = {**os.environ, "RAY_ADDRESS": address}
    return subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{OWN}", *words],
        env=environment,
        stderr=subprocess.DEVNULL,
    )


def _contents(store: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


if __name__ == "__main__":
    main()
