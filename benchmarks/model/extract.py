"""What batching, caching and early exit save, each pair timed side by side in one run.

python -m benchmarks.model.extract                    # all of it, a few minutes on one core
python -m benchmarks.model.extract --cells 16 --batch 2 --images 2 --repeats 1 --shape embedded

Networks have random weights: the time does not depend on them. All but the early exit is of the
embedded model's shape. Ratios are those of alternating runs; above 1, the first of the two is
slower. Nothing is downloaded.
"""

import argparse
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from benchmarks.records.recording import recorded, recorded_to, spread, typed
from benchmarks.records.side_by_side import Seconds, timed
from featurekit.backbones import load
from featurekit.backbones.unet import sd
from featurekit.diffusion.steps import noised
from featurekit.features.extractor import Extractor, Sample
from featurekit.features.recipes import Recipe
from featurekit.taps.capture import capture

TAP, TIMESTEPS = "up1", (261, 101)
COLUMNS = (
    "slower : faster",
    "s by the wall",
    "ratio, median (least to greatest)",
    "CPU s",
    "ratio of CPU s",
    "to reach",
)
REACH = {
    "bare UNet, 16x16 latents, one row a call : 16": "2",
    "bare UNet, 32x32 latents, one row a call : 8": "1.25",
    "full forward with picture and prompt encoded anew : engine, 16x16, 16 at a time": "3",
    "full forward with picture and prompt encoded anew : engine, 32x32, 8 at a time": "3",
    "sd15's shape, 64x64 latents, full forward : left after `up1`": "1.6",
}


def main(words: Sequence[str] | None = None) -> None:
    """Time every pair and print a line for each.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    asked = _arguments().parse_args(words)
    torch.set_grad_enabled(False)
    small = load("random", device=asked.device)
    pairs = Pairs(asked.repeats, asked.device)
    for cells, batch in zip(asked.cells, asked.batch, strict=True):
        _batched_network(small, cells, batch, pairs, asked.images)
        _whole_way(small, cells, batch, pairs, asked.images)
    large = small if asked.shape == "embedded" else sd.from_config(asked.shape, device=asked.device)
    for cells in asked.exit_cells:
        _early_exit(large, cells, pairs)
    settings = {"images": asked.images, "repeats": asked.repeats, "device": asked.device,
                "tap": TAP, "timesteps": TIMESTEPS, "shape_of_early_exit": asked.shape}  # fmt: skip
    command = typed("model.extract", words)
    samples = {
        title: [{"slower": one._asdict(), "faster": other._asdict()} for one, other in turns]
        for title, turns in pairs.found.items()
    }
    recorded(asked.record, command, COLUMNS, pairs.rows(), settings=settings, samples=samples)


class Pairs:
    """Pairs of ways that were timed in turns, by title."""

    def __init__(self, repeats: int, device: str) -> None:
        """Hold none yet."""
        self.repeats, self.device = repeats, device
        self.found: dict[str, list[tuple[Seconds, Seconds]]] = {}

    def timed(self, title: str, first: Callable[[], object], second: Callable[[], object]) -> None:
        """Time two ways in turns, after one untimed run of each."""
        first(), second()
        turns = [(self._seconds(first), self._seconds(second)) for _ in range(self.repeats)]
        self.found[title] = turns
        print(*self.rows()[-1], flush=True)

    def rows(self) -> list[list[object]]:
        """A row for each pair: medians of both, and ratios of the turns."""
        rows: list[list[object]] = []
        for title, turns in self.found.items():
            row: list[object] = [title]
            for clock in ("wall", "cpu"):
                slow = [getattr(one, clock) for one, _ in turns]
                fast = [getattr(one, clock) for _, one in turns]
                row.append(f"{median(slow):.3f} : {median(fast):.3f}")
                row.append(spread([a / b for a, b in zip(slow, fast, strict=True)]))
            rows.append([*row, REACH.get(title, "")])
        return rows

    def _seconds(self, do: Callable[[], object]) -> Seconds:
        def done() -> None:
            do()
            _finished(self.device)

        _finished(self.device)
        return timed(done)


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
    recorded_to(parser)
    return parser


def _batched_network(
    backbone: sd.StableDiffusion, cells: int, batch: int, pairs: Pairs, count: int
) -> None:
    """The bare UNet, row by row and in batches."""
    z = _normal(count, backbone.latent_channels, cells, cells).to(backbone.device)
    predict = backbone.predictor(backbone.embed(""))

    def rows(size: int) -> Callable[[], None]:
        def run() -> None:
            for start in range(0, len(z), size):
                predict(z[start : start + size], TIMESTEPS[0])

        return run

    title = f"bare UNet, {cells}x{cells} latents, one row a call : {batch}"
    pairs.timed(title, rows(1), rows(batch))


def _whole_way(
    backbone: sd.StableDiffusion, cells: int, batch: int, pairs: Pairs, count: int
) -> None:
    """Pictures to features: against one at a time, and against encoding and running all anew."""
    side = cells * backbone.stride
    images = [_normal(1, 3, side, side, seed=i).clamp(-1, 1) for i in range(count)]
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

    size = f"{cells}x{cells}"
    what = f"engine with pictures to encode, {size}, `{TAP}` at {len(TIMESTEPS)} timesteps"
    pairs.timed(f"{what}, one picture at a time : {batch}", engine(1), engine(batch))
    anew = f"full forward with picture and prompt encoded anew : engine, {size}, {batch} at a time"
    pairs.timed(anew, naive, engine(batch))


def _early_exit(backbone: sd.StableDiffusion, cells: int, pairs: Pairs) -> None:
    """One row, whole and left after the tap."""
    z = _normal(1, backbone.latent_channels, cells, cells).to(backbone.device)
    predict = backbone.predictor(backbone.embed(""))
    taps = {TAP: backbone.taps[TAP].path}

    def left() -> None:
        with capture(backbone.unet, taps, stop_after=True):
            predict(z, TIMESTEPS[0])

    title = f"{backbone.name}'s shape, {cells}x{cells} latents, full forward : left after `{TAP}`"
    pairs.timed(title, lambda: predict(z, TIMESTEPS[0]), left)


def _finished(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


if __name__ == "__main__":
    main()
