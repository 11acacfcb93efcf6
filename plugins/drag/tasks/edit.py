"""``featurekit run plugin=drag``: from a job to pictures, figures and a sentence."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from featurekit.core.errors import UnknownNameError
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.types import Job, Result
from featurekit.images.io import write_gif, write_image
from featurekit.images.pictures import before_after
from featurekit.measures.denoising_error import EMBEDDED_KNOWS, denoising_error
from featurekit_drag.config import DragConfig
from featurekit_drag.cost import cost_of, measured_call
from featurekit_drag.engine.drag import Drag, Edit
from featurekit_drag.inputs import is_own, subject_of
from featurekit_drag.metrics.scores import CONTROLS, scores
from featurekit_drag.tasks.animation import animation
from featurekit_drag.tasks.evaluate import evaluate
from featurekit_drag.tasks.evaluate_dataset import evaluate_dataset
from featurekit_drag.tasks.setup import drag_of, judge_of
from featurekit_drag.tasks.summary import ended, summary
from featurekit_drag.working_size import Work, work_on

FRAME_MS = 250
LAST_FRAME_TIMES = 4  # the result stays a second before the animation begins again


def run(job: Job) -> Result:
    """Do the job's task.

    Raises:
        UnknownNameError: neither ``edit`` nor ``evaluate``.
    """
    tasks = {"edit": edit, "evaluate": evaluate}
    if job.task == "evaluate" and job.settings.dataset is not None:
        return evaluate_dataset(job)
    if job.task not in tasks:
        raise UnknownNameError("task of plugin drag", job.task, tasks)
    return tasks[job.task](job)


def edit(job: Job) -> Result:
    """Drag one image, or the bundled scene, and show and measure what became of it."""
    config: DragConfig = job.settings
    drag, work = drag_of(job), work_on(subject_of(job), config.side_px)
    unknown = _unknown(job, work)
    _tell(job, work, drag, unknown)
    with tells_how_to_go_on(lambda: _going_on(drag, work)):
        done = _pasted(drag(work.part.request, stage=job.stage), work, drag)
    with job.stage("judging") as progress:
        judge = judge_of(job, work.part)
        dragged = work.seen(done.image)
        points = work.points_report(judge.report(dragged))
        stages = {name: work.seen(one) for name, one in done.stages.items()}
        table = work.scores_report(scores(dragged, work.part, judge, stages))
        progress(1, 1)
    subject = work.full
    mask = subject.request.mask
    metrics = {
        "points": points,
        "judged_by": "the source" if subject.truth is None else "the truth",
        "controls": {name: row for name, row in table.items() if name in CONTROLS},
        "mask": "everything may move" if mask is None else "given",
        "may_move": 1.0 if mask is None else float(mask.mean()),
        "ended": done.dragged.stop.name.lower(),
        "arrived": sum(point["reached"] for point in points),
        "updates": len(done.dragged.trace),
        "loss": list(done.dragged.trace),
        "lora_loss": list(done.lora_losses),
        "work": work.record(),
    }
    if subject.truth is not None:
        metrics["truth"] = {name: row for name, row in table.items() if name not in CONTROLS}
    return Result(
        stop=ended(done.dragged.stop, points),
        metrics=metrics,
        outputs=_pictures(job, work, done, points),
        summary=summary(subject, done, points, table, unknown),
        schedule=drag.schedule.told,
    )


def _going_on(drag: Drag, work: Work) -> str:
    """Say what a stopped drag leaves to the next one."""
    fitted, inverted = drag.prepare.at_hand(work.part.request)
    left = [name for name, kept in (("LoRA", fitted), ("inversion", inverted)) if kept]
    return f"the same command goes on from the {' and the '.join(left)}, kept" if left else ""


def _unknown(job: Job, work: Work) -> str:
    """What to say where the embedded model meets a picture unlike those of its training."""
    if job.backbone.name != "embedded" or not is_own(job):
        return ""
    error = denoising_error(job.backbone, work.part.request.image)
    if error < EMBEDDED_KNOWS:
        return ""
    return (
        f"the embedded model knows simple painted scenes and does not know this picture (it misses "
        f"{error:.0%} of the noise in it, of its own scenes 3% to 12%); for photographs use "
        f"backbone=sd15, sd21 or sdxl"
    )


def _tell(job: Job, work: Work, drag: Drag, unknown: str) -> None:
    """Say before the work what is done to the picture, and what that costs."""
    call = measured_call(job.backbone, work.part.request.image)
    fitted, inverted = drag.prepare.at_hand(work.part.request)
    lora = replace(drag.lora, steps=0) if fitted else drag.lora
    longest = float(work.part.request.points.lengths.max())
    cost = cost_of(call, job.backbone, drag.settings, lora, inverted=inverted, longest_px=longest)
    for line in (work.told(job.backbone), unknown, str(cost)):
        if line:
            job.say(line)


def _pasted(done: Edit, work: Work, drag: Drag) -> Edit:
    """Bring every picture of an edit back to full size, and the tracker's points with them."""
    if work.is_whole:
        return done
    frames = tuple(
        replace(
            frame,
            image=work.pasted(frame.image, drag.settings),
            handles=work.window.points_to_picture(frame.handles),
        )
        for frame in done.frames
    )
    stages = {name: work.pasted(one, drag.settings) for name, one in done.stages.items()}
    return replace(done, image=work.pasted(done.image, drag.settings), frames=frames, stages=stages)


def _pictures(job: Job, work: Work, done: Edit, points: list[dict[str, Any]]) -> Mapping[str, Path]:
    subject = work.full
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
        frames = animation(
            [request.image, *(frame.image for frame in done.frames)],
            moves,
            [request.points.handles.tolist(), *(s.handles.tolist() for s in done.frames)],
            points,
        )
        frames += frames[-1:] * LAST_FRAME_TIMES
        outputs["animation"] = write_gif(frames, job.out / "animation.gif", FRAME_MS)
    return outputs
