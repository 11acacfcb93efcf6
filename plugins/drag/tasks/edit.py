"""``featurekit run plugin=drag``: from a job to pictures, figures and a sentence."""

from pathlib import Path
from typing import Any

from featurekit.core.errors import UnknownNameError
from featurekit.core.types import Job, Result, Stop
from featurekit.images.io import write_gif, write_image
from featurekit.images.pictures import animation_frames, before_after
from featurekit_drag.engine.dragdiffusion import Edit
from featurekit_drag.inputs import Subject, subject_of
from featurekit_drag.metrics.scores import CONTROLS, scores
from featurekit_drag.tasks.evaluate import evaluate
from featurekit_drag.tasks.setup import drag_of, judge_of

FRAME_MS = 250
LAST_FRAME_TIMES = 4  # the result stays a second before the animation begins again
ADVICE = {
    Stop.MAX_UPDATES: "raise plugin.updates, or drag in two shorter pieces",
    Stop.DIVERGED: "lower plugin.learning_rate",
    Stop.REACHED: "the features arrived but the picture did not: raise plugin.lora_steps, "
    "widen the mask, or choose a more distinctive handle (a corner, an end, an edge)",
}


def run(job: Job) -> Result:
    """Do the job's task.

    Raises:
        UnknownNameError: neither ``edit`` nor ``evaluate``.
    """
    tasks = {"edit": edit, "evaluate": evaluate}
    if job.task not in tasks:
        raise UnknownNameError("task of plugin drag", job.task, tasks)
    return tasks[job.task](job)


def edit(job: Job) -> Result:
    """Drag one image, or the bundled scene, and show and measure what became of it."""
    drag, subject = drag_of(job), subject_of(job)
    done = drag(subject.request, stage=job.stage)
    with job.stage("judging") as progress:
        judge = judge_of(job, subject)
        points = judge.report(done.image)
        table = scores(done.image, subject, judge)
        progress(1, 1)
    mask = subject.request.mask
    metrics = {
        "points": points,
        "controls": {name: row for name, row in table.items() if name in CONTROLS},
        "mask": "everything may move" if mask is None else "given",
        "may_move": 1.0 if mask is None else float(mask.mean()),
        "updates": len(done.dragged.trace),
        "loss": list(done.dragged.trace),
        "lora_loss": list(done.lora_losses),
    }
    if subject.truth is not None:
        metrics["truth"] = {name: row for name, row in table.items() if name not in CONTROLS}
    return Result(
        stop=done.dragged.stop.value,
        metrics=metrics,
        outputs=_pictures(job, subject, done, points),
        summary=_summary(subject, done, points),
    )


def _pictures(
    job: Job, subject: Subject, done: Edit, points: list[dict[str, Any]]
) -> dict[str, Path]:
    request, moves = subject.request, subject.request.points.rows
    ends = [point["reached_px"] for point in points]
    outputs = {
        "edit": write_image(done.image, job.out / "edit.png"),
        "before_after": write_image(
            before_after(request.image, done.image, moves, ends, subject.truth, request.mask),
            job.out / "before_after.png",
        ),
    }
    if done.frames:
        frames = animation_frames(
            [request.image, *(frame.image for frame in done.frames)],
            moves,
            [request.points.handles.tolist(), *(s.handles.tolist() for s in done.frames)],
        )
        frames += frames[-1:] * LAST_FRAME_TIMES
        outputs["animation"] = write_gif(frames, job.out / "animation.gif", FRAME_MS)
    return outputs


def _summary(subject: Subject, done: Edit, points: list[dict[str, Any]]) -> str:
    """Say how far each handle came and, where it fell short, what to try."""
    lengths = subject.request.points.lengths.tolist()
    lines = [
        f"drag {number}: {_came(point, length)}"
        for number, (point, length) in enumerate(zip(points, lengths, strict=True), start=1)
    ]
    mask = subject.request.mask
    if mask is None:
        lines.append("no mask: everything may move; give plugin.mask=FILE to hold the rest still")
    else:
        lines.append(f"mask: {float(mask.mean()):.1%} of the picture may move")
    if not all(point["reached"] for point in points):
        lines.append(f"to try: {ADVICE[done.dragged.stop]}")
    return "\n".join(lines)


def _came(point: dict[str, Any], length: float) -> str:
    left = point["final_px_error"]
    if point["reached"]:
        return f"reached its target, {left:.1f} px off after a move of {length:.1f} px"
    return f"fell short, {left:.1f} px from its target, which was {length:.1f} px away"
