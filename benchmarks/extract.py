"""What batching, caching and early exit save, each pair timed side by side in one run.

python benchmarks/extract.py                    # all of it, a few minutes on one core
python benchmarks/extract.py --cells 16 --batch 2 --images 2 --repeats 1 --shape embedded

Networks have random weights: the time does not depend on them. Ratios are of the medians of
alternating runs; above 1, the first of the two is slower. Nothing is downloaded or written.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from featurekit.backbones import load
from featurekit.backbones.unet import sd
from featurekit.diffusion.steps import noised
from featurekit.features.extractor import Extractor, Sample
from featurekit.features.recipes import Recipe
from featurekit.taps.capture import capture

TAP, TIMESTEPS = "up1", (261, 101)


def main(words: Sequence[str] | None = None) -> None:
    """Time every pair and print a line for each.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    asked = _arguments().parse_args(words)
    torch.set_grad_enabled(False)
    small = load("random", device=asked.device)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {small.device}")
    for cells, batch in zip(asked.cells, asked.batch, strict=True):
        _batched_network(small, cells, batch, asked)
        _whole_way(small, cells, batch, asked)
    large = small if asked.shape == "embedded" else sd.from_config(asked.shape, device=asked.device)
    for cells in asked.exit_cells:
        _early_exit(large, cells, asked)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[16, 32], help="side of a latent")
    parser.add_argument(
        "--exit-cells", type=int, nargs="*", default=[16, 32, 64], help="the same of the early exit"
    )
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 8], help="one for each side")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--shape", default="sd15", help="of the early exit: sd15, sd21, embedded")
    parser.add_argument("--device", default="cpu")
    return parser


def _batched_network(
    backbone: sd.StableDiffusion, cells: int, batch: int, asked: argparse.Namespace
) -> None:
    """The bare UNet, row by row and in batches."""
    z = _normal(asked.images, backbone.latent_channels, cells, cells).to(backbone.device)
    predict = backbone.predictor(backbone.embed(""))

    def rows(size: int) -> Callable[[], None]:
        def run() -> None:
            for start in range(0, len(z), size):
                predict(z[start : start + size], TIMESTEPS[0])

        return run

    title = f"bare UNet, {cells}x{cells}, one row : {batch} rows a call"
    _compared(title, rows(1), rows(batch), asked)


def _whole_way(
    backbone: sd.StableDiffusion, cells: int, batch: int, asked: argparse.Namespace
) -> None:
    """Pictures to features: against one at a time, and against encoding and running all anew."""
    side = cells * backbone.stride
    images = [_normal(1, 3, side, side, seed=i).clamp(-1, 1) for i in range(asked.images)]
    samples = [Sample(str(i), image, "a house") for i, image in enumerate(images)]
    recipe = Recipe((TAP,), TIMESTEPS)

    def engine(batch: int) -> Callable[[], object]:
        rows = batch * len(TIMESTEPS)
        return lambda: list(Extractor(backbone, recipe, batch=batch, rows=rows)(samples))

    def naive() -> None:
        for image in images:
            for t in TIMESTEPS:
                z0 = backbone.encode(image)
                predict = backbone.predictor(backbone.embed("a house"))
                z = noised(z0, torch.randn_like(z0), alpha_bar=backbone.noise.level(t))
                with capture(backbone.unet, {TAP: backbone.taps[TAP].path}):
                    predict(z, t)

    size = f"{cells}x{cells}, {TAP} at {len(TIMESTEPS)} timesteps"
    _compared(f"engine, {size}, batch 1 : {batch}", engine(1), engine(batch), asked)
    _compared(f"full forward, all encoded anew : engine, {size}", naive, engine(batch), asked)


def _early_exit(backbone: sd.StableDiffusion, cells: int, asked: argparse.Namespace) -> None:
    """One row, whole and left after the tap."""
    z = _normal(1, backbone.latent_channels, cells, cells).to(backbone.device)
    predict = backbone.predictor(backbone.embed(""))
    taps = {TAP: backbone.taps[TAP].path}

    def left() -> None:
        with capture(backbone.unet, taps, stop_after=True):
            predict(z, TIMESTEPS[0])

    title = f"{backbone.name}, {cells}x{cells}, full forward : left after {TAP}"
    _compared(title, lambda: predict(z, TIMESTEPS[0]), left, asked)


def _compared(
    title: str,
    first: Callable[[], object],
    second: Callable[[], object],
    asked: argparse.Namespace,
) -> None:
    """Time two ways in turns, after one untimed run of each."""
    first(), second()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(asked.repeats):
        for one, found in zip((first, second), times, strict=True):
            _finished(asked.device)
            start = time.perf_counter()
            one()
            _finished(asked.device)
            found.append(time.perf_counter() - start)
    slow, fast = map(median, times)
    print(f"{title:<72}  {slow:8.3f} s : {fast:8.3f} s = {slow / fast:.2f}", flush=True)


def _finished(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


if __name__ == "__main__":
    main()
