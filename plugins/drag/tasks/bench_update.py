"""Bench: one drag update on the full Stable Diffusion 1.5 shape, random weights."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from rich.console import Console
from rich.table import Table

from featurekit.backbones.unet.sd import from_config
from featurekit.diffusion.backbone import Backbone
from featurekit_drag.engine.latent_optimisation import drag_latent
from featurekit_drag.engine.outside.choice import LatentMask
from featurekit_drag.engine.points import read_points, to_units
from featurekit_drag.engine.settings import DragSettings
from featurekit_drag.engine.unet_features import feature_and_step_reader, feature_reader

try:
    import resource
except ModuleNotFoundError:  # on Windows
    resource = None  # type: ignore[assignment]

KILOBYTES_PER_GIB = 1024**2


def _at_least(low: int) -> Callable[[str], int]:
    """Read a whole number that a bench can use."""

    def number(word: str) -> int:
        if int(word) < low:
            raise argparse.ArgumentTypeError(f"must be at least {low}, got {word}")
        return int(word)

    return number


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="featurekit bench sd-shape", description=__doc__)
    parser.add_argument("--side", type=_at_least(64), default=256, help="image side in px")
    parser.add_argument(
        "--updates", type=_at_least(1), default=3, help="updates to take the mean of"
    )
    parser.add_argument("--backbone", default="sd15", help="which published shape")
    return parser.parse_args(argv)


def bench(argv: Sequence[str]) -> int:
    """Time updates with and without the mask term; print seconds and peak memory."""
    wanted = _arguments(argv)
    backbone = from_config(wanted.backbone, device="cpu", dtype=torch.float32, seed=0)
    table = Table(title=f"one drag update, {wanted.backbone} shape, {wanted.side} px, CPU float32")
    for heading in ("features", "seconds per update", "peak memory of the process, GiB"):
        table.add_column(heading, justify="right")
    for name, priced in (("early exit (no mask term)", False), ("whole network (mask term)", True)):
        seconds = _seconds_per_update(backbone, wanted.side, wanted.updates, priced=priced)
        table.add_row(name, f"{seconds:.2f}", _peak_gib())
    Console().print(table)
    return 0


def _peak_gib() -> str:
    """Most memory that this process has held, GiB; unknown where the system does not tell."""
    if resource is None:
        return "unknown"
    unit = 1024 if sys.platform == "darwin" else 1  # macOS counts bytes, Linux kilobytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return f"{peak / KILOBYTES_PER_GIB:.2f}"


def _seconds_per_update(backbone: Backbone, side: int, updates: int, *, priced: bool) -> float:
    run = updates_of(backbone, side, priced=priced)
    run(1)  # the first touch of memory is slow
    start = time.perf_counter()
    run(updates)
    return (time.perf_counter() - start) / updates


def updates_of(backbone: Backbone, side: int, *, priced: bool) -> Callable[[int], object]:
    """Make ready what the bench times.

    Args:
        backbone: of any weights.
        side: of the picture, px.
        priced: whether a mask term asks for the whole network.

    Returns:
        What does so many updates, each time from the same latent.
    """
    settings = DragSettings()
    generator = torch.Generator().manual_seed(0)
    cells = side // backbone.stride
    z = torch.randn(1, backbone.latent_channels, cells, cells, generator=generator)
    predict = backbone.predictor(backbone.embed("a photograph"))
    rows = [[side * 0.3, side * 0.5, side * 0.7, side * 0.5]]
    points = read_points(rows, height=side, width=side)
    stride = backbone.taps[settings.tap].stride
    units = [to_units(xy, stride, snap=True) for xy in (points.handles, points.targets)]
    mask = LatentMask(torch.ones(1, 1, cells, cells)) if priced else None
    read = (feature_and_step_reader if priced else feature_reader)(backbone, settings, predict)

    def run(count: int) -> object:
        rule = replace(settings.rule, updates=count)
        return drag_latent(read, z, (units[0], units[1]), rule=rule, mask=mask)

    return run
