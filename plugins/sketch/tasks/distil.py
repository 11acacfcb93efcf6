"""``task=distil``: from a style to a small network that draws the same in milliseconds."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from featurekit.core.types import Job, Progress, Result
from featurekit.images.io import write_image
from featurekit.images.pictures import contact_sheet, curve
from featurekit.scale.inputs import pictures_of as listed
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.distillation.export import exported_program, write_onnx, write_program
from featurekit_sketch.distillation.filtering import Sorted, rejects_sheet, sort_out
from featurekit_sketch.distillation.learning import Learnt, StudentLearning, StudentTraining, apart
from featurekit_sketch.distillation.pair_shards import Pairs
from featurekit_sketch.distillation.pairs import Made, Shards, gathered_pairs
from featurekit_sketch.distillation.student import count_of
from featurekit_sketch.distillation.student_drawer import StudentDrawer
from featurekit_sketch.distillation.student_file import StudentFile, save_student
from featurekit_sketch.output_names import keep_apart
from featurekit_sketch.settings import SAMPLED
from featurekit_sketch.tasks.picture_folder import Skipped, files_of, report
from featurekit_sketch.tasks.sheets import ink_picture
from featurekit_sketch.tasks.teaching import (
    PAIRS,
    Teaching,
    condensed,
    drawn_share,
    sampled_share,
    style_of,
    teaching_of,
)
from featurekit_sketch.watching import ALONE, Watcher

CHECKPOINT = "student-training.safetensors"
STUDENT, GRAPH, PROGRAM = "student.safetensors", "student.onnx", "student.pt2"
SHEET, CURVE, REJECTS = "sheet.png", "curve.png", "rejects.png"
SHOWN = 8  # pairs on the sheet


def distil(job: Job, watcher: Watcher = ALONE) -> Result:
    """Let a style draw many pictures, and teach a student to draw them likewise.

    What is finished stays in ``out``: the same command with the same ``out`` goes on from there,
    and draws only the pictures that are new.

    Args:
        job: what is to be learnt.
        watcher: who looks on.

    Raises:
        ConfigError: no style is given, it draws no lines, or ``out`` has pairs of another one.
        ImageError: there is no picture that can be read.
        OutputError: a file cannot be written; the pairs before it stay.
    """
    config: SketchConfig = job.settings
    check_places(job, style_of(job))
    teaching, made = _taught(job)
    style, teacher, side_px = teaching.style, teaching.teacher, teaching.side_px
    found = sort_out(made.pairs)
    learning = StudentLearning(config.student_iterations, side_px=side_px)
    training = StudentTraining(
        pairs=found.kept,
        learning=learning,
        seed=job.seed,
        path=job.out / CHECKPOINT,
        key=condensed([teaching.key, found.kept.names, repr(learning), job.seed]),
        say=job.say,
        watch=watcher.learning,
    )
    with job.stage("learning the student") as progress:
        learnt = training(progress=progress)
    count = len(learnt.losses)
    student = StudentFile(learnt.student, teaching.made_of, style.side_px, len(found.kept), count)
    outputs = _written(job, student)
    drawer = StudentDrawer(learnt.student.forward, style.side_px, "by a student, in torch")
    for name, sheet in _sheets(made, found, learnt, drawer).items():
        outputs[Path(name).stem] = write_image(sheet, job.out / name)
    picture = next(iter(found.kept)).picture
    seconds = [_seconds(draw, picture) for draw in (teacher, drawer)]
    skipped = [Skipped(Path(name), reason) for name, reason in made.skipped.items()]
    return Result(
        stop=f"the student is learnt in {count} iterations",
        metrics=_metrics(found, learnt, seconds),
        outputs=outputs,
        summary="\n".join(
            filter(None, _lines(found, learnt, seconds, [report(skipped), teaching.pictures.told]))
        ),
        skipped=tuple(f"{one.path.name}: {one.reason}" for one in skipped),
        schedule=teacher.told,
    )


def _taught(job: Job) -> tuple[Teaching, Made]:
    """Draw what the student learns from; workers are started once for all of it."""
    with job.workers_kept():
        if job.workers is not None and job.image is None and job.settings.pairs_of == SAMPLED:
            with job.stage("sampling pictures") as progress:
                job.shared(sampled_share, progress=progress)
        teaching = teaching_of(job)
        return teaching, _pairs(job, teaching)


def _pairs(job: Job, teaching: Teaching) -> Made:
    """Draw the pairs that are missing, by workers where there are some, and read all."""

    def draw(shards: Shards, told: Progress) -> dict[str, str]:
        at_hand = teaching if job.workers is None else None
        several = job.shared(partial(drawn_share, shards=shards, at_hand=at_hand), progress=told)
        return {name: reason for skipped in several for name, reason in skipped.items()}

    into = job.out / PAIRS
    with job.stage("drawing pairs") as progress:
        return gathered_pairs(
            teaching.pictures, into, key=teaching.key, draw=draw, progress=progress
        )


def check_places(job: Job, style_file: Path) -> None:
    """Refuse an out whose results would replace what is read.

    Raises:
        ConfigError: one of them would.
        ImageError: there is no such folder of pictures.
    """
    given = [style_file]
    if job.image is not None:
        listing = listed(job.image, job.settings.columns)
        given += files_of([*listing.pictures, *listing.unreadable])
    names = (STUDENT, GRAPH, PROGRAM, SHEET, CURVE, REJECTS, CHECKPOINT)
    keep_apart(given, [job.out / name for name in names])


def _written(job: Job, student: StudentFile) -> dict[str, Path]:
    outputs = {"student": save_student(student, job.out / STUDENT)}
    if job.settings.onnx:
        with job.stage("exporting the student"):
            program = exported_program(student)
            outputs["onnx"] = write_onnx(program, student, job.out / GRAPH)
            outputs["program"] = write_program(program, job.out / PROGRAM)
    return outputs


def _sheets(
    made: Made, found: Sorted, learnt: Learnt, drawer: StudentDrawer
) -> dict[str, Image.Image]:
    sheets = {
        SHEET: _aside_sheet(found.kept, drawer),
        CURVE: curve(
            {name: [row[name] for row in learnt.curve] for name in ("ssim", "f1")},
            title="Pairs kept aside, beside the teacher",
            x_label="look",
            y_label="SSIM and F1 of lines",
        ),
    }
    if found.rejected:
        sheets[REJECTS] = rejects_sheet(made.pairs, found.rejected)
    return sheets


def _aside_sheet(kept: Pairs, drawer: StudentDrawer) -> Image.Image:
    """The first pairs that were kept aside, none chosen."""
    _, aside = apart(kept.names)
    rows = {}
    for pair in kept.only(aside[:SHOWN]):
        rows[pair.name] = [pair.picture, ink_picture(pair.ink), ink_picture(drawer(pair.picture))]
    return contact_sheet(rows, ["picture", "teacher", "student"])


def _metrics(found: Sorted, learnt: Learnt, seconds: Sequence[float]) -> dict[str, Any]:
    return {
        "pairs": len(found.kept),
        "rejected": dict(found.rejected),
        "rule": found.rule.told,
        "parameters": count_of(learnt.student),
        "loss": learnt.losses[-1],
        "curve": list(learnt.curve),
        "seconds": dict(zip(("teacher", "student"), seconds, strict=True)),
    }


def _lines(
    found: Sorted, learnt: Learnt, seconds: Sequence[float], others: Sequence[str]
) -> list[str]:
    last = learnt.curve[-1]
    teacher, student = seconds
    return [
        f"drawn like the teacher, on pairs kept aside: SSIM {last['ssim']:.2f}, F1 of lines "
        f"{last['f1']:.2f}, ink {last['ink']:.2f} of the teacher's",
        f"one picture took the teacher {teacher:.2g} s and the student {student:.2g} s",
        found.told,
        *others,
    ]


def _seconds(draw: Callable[[Tensor], Tensor], picture: Tensor) -> float:
    draw(picture)  # the first touch of memory is slow
    began = time.perf_counter()
    draw(picture)
    return time.perf_counter() - began
