"""What a person is told of a drag: how far each handle came, what ended it, what to try."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from featurekit.core.types import Stop
from featurekit_drag.engine.edit import Edit
from featurekit_drag.engine.masks import may_change_at
from featurekit_drag.inputs import Subject
from featurekit_drag.metrics.scores import CONTROLS

ADVICE = {
    Stop.MAX_UPDATES: "raise plugin.updates, or drag in two shorter pieces",
    Stop.DIVERGED: "lower plugin.learning_rate",
    Stop.STALLED: "raise plugin.patience, or choose a more distinctive handle",
    Stop.DONE: "add plugin.supervision=anchored plugin.tracking=nearest, "
    "or drag in two shorter pieces",
    Stop.REACHED: "the features arrived but the picture did not: raise plugin.lora_steps, "
    "widen the mask, or choose a more distinctive handle (a corner, an end, an edge)",
}
OF_A_PLAN = (
    "plugin.mode=move or plugin.mode=reshape, pins on what must stay (plugin.pins=[[x,y]]), a mask "
    "around one thing, or plugin.regions=[[mask.png,dx,dy]] with the thing itself brushed"
)
TRACKER_ARRIVED = "the tracker saw every handle at its target"  # which the judges need not do
NEARER_PX = 0.5  # by which a control has to beat the edit to be named


def summary(
    subject: Subject,
    done: Edit,
    points: Sequence[Mapping[str, Any]],
    table: Mapping[str, Mapping[str, Any]],
    unknown: str = "",
) -> str:
    """Say how far each handle came by the judges and, where it fell short, what to try.

    Args:
        subject: the picture, and what was asked.
        done: what the engine made of it.
        points: the judges' report, px of the picture.
        table: ``scores`` of the edit and its controls, likewise.
        unknown: what is to be said where the model does not know such pictures.
    """
    lengths = subject.request.points.lengths.tolist()
    lines = [
        f"drag {number}: {_came(point, length)}"
        for number, (point, length) in enumerate(zip(points, lengths, strict=True), start=1)
    ]
    lines += done.remarks
    mask = subject.request.mask
    if mask is None and done.dragged is None:
        lines.append("no mask: what is near the drag may change; plugin.mask=FILE says what may")
    elif mask is None:
        lines.append("no mask: everything may move; give plugin.mask=FILE to hold the rest still")
    else:
        lines.append(f"mask: {float(mask.mean()):.1%} of the picture may move{_beyond(subject)}")
    lines += _beaten(table)
    if unknown:
        lines.append(unknown)
    elif not all(point["reached"] for point in points):
        lines.append(f"to try: {OF_A_PLAN if done.dragged is None else ADVICE[done.stop]}")
    return "\n".join(lines)


def _beyond(subject: Subject) -> str:
    """Name the drags that lead out of the mask."""
    mask, targets = subject.request.mask, subject.request.points.targets.tolist()
    if mask is None or subject.request.regions:
        return ""
    held = [str(n) for n, xy in enumerate(targets, start=1) if not may_change_at(mask, *xy)]
    if not held:
        return ""
    drags = f"drag {held[0]} ends" if len(held) == 1 else f"drags {', '.join(held)} end"
    return f"; {drags} outside, where nothing changes: paint the mask over where it should arrive"


def ended(stop: Stop, points: Sequence[Mapping[str, Any]]) -> str:
    """Say why the updates ended, and by the judges how many handles arrived."""
    why = TRACKER_ARRIVED if stop is Stop.REACHED else stop.value
    came = sum(point["reached"] for point in points)
    total = len(points)
    many = {0: "no handle", total: "every handle" if total > 1 else "the handle"}
    return f"by the judges {many.get(came, f'{came} of {total} handles')} arrived; {why}"


def _beaten(table: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Name the controls that came nearer than the edit, by both judges' mean."""
    left = {name: fmean(row["error_px"].values()) for name, row in table.items()}
    better = [
        f"{name} ({px:.1f} px left)"
        for name, px in left.items()
        if name in CONTROLS and px < left["edit"] - NEARER_PX
    ]
    if not better:
        return []
    return [
        f"without any model, by the same judges, {' and '.join(better)} came nearer than this edit "
        f"({left['edit']:.1f} px left)"
    ]


def _came(point: Mapping[str, Any], length: float) -> str:
    left = point["final_px_error"]
    if point["reached"]:
        return f"reached its target, {left:.1f} px off after a move of {length:.1f} px"
    return f"fell short, {left:.1f} px from its target, which was {length:.1f} px away"
