"""``featurekit run plugin=drag``: from a job to pictures, figures and a sentence."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from featurekit.backbones.denoisers import kind_of_denoiser
from featurekit.core.errors import UnknownNameError
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.types import Job, Result
from featurekit.images.io import image_to_pil, write_gif, write_image
from featurekit.images.pictures import before_after
from featurekit.measures.denoising_error import (
    denoising_error,
    has_known_scenes,
    told_unknown,
)
from featurekit_drag.config import DragConfig, warp_settings_of
from featurekit_drag.cost import (
    Cost,
    Pixels,
    cost_of,
    cost_of_warp,
    measured_call,
    measured_pass,
    timed_call,
    with_pixels,
)
from featurekit_drag.engine.drag import Drag
from featurekit_drag.engine.edit import Edit, Editor
from featurekit_drag.engine.preparation import INVERSION, LORA
from featurekit_drag.engine.request import Stage
from featurekit_drag.inputs import is_own, subject_of
from featurekit_drag.metrics.scores import CONTROLS, scores
from featurekit_drag.of_model import completed
from featurekit_drag.tasks.animation import animation
from featurekit_drag.tasks.evaluate import evaluate
from featurekit_drag.tasks.evaluate_dataset import evaluate_dataset
from featurekit_drag.tasks.setup import drag_of, judge_of
from featurekit_drag.tasks.summary import ended, summary
from featurekit_drag.tasks.working_edit import edited
from featurekit_drag.working_size import Work, screen_of, work_on

FRAME_MS = 250
LAST_FRAME_TIMES = 4  # the result stays a second before the animation begins again


class Make(Protocol):
    """Makes an edit with an engine: at once, or as a person lets it go on."""

    def __call__(self, editor: Editor, work: Work, /, *, stage: Stage) -> Edit:
        """Edit what is worked on."""
        ...


def run(job: Job, make: Make = edited) -> Result:
    """Do the job's task.

    Args:
        job: what is asked.
        make: makes the edit of ``task=edit``.

    Raises:
        UnknownNameError: neither ``edit`` nor ``evaluate``.
    """
    job = replace(job, settings=completed(job.settings, job.backbone))
    tasks: dict[str, Callable[[Job], Result]] = {"edit": edit, "evaluate": evaluate}
    if job.task == "evaluate" and job.settings.dataset is not None:
        return evaluate_dataset(job)
    if job.task not in tasks:
        raise UnknownNameError("task of plugin drag", job.task, tasks)
    return edit(job, make) if job.task == "edit" else tasks[job.task](job)


def edit(job: Job, make: Make = edited) -> Result:
    """Drag one image, or the bundled scene, and show and measure what became of it."""
    config: DragConfig = job.settings
    drag, work = drag_of(job), work_on(subject_of(job), config.side_px or 0)
    unknown = _unknown(job, work)
    _tell(job, work, drag, unknown)
    with tells_how_to_go_on(lambda: _going_on(drag, work)):
        done = make(drag, work, stage=job.stage)
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
        "ended": done.stop.name.lower(),
        "arrived": sum(point["reached"] for point in points),
        "updates": len(done.trace),
        "loss": list(done.trace),
        "lora_loss": list(done.lora_losses),
        "work": work.record(),
        "plan": dict(done.facts),
    }
    if subject.truth is not None:
        metrics["truth"] = {name: row for name, row in table.items() if name not in CONTROLS}
    return Result(
        stop=ended(done.stop, points),
        metrics=metrics,
        outputs=_pictures(job, work, done, points),
        summary=summary(subject, done, points, table, unknown),
        schedule=done.schedule or drag.schedule.told,
    )


def _going_on(drag: Editor, work: Work) -> str:
    """Say what a stopped drag leaves to the next one."""
    left = [name for name, slot in drag.kept(work.part.request).items() if slot.is_held]
    return f"the same command goes on from the {' and the '.join(left)}, kept" if left else ""


def _unknown(job: Job, work: Work) -> str:
    """What to say where the embedded model meets a picture unlike those of its training."""
    if not has_known_scenes(job.backbone) or not is_own(job):
        return ""
    return told_unknown([denoising_error(job.backbone, work.part.request.image)])


def _tell(job: Job, work: Work, drag: Editor, unknown: str) -> None:
    """Say before the work what is done to the picture, and what that costs."""
    for line in (work.told(job.backbone), unknown, str(_cost(job, work, drag))):
        if line:
            job.say(line)


def _cost(job: Job, work: Work, drag: Editor) -> Cost:
    config: DragConfig = job.settings
    pictures = 1 + config.candidates * (config.candidates > 1 and not isinstance(drag, Drag))
    size = work.full.request.image[0, 0].numel()
    pixels = Pixels(size, pictures, config.animation_frames, measured_pass())
    return with_pixels(_cost_of_network(job, work, drag), pixels)


def _cost_of_network(job: Job, work: Work, drag: Editor) -> Cost:
    request = work.part.request
    if not isinstance(drag, Drag):
        measure = measured_call if kind_of_denoiser(job.backbone) == "unet" else timed_call
        call = measure(job.backbone, request.image)
        return cost_of_warp(call, job.backbone, warp_settings_of(job.settings))
    call = measured_call(job.backbone, request.image)
    held = {name: slot.is_held for name, slot in drag.kept(request).items()}
    lora = replace(drag.lora, steps=0) if held[LORA] else drag.lora
    longest = float(request.points.lengths.max())
    return cost_of(
        call, job.backbone, drag.settings, lora, inverted=held[INVERSION], longest_px=longest
    )


def _pictures(job: Job, work: Work, done: Edit, points: list[dict[str, Any]]) -> Mapping[str, Path]:
    subject = work.full
    request, moves = subject.request, subject.request.points.rows
    ends = [point["reached_px"] for point in points]
    shown = image_to_pil(done.image)
    outputs = {
        "edit": write_image(shown, job.out / "edit.png"),
        "before_after": write_image(
            before_after(request.image, shown, moves, ends, subject.truth, request.mask),
            job.out / "before_after.png",
        ),
    }
    for number in range(len(done.candidates)):  # of which one at a time is held
        name = f"candidate_{number + 1}"
        outputs[name] = write_image(done.candidates[number], job.out / f"{name}.png")
    if done.frames:
        screen = screen_of(request.image)
        frames = animation(
            [screen.take(request.image), *(frame.image for frame in done.frames)],
            moves,
            [request.points.handles.tolist(), *(s.handles.tolist() for s in done.frames)],
            points,
            screen,
        )
        frames += frames[-1:] * LAST_FRAME_TIMES
        outputs["animation"] = write_gif(frames, job.out / "animation.gif", FRAME_MS)
    return outputs
