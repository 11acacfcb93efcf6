"""What compiled blocks save: a forward of the embedded UNet, eager and compiled, in one run.

python benchmarks/compiled.py            # with --cells 32 for larger latents
python benchmarks/compiled.py --sd --device cuda --cells 64   # of Stable Diffusion 1.5's shape

One thread on a CPU, no gradient. The first call, which compiles, is told apart.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

import torch
from side_by_side import compared, timed

import featurekit as fk
from featurekit.backbones.folder import bundled_configs
from featurekit.backbones.latent_model import LatentModel
from featurekit.backbones.unet import sd

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
    parser.add_argument("--sd", action="store_true")
    parser.add_argument("--device", default="cpu")
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
    began = perf_counter()
    off = (ways["compiled"]() - ways["eager"]()).abs().max()
    print(f"the first compiled call took {perf_counter() - began:.0f} s, greatest change {off:.1e}")
    ways = {name: partial(waited_for, do) for name, do in ways.items()}
    found = compared(
        f"one forward of {eager.name}, {asked.cells} x {asked.cells} cells, {eager.dtype}",
        {name: partial(timed, do, asked.calls) for name, do in ways.items()},
        rounds=asked.rounds,
        unit="us",
    )
    for one, other in (("compiled", "eager"), tuple(ways)[3:1:-1]):
        pairs = list(zip(found[one], found[other], strict=True))
        for of in ("cpu", "wall"):
            ratios = sorted(getattr(a, of) / getattr(b, of) for a, b in pairs)
            middle = ratios[len(ratios) // 2]
            print(f"  {one} / {other}: {middle:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f}) of {of}")


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
