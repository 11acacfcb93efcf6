"""What compiled blocks save: a forward of the embedded UNet, eager and compiled, in one run.

python -m benchmarks.model.compiled            # with --cells 32 for larger latents
python -m benchmarks.model.compiled --sd --device cuda --cells 64  # of Stable Diffusion 1.5's shape

One thread on a CPU, no gradient. The first call, which compiles, is told apart.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial

import torch

import featurekit as fk
from benchmarks.records.recording import ratios, recorded, recorded_to, rounds_of, spread, typed
from benchmarks.records.side_by_side import compared, middle, timed
from featurekit.backbones.folder import bundled_configs
from featurekit.backbones.latent_model import LatentModel
from featurekit.backbones.unet import sd

TIMESTEP = 261
COLUMNS = (
    "one forward",
    {"title": "CPU ms", "format": ",.1f"},
    "compiled / eager, by CPU time (least to greatest)",
    {"title": "ms by the wall", "format": ",.1f"},
    "compiled / eager, by the wall",
    "greatest change of the answer",
)


def main(words: Sequence[str] | None = None) -> None:
    """Time both.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--calls", type=int, default=5, help="of a way in a round")
    parser.add_argument("--cells", type=int, default=16, help="side of a latent")
    parser.add_argument("--sd", action="store_true")
    parser.add_argument("--device", default="cpu")
    recorded_to(parser)
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    make = partial(large, asked.device) if asked.sd else partial(small, asked.device)
    eager, compiled = make(), make().compiled()
    z = torch.randn(1, eager.latent_channels, asked.cells, asked.cells).to(eager.device)
    ways = {
        "eager": call_of(eager, z),
        "compiled": call_of(compiled, z),
        "eager, all blocks read": reading(eager, z),
        "compiled, all blocks read": reading(compiled, z),
    }
    answers = {"eager": ways["eager"]()}
    first = timed(lambda: answers.update(compiled=ways["compiled"]()))
    off = float((answers["compiled"] - answers["eager"]).abs().max())
    calls = {name: partial(waited_for, do) for name, do in ways.items()}
    found = compared(
        f"one forward of {eager.name}, {asked.cells} x {asked.cells} cells, {eager.dtype}",
        {name: partial(timed, do, asked.calls) for name, do in calls.items()},
        rounds=asked.rounds,
        unit="us",
    )
    rows = []
    for name, own in found.items():
        row: list[object] = [name]
        for clock in ("cpu", "wall"):
            beside = found[name.replace("compiled", "eager")]
            row.append(1e3 * getattr(middle(own), clock))
            row.append(spread(ratios(own, beside, clock)) if own is not beside else "")
        rows.append([*row, None])
    rows[1][-1] = f"{off:.1e}"
    compiling = "the first compiled call, which compiles"
    rows.append([compiling, 1e3 * first.cpu, "", 1e3 * first.wall, "", None])
    settings = {"network": eager.name, "cells": asked.cells, "dtype": str(eager.dtype),
                "device": asked.device, "rounds": asked.rounds, "calls_a_round": asked.calls,
                "greatest_change": off}  # fmt: skip
    command = typed("model.compiled", words)
    recorded(asked.record, command, COLUMNS, rows, settings=settings, samples=rounds_of(found))


def small(device: str) -> LatentModel:
    """The embedded model."""
    return fk.load_backbone("embedded", device)


def large(device: str) -> LatentModel:
    """Stable Diffusion 1.5 with random weights."""
    return sd.build("sd15", bundled_configs("sd15"), device=device)


def waited_for(call: Callable[[], torch.Tensor]) -> None:
    """Call, and wait for whatever device it is."""
    float(call().sum())


def call_of(backbone: LatentModel, z: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Make a call of a predictor."""
    return partial(backbone.predictor(backbone.embed("")), z, TIMESTEP)


def reading(backbone: LatentModel, z: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Make a call that reads every block."""
    call, taps = call_of(backbone, z), backbone.addresses(*backbone.taps)

    def read() -> torch.Tensor:
        with fk.capture(backbone.unet, taps):
            return call()

    return read


if __name__ == "__main__":
    main()
