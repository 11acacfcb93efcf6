"""``task=distil``: from a style to a small network that draws the same in milliseconds."""

import json
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import sha256_of
from featurekit.core.types import Job, Result
from featurekit.images.folders import pictures_in
from featurekit.images.io import write_image
from featurekit.images.pictures import contact_sheet, curve
from featurekit_sketch.bundled_styles import style_file
from featurekit_sketch.config import SketchConfig, tiling_of
from featurekit_sketch.distillation.export import exported_program, write_onnx, write_program
from featurekit_sketch.distillation.filtering import Sorted, rejects_sheet, sort_out
from featurekit_sketch.distillation.learning import Learnt, StudentLearning, StudentTraining, apart
from featurekit_sketch.distillation.pair_shards import Pairs
from featurekit_sketch.distillation.pairs import Made, make_pairs
from featurekit_sketch.distillation.sources import (
    Pictures,
    photographs,
    sampled,
    scenes_of_the_world,
)
from featurekit_sketch.distillation.student import count_of
from featurekit_sketch.distillation.student_drawer import StudentDrawer
from featurekit_sketch.distillation.student_file import StudentFile, save_student
from featurekit_sketch.output_names import keep_apart
from featurekit_sketch.settings import LINES, WORLD
from featurekit_sketch.tasks.drawers import drawer_of
from featurekit_sketch.tasks.picture_folder import Skipped, report
from featurekit_sketch.tasks.sheets import ink_picture
from featurekit_sketch.training.style_file import Style, digest, load_style
from featurekit_sketch.training.style_training import pictures_of
from featurekit_sketch.watching import ALONE, Watcher

PAIRS, CHECKPOINT = "pairs", "student-training.safetensors"
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
    style_file = style_of(job)
    check_places(job, style_file)
    style = load_style(style_file, job.backbone.name, digest(job.backbone.weights))
    check_lines(style)
    teacher = drawer_of(style, job.backbone, tiling_of(config))
    side_px = working_side(style, config)
    pictures, made_of = _pictures(job, style, side_px), sha256_of(style_file)
    with job.stage("drawing pairs") as progress:
        tiles = [] if style.side_px else [config.tile_px, config.overlap_px]
        key = _condensed([made_of, side_px, pictures.key, *tiles])
        made = make_pairs(pictures, teacher, job.out / PAIRS, key=key, progress=progress)
    found = sort_out(made.pairs)
    learning = StudentLearning(config.student_iterations, side_px=side_px)
    training = StudentTraining(
        pairs=found.kept,
        learning=learning,
        seed=job.seed,
        path=job.out / CHECKPOINT,
        key=_condensed([key, found.kept.names, repr(learning), job.seed]),
        say=job.say,
        watch=watcher.learning,
    )
    with job.stage("learning the student") as progress:
        learnt = training(progress=progress)
    count = len(learnt.losses)
    student = StudentFile(learnt.student, made_of, style.side_px, len(found.kept), count)
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
            filter(None, _lines(found, learnt, seconds, [report(skipped), pictures.told]))
        ),
        skipped=tuple(f"{one.path.name}: {one.reason}" for one in skipped),
        schedule=teacher.told,
    )


def style_of(job: Job) -> Path:
    """The file of the style; a backbone is not needed.

    Raises:
        ConfigError: none is given.
    """
    if job.settings.style is None:
        raise ConfigError(
            "task=distil needs the style that a student is to draw in, got none; give "
            "plugin.style=FILE, the style.safetensors that task=train wrote"
        )
    return style_file(job.settings.style)


def check_places(job: Job, style_file: Path) -> None:
    """Refuse an out whose results would replace what is read.

    Raises:
        ConfigError: one of them would.
        ImageError: there is no such folder of pictures.
    """
    given = [style_file]
    if job.image is not None:
        listing = pictures_in(Path(job.image).expanduser())
        given += [*listing.pictures, *listing.unreadable]
    names = (STUDENT, GRAPH, PROGRAM, SHEET, CURVE, REJECTS, CHECKPOINT)
    keep_apart(given, [job.out / name for name in names])


def check_lines(style: Style) -> None:
    """Refuse a style that a student could not learn.

    Raises:
        ConfigError: it draws colours or greys.
    """
    if style.made_of != LINES or style.ink_channels != 1:
        raise ConfigError(
            f"a student learns to draw lines, but the style draws {style.made_of} in "
            f"{style.ink_channels} channels; draw with the style itself, by task=extract"
        )


def working_side(style: Style, config: SketchConfig) -> int:
    """Side of a square picture of a pair, px."""
    return style.side_px or config.tile_px


def _pictures(job: Job, style: Style, side_px: int) -> Pictures:
    """What a student learns from: the user's photographs, the world, or the model's pictures."""
    config: SketchConfig = job.settings
    if job.image is not None:
        return photographs(Path(job.image).expanduser(), side_px=side_px)
    if config.pairs_of == WORLD:
        return scenes_of_the_world(config.pairs, side_px=side_px)
    sampler = pictures_of(job, count=config.pairs)
    samples = sampler(style.prompt, job.out / "samples", job.stage)
    key = sampler.key(job.backbone.embed(style.prompt))
    return sampled(samples, job.backbone, side_px=side_px, key=key)


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


def _condensed(facts: Sequence[object]) -> str:
    return sha256(json.dumps(facts).encode()).hexdigest()[:16]
