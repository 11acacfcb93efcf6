"""What waiting costs: threads that sleep at once, that turn for a moment, and that spin.

python benchmarks/threads.py                    # every way three times, idle and beside other work
python benchmarks/threads.py --repeats 5 --calls 30

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
from statistics import median

from featurekit.cli.router import AWAKE

POLICIES = {
    "sleep at once": {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"},
    "featurekit's": AWAKE,
    "spin (torch alone)": {},
}
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
begun = time.perf_counter()
for _ in range(int(sys.argv[1])):
    once()
print((time.perf_counter() - begun) / int(sys.argv[1]))
"""


def main(words: Sequence[str] | None = None) -> None:
    """Time every way of waiting, all of them in turn in every repeat.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--calls", type=int, default=15)
    asked = parser.parse_args(words)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{cores} cores, seconds a call, median of {asked.repeats} (lowest)")
    for title, busy in (("idle", 0), ("beside other work", cores or 1)):
        found: dict[str, list[float]] = {name: [] for name in POLICIES}
        for _ in range(asked.repeats):
            for name, policy in POLICIES.items():
                with counting(busy):
                    found[name].append(timed(policy, asked.calls))
        reference = median(found["sleep at once"])
        for name, seconds in found.items():
            ratio = median(seconds) / reference
            print(f"{title:<18} {name:<19} {median(seconds):.3f} ({min(seconds):.3f}) {ratio:.2f}")


def timed(policy: dict[str, str], calls: int) -> float:
    """Seconds of one call in a process of its own."""
    chosen = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
    clean = {name: value for name, value in os.environ.items() if name not in chosen}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(calls)],
        env=clean | policy,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return float(done.stdout.split()[-1])


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
