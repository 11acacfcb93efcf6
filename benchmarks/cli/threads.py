"""What waiting costs: threads that sleep at once, that turn for a moment, and that spin.

python -m benchmarks.cli.threads                 # every way three times, idle and beside other work
python -m benchmarks.cli.threads --repeats 5 --calls 30

A process for every figure, since a policy is read when torch is loaded. Each computes the UNet of
the embedded model's shape (random weights, 13 rows) forwards and backwards. Beside other work means
one process for every core that does nothing but count.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.records.recording import (
    child,
    ratios,
    recorded,
    recorded_to,
    rounds_of,
    spread,
    typed,
)
from benchmarks.records.side_by_side import Seconds
from featurekit.cli.router import AWAKE

POLICIES = {
    "sleep at once": {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"},
    "awake for a moment, then asleep (ours)": AWAKE,
    "spin (torch alone)": {},
}
COLUMNS = (
    "machine",
    "threads that wait",
    "s a call by the wall, median (least to greatest)",
    "ratio to the first",
    "CPU s a call of all threads",
    "ratio to the first",
)
CHILD = """
import sys, time
import torch
import featurekit as fk
from featurekit.core.types import Conditioning
backbone = fk.load_backbone("random")
draw = torch.Generator().manual_seed(0)
side = backbone.unet.config.sample_size
z = torch.randn(13, backbone.latent_channels, side, side, generator=draw)
states = backbone.embed("").states.detach().expand(13, -1, -1)
predict = backbone.predictor(Conditioning(states=states, prompt=""))
timesteps = torch.arange(1, 980, 75)[:13]
def once():
    given = z.clone().requires_grad_()
    predict(given, timesteps).square().mean().backward()
for _ in range(2):
    once()
begun, worked = time.perf_counter(), time.process_time()
for _ in range(int(sys.argv[1])):
    once()
spent = time.perf_counter() - begun, time.process_time() - worked
print(*(one / int(sys.argv[1]) for one in spent))
"""


def main(words: Sequence[str] | None = None) -> None:
    """Time every way of waiting, all of them in turn in every repeat.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--calls", type=int, default=15)
    recorded_to(parser)
    asked = parser.parse_args(words)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    rows: list[list[object]] = []
    samples: dict[str, list[dict[str, float]]] = {}
    for title, busy in (("idle", 0), ("beside a process a core that only counts", cores or 1)):
        found: dict[str, list[Seconds]] = {name: [] for name in POLICIES}
        for _ in range(asked.repeats):
            for name, policy in POLICIES.items():
                with counting(busy):
                    found[name].append(timed(policy, asked.calls))
        first = next(iter(found.values()))
        for name, own in found.items():
            wall, cpu = ([getattr(one, clock) for one in own] for clock in ("wall", "cpu"))
            shares = spread(ratios(own, first, "wall")), spread(ratios(own, first))
            rows.append(
                [title, name, spread(wall, ".3f"), shares[0], spread(cpu, ".3f"), shares[1]]
            )
            print(*rows[-1], flush=True)
        samples |= {f"{title}: {name}": own for name, own in rounds_of(found).items()}
    settings = {"cores": cores, "repeats": asked.repeats, "calls": asked.calls, "rows": 13,
                "network": "UNet of the embedded model's shape, forwards and backwards",
                "policies": POLICIES}  # fmt: skip
    command = typed("cli.threads", words)
    recorded(asked.record, command, COLUMNS, rows, settings=settings, samples=samples)


def timed(policy: dict[str, str], calls: int) -> Seconds:
    """Seconds of one call in a process of its own, by the wall and of all of its threads."""
    chosen = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
    clean = {name: value for name, value in os.environ.items() if name not in chosen}
    printed, _ = child([sys.executable, "-c", CHILD, str(calls)], clean | policy)
    wall, cpu = printed.split()[-2:]
    return Seconds(float(wall), float(cpu))


@contextmanager
def counting(count: int) -> Iterator[None]:
    """So many processes that keep a core busy each, for the length of the block."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


if __name__ == "__main__":
    main()
