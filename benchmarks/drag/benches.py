"""What ``featurekit bench sd-shape`` and ``bench drag-preview`` time, in turns, as tables.

python -m benchmarks.drag.benches sd-shape                    # some minutes, 6 GiB of memory
python -m benchmarks.drag.benches drag-preview                # a minute
python -m benchmarks.drag.benches sd-shape --side 128 --repeats 1
python -m benchmarks.drag.benches drag-preview --repeats 1

The same as those commands do, with one thread, repeated, every way in every repeat. Of sd-shape
the work of an update is counted besides, in forwards of one row; memory is the most that this
process had held when a way had run for the first time.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial

import torch

from benchmarks.records.recording import ratios, recorded, recorded_to, rounds_of, spread, typed
from benchmarks.records.side_by_side import Seconds, flops, middle, peak_mib, timed
from featurekit.backbones.unet.sd import from_config
from featurekit.diffusion.backbone import Backbone
from featurekit_drag.tasks.bench_preview import (
    BUDGET_MS,
    Previewed,
    asked_of,
    kinds_of,
    plain_ms,
    previewed,
)
from featurekit_drag.tasks.bench_update import updates_of

LOOKS = {"early exit (no mask, or `outside=hard`)": False, "whole network (mask term)": True}
TIMESTEP = 681
UPDATE = (
    "look",
    {"title": "CPU s an update", "format": ".2f"},
    "ratio to the first (least to greatest)",
    {"title": "s an update by the wall", "format": ".2f"},
    {"title": "counted work, forwards", "format": ".2f"},
    {"title": "most memory of the process, GiB", "format": ".1f"},
)
PREVIEW = (
    "one preview",
    {"title": "of the picture", "format": ".0%"},
    "prepared once, CPU ms, median (least to greatest)",
    "then each, CPU ms",
    "to reach, at most",
)


def main(words: Sequence[str] | None = None) -> None:
    """Time one of the two benches.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("sd-shape", "drag-preview"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", type=int, help="px of the picture; 256, of a preview 512")
    parser.add_argument("--side-px", type=int, default=256, help="of a preview: units of its plan")
    parser.add_argument("--backbone", default="sd15", help="of sd-shape")
    recorded_to(parser)
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    {"sd-shape": updates, "drag-preview": previews}[asked.what](asked, words)


def updates(asked: argparse.Namespace, words: Sequence[str] | None) -> None:
    """Time one drag update without and with the mask term, and count its work."""
    side = asked.side or 256
    backbone = from_config(asked.backbone, device="cpu", dtype=torch.float32, seed=0)
    ways = {name: updates_of(backbone, side, priced=priced) for name, priced in LOOKS.items()}
    found: dict[str, list[Seconds]] = {name: [] for name in ways}
    held: dict[str, float] = {}
    for name, run in ways.items():
        run(1)  # the first touch of memory is slow
        held[name] = peak_mib() / 1024
    for number in range(asked.repeats):
        for name in ways if number % 2 == 0 else reversed(ways):
            found[name].append(of_one(ways[name]))
    unit = forward_work(backbone, side)
    first = next(iter(found.values()))
    rows = []
    for name, run in ways.items():
        seconds, own = middle(found[name]), spread(ratios(found[name], first))
        work = (flops(partial(run, 1)) - flops(partial(run, 0))) / unit
        rows.append([name, seconds.cpu, own, seconds.wall, work, held[name]])
        print(*rows[-1], flush=True)
    settings = {"shape": asked.backbone, "weights": "random", "side_px": side, "device": "cpu",
                "dtype": "float32", "repeats": asked.repeats, "forward_flop": unit}  # fmt: skip
    command = typed("drag.benches", words)
    recorded(asked.record, command, UPDATE, rows, settings=settings, samples=rounds_of(found))


def of_one(run: Callable[[int], object]) -> Seconds:
    """Seconds of one update: of two in a run, less what the run takes with none."""
    none, two = timed(partial(run, 0)), timed(partial(run, 2))
    return Seconds((two.wall - none.wall) / 2, (two.cpu - none.cpu) / 2)


def forward_work(backbone: Backbone, side: int) -> int:
    """Counted operations of a forward of one row."""
    cells = side // backbone.stride
    z = torch.zeros(1, backbone.latent_channels, cells, cells)
    with torch.no_grad():
        predict = backbone.predictor(backbone.embed(""))
        return flops(partial(predict, z, TIMESTEP))


def previews(asked: argparse.Namespace, words: Sequence[str] | None) -> None:
    """Time previews of every kind, and plain readings of the same texture."""
    side = asked.side or 512
    request, planner = asked_of(0, side, asked.side_px)
    found: dict[str, list[Previewed]] = {}
    for _ in range(asked.repeats):
        for name, mode, one in kinds_of(request):
            found.setdefault(name, []).append(previewed(planner, one, mode, side))
        for mode in ("bilinear", "bicubic"):
            plain = Previewed(1.0, 0.0, plain_ms(request, mode))
            found.setdefault(f"torch `grid_sample`, {mode}", []).append(plain)
    rows = []
    for name, own in found.items():
        prepared = [1000 * one.prepared_s for one in own]
        once = spread(prepared, ".0f") if any(prepared) else ""
        each = spread([one.each_ms for one in own], ".1f")
        rows.append([name, own[0].share, once, each, f"{BUDGET_MS}" if once else ""])
    settings = {"side_px": side, "units": planner.grid.width, "repeats": asked.repeats,
                "scene": "first held-out translation", "backbone": "embedded"}  # fmt: skip
    samples = {name: [one._asdict() for one in own] for name, own in found.items()}
    command = typed("drag.benches", words)
    recorded(asked.record, command, PREVIEW, rows, settings=settings, samples=samples)


if __name__ == "__main__":
    main()
