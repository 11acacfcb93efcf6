"""Bench: one preview of a drag, beside a plain reading of the same texture."""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from rich.console import Console
from rich.table import Table

from featurekit.backbones import load
from featurekit.scenes import held_out_moves
from featurekit_drag.engine.points import Points
from featurekit_drag.engine.request import Request
from featurekit_drag.engine.settings import WarpSettings
from featurekit_drag.inputs import from_move
from featurekit_drag.plan.preview import Preview
from featurekit_drag.plan.warp_plan import Planner
from featurekit_drag.redraw.warp_drag import WarpDrag

BUDGET_MS = 16  # of a picture, at 60 a second
TURNS = 30


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="featurekit bench drag-preview", description=__doc__)
    parser.add_argument("--scene", type=int, default=0, help="which held-out move")
    parser.add_argument("--side", type=int, default=512, help="of the texture, px")
    parser.add_argument(
        "--side-px",
        type=int,
        default=256,
        help="of what the embedded model sees: its plan has as many units as pixels, "
        "256 are those of Stable Diffusion at 512 px",
    )
    wanted = parser.parse_args(argv)
    for name in ("side", "side_px"):
        if getattr(wanted, name) < 64:
            parser.error(f"--{name.replace('_', '-')} must be at least 64")
    if wanted.scene < 0:
        parser.error("--scene must be at least 0")
    return wanted


def bench(argv: Sequence[str]) -> int:
    """Time previews of each kind on one core; print milliseconds of the processor."""
    wanted = _arguments(argv)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        Console().print(_table(wanted))
    finally:
        torch.set_num_threads(before)
    return 0


def _table(wanted: argparse.Namespace) -> Table:
    request, planner = asked_of(wanted.scene, wanted.side, wanted.side_px)
    table = Table(
        title=f"one preview of {wanted.side} px, {planner.grid.width} units wide, on one core; "
        f"{BUDGET_MS} ms are one of 60 a second"
    )
    for heading in ("what", "of the picture", "prepared once, ms", "ms each"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for name, mode, asked in kinds_of(request):
        seen = previewed(planner, asked, mode, wanted.side)
        row = (f"{seen.share:.0%}", f"{1000 * seen.prepared_s:.0f}", f"{seen.each_ms:.1f}")
        table.add_row(name, *row)
    for mode in ("bilinear", "bicubic"):
        table.add_row(f"torch grid_sample, {mode}", "100%", "", f"{plain_ms(request, mode):.1f}")
    return table


def asked_of(scene: int, side: int, side_px: int) -> tuple[Request, Planner]:
    """Make a held-out move ready for previews.

    Args:
        scene: which one.
        side: of the texture, px.
        side_px: of what the embedded model sees.
    """
    move = held_out_moves(scene + 1, deforms=False)[scene]
    request = from_move(move, size=side, seed=0).request
    editor = WarpDrag(load("embedded"), WarpSettings(side_px=side_px))
    return request, editor.planner(request)


class Previewed(NamedTuple):
    """What previews of one kind take: seconds and milliseconds of the processor."""

    share: float  # of the picture that changes
    prepared_s: float  # once, with the first preview
    each_ms: float  # the median


def previewed(planner: Planner, asked: Request, mode: str, side: int) -> Previewed:
    """Time the first preview of a request, and those on the way to its target."""
    began = time.process_time()
    preview = Preview.of(planner, asked, mode, side)
    preview.laid(asked)
    prepared = time.process_time() - began
    ways = [asked.up_to(0.5 + 0.5 * k / TURNS) for k in range(TURNS)]
    share = float((preview.laid(asked) != preview.plate).any(dim=1).float().mean())
    return Previewed(share, prepared, _median_ms([partial(preview.laid, way) for way in ways]))


def plain_ms(request: Request, mode: str) -> float:
    """Time a plain reading of the whole texture."""
    where = F.affine_grid(torch.eye(2, 3)[None], list(request.image.shape), align_corners=False)
    return _median_ms([partial(_read, request.image, where, mode)] * TURNS)


def kinds_of(request: Request) -> list[tuple[str, str, Request]]:
    """A request for each kind of field: its name, its mode, itself."""
    points = request.points
    across = (points.targets - points.handles).flip(1)[:1] * torch.tensor([1.0, -1.0])
    handles = torch.cat([points.handles[:1], points.handles[:1] + 0.5 * across])
    turned = torch.cat([points.targets[:1], handles[1:] - 0.5 * across])
    return [
        ("move", "move", request),
        ("turn and scale", "move", replace(request, points=Points(handles, turned))),
        ("stretch from a side", "reshape", request),
        ("bend, with a pin", "reshape", replace(request, pins=handles[1:])),
    ]


def _read(image: torch.Tensor, where: torch.Tensor, mode: str) -> torch.Tensor:
    read: torch.Tensor = F.grid_sample(
        image, where, mode=mode, padding_mode="border", align_corners=False
    )
    return read


def _median_ms(turns: Sequence[Callable[[], object]]) -> float:
    seconds = []
    for turn in turns:
        began = time.process_time()
        turn()
        seconds.append(time.process_time() - began)
    return 1000 * sorted(seconds)[len(seconds) // 2]
