"""What compiled blocks save: a forward of the embedded UNet, eager and compiled, in one run.

python benchmarks/compiled.py            # with --cells 32 for larger latents

One thread on a CPU, no gradient. The first call, which compiles, is told apart.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

import torch
from side_by_side import compared, timed

import featurekit as fk
from featurekit.backbones.latent_model import LatentModel

TIMESTEP = 261


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
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    eager = fk.load_backbone("embedded", device="cpu")
    compiled = fk.load_backbone("embedded", device="cpu").compiled()
    z = torch.randn(1, eager.latent_channels, asked.cells, asked.cells)
    ways = {
        "eager": call_of(eager, z),
        "compiled": call_of(compiled, z),
        "eager, all blocks read": reading(eager, z),
        "compiled, all blocks read": reading(compiled, z),
    }
    began = perf_counter()
    off = (ways["compiled"]() - ways["eager"]()).abs().max()
    print(f"the first compiled call took {perf_counter() - began:.0f} s, greatest change {off:.1e}")
    found = compared(
        f"one forward of the embedded UNet, {asked.cells} x {asked.cells} cells",
        {name: partial(timed, do, asked.calls) for name, do in ways.items()},
        rounds=asked.rounds,
        unit="us",
    )
    for one, other in (("compiled", "eager"), tuple(ways)[3:1:-1]):
        ratios = sorted(a.cpu / b.cpu for a, b in zip(found[one], found[other], strict=True))
        middle = ratios[len(ratios) // 2]
        print(f"  {one} / {other}: {middle:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f}) of CPU")


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
