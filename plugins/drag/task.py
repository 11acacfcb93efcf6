"""``featurekit run plugin=drag``: from a job to pictures, figures and a sentence."""

from featurekit.errors import UnknownNameError
from featurekit.io import image_to_pil, write_gif, write_image
from featurekit.pictures import before_after, way_frames
from featurekit.types import Job, Result, Stop
from featurekit_drag.edit import Edit
from featurekit_drag.engine import drag_of, judge_of
from featurekit_drag.evaluate import evaluate
from featurekit_drag.score import scores
from featurekit_drag.subject import Subject, subject_of

FRAME_MS = 250
ADVICE = {
    Stop.MAX_UPDATES: "raise plugin.updates, or drag in two shorter pieces",
    Stop.DIVERGED: "lower plugin.learning_rate",
    Stop.REACHED: "the features arrived but the picture did not: raise plugin.lora_steps, "
    "widen the mask, or choose a more distinctive handle (a corner, an end, an edge)",
    Stop.STALLED: "choose a more distinctive handle, or widen the mask",
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
    metrics = {
        "points": points,
        "controls": {name: table[name] for name in ("noop", "erase", "blur", "shifted_copy")},
        "mask": "everything may move" if subject.request.mask is None else "given",
        "updates": len(done.pulled.trace),
        "loss": list(done.pulled.trace),
        "lora_loss": list(done.lora_losses),
    }
    if subject.truth is not None:
        metrics["truth"] = {name: table[name] for name in ("edit", "truth", "vae_floor")}
    return Result(
        stop=done.pulled.stop.value,
        metrics=metrics,
        outputs=_pictures(job, subject, done, points),
        summary=_summary(subject, done, points),
    )
