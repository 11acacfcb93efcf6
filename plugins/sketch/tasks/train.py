"""``featurekit run plugin=sketch``: from a job to a style, sketches, figures and a sentence."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from featurekit.backbones.denoisers import kind_of_denoiser
from featurekit.core.errors import UnknownNameError
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.types import Job, Result
from featurekit.images.io import load_image, write_image
from featurekit.measures.denoising_error import denoising_error, has_known_scenes, told_unknown
from featurekit.scenes import KINDS
from featurekit_sketch.config import SketchConfig, check
from featurekit_sketch.drawer import Drawer
from featurekit_sketch.drawing.read_drawing import overlay
from featurekit_sketch.inputs import (
    PARTS,
    SCENE_KIND,
    Subject,
    lessons_of,
    scene_px,
    style_names,
)
from featurekit_sketch.metrics.held_out import HeldOutDrawings, Row, means
from featurekit_sketch.output_names import free_names, keep_apart
from featurekit_sketch.sampling.chosen_timesteps import PICTURE
from featurekit_sketch.settings import ANALYSED
from featurekit_sketch.tasks.distil import distil
from featurekit_sketch.tasks.evaluate import evaluate
from featurekit_sketch.tasks.extract import extract
from featurekit_sketch.tasks.init import init
from featurekit_sketch.tasks.learning import LearntStyle, Lessons, learn_styles
from featurekit_sketch.tasks.models import check_model
from featurekit_sketch.tasks.sheets import held_out_sheet, loss_curve, pair_sheet, target_sheet
from featurekit_sketch.tasks.unused_settings import check_used
from featurekit_sketch.training.style_file import save_style
from featurekit_sketch.watching import ALONE, Watcher

CONTROLS = "the network on VAE features alone and on a random UNet: see task=evaluate"


def run(job: Job, watcher: Watcher = ALONE) -> Result:
    """Do the job's task.

    Args:
        job: what is to be done.
        watcher: who looks on, where something is learnt or drawn.

    Raises:
        UnknownNameError: no such task.
        ConfigError: a setting is out of range, the task would not use it, or it cannot hold for
            the model.
        BackboneError: the model has no text encoder.
    """
    tasks: dict[str, Callable[[Job], Result]] = {
        "train": partial(train, watcher=watcher),
        "init": init,
        "extract": partial(extract, watcher=watcher),
        "distil": partial(distil, watcher=watcher),
        "evaluate": evaluate,
    }
    if job.task not in tasks:
        raise UnknownNameError("task of plugin sketch", job.task, tasks)
    check(job.settings)
    check_used(job.settings, task=job.task, own=job.image is not None)
    check_model(job)
    if job.task in ("init", "extract"):
        return tasks[job.task](job)
    with tells_how_to_go_on(lambda: f"run the same command with out={job.out} to go on"):
        return tasks[job.task](job)


def train(job: Job, watcher: Watcher = ALONE) -> Result:
    """Learn one style or several, sketch what was not learnt from, and show and measure it."""
    config: SketchConfig = job.settings
    check_places(job)
    targets, lessons = read_targets(config.targets), lessons_of(job)
    unknown = _unknown(job, lessons, targets)
    if unknown:
        job.say(unknown)
    learnt = learn_styles(job, lessons, watcher)
    outputs: dict[str, Path] = {}
    pictures: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    lines: list[str] = []
    for name, style in learnt.items():
        suffix = "" if len(learnt) == 1 else f"_{name}"
        outputs["style" + suffix] = save_style(style.style, job.out / f"{name}.safetensors")
        pictures |= {part + suffix: one for part, one in _shown(lessons[name], style).items()}
        found, said = _told(lessons[name], style)
        metrics |= found if len(learnt) == 1 else {name: found}
        lines += said
        if targets:
            pictures["targets" + suffix] = target_sheet(_targets(job, style.drawer, targets))
        if job.image is None and not config.examples:
            table, pictures["sheet" + suffix] = _examined(job, style.drawer)
            metrics["held_out"] = {config.drawing_style: table}
            lines.append(sentence(table))
            if kind_of_denoiser(job.backbone) == "unet":
                lines.append(CONTROLS)
    lines += [unknown] if unknown else []
    if not targets and "held_out" not in metrics:
        use = f"image=FILE {_use(job, learnt)}"
        lines.append(f"to sketch: featurekit run plugin=sketch task=extract {use}")
    outputs |= {name: write_image(one, job.out / f"{name}.png") for name, one in pictures.items()}
    if config.timesteps == ANALYSED:
        outputs["timesteps"] = job.out / PICTURE
    count = len(next(iter(learnt.values())).trace)
    what = "the style is" if len(learnt) == 1 else f"{len(learnt)} styles are"
    return Result(
        stop=f"{what} learnt in {count} iterations",
        metrics=metrics,
        outputs=outputs,
        summary="\n".join(lines),
        schedule=next(iter(learnt.values())).drawer.told,
    )


def _unknown(job: Job, lessons: Lessons, targets: Mapping[str, Tensor]) -> str:
    """Say how many of the user's pictures the embedded model does not know."""
    config: SketchConfig = job.settings
    if not has_known_scenes(job.backbone):
        return ""
    own = list(targets.values())
    if job.image is not None or config.examples:
        own += {id(one.image): one.image for pairs in lessons.values() for one in pairs}.values()
    once = [one for i, one in enumerate(own) if not any(torch.equal(one, it) for it in own[:i])]
    return told_unknown([denoising_error(job.backbone, image) for image in once])


def _shown(subjects: Sequence[Subject], learnt: LearntStyle) -> dict[str, Image.Image]:
    """Pictures of a training, by the name of the output."""
    found = {
        "pair": pair_sheet([(one.image, one.ink, learnt.drawer(one.image)) for one in subjects]),
        "curve": loss_curve(learnt.trace),
    }
    for number, one in enumerate(subjects):
        if one.mended:
            found["overlay" + (f"_{number}" if number else "")] = overlay(one.image, one.ink)
    return found


def _told(subjects: Sequence[Subject], learnt: LearntStyle) -> tuple[dict[str, Any], list[str]]:
    """What is recorded of a training, and what is said."""
    mended = [what for one in subjects for what in one.mended]
    metrics = {
        **learnt.metrics,
        "iterations": len(learnt.trace),
        "loss": learnt.trace[-1],
        "mended": mended,
    }
    return metrics, [*(f"the drawing was mended: {what}" for what in mended), *learnt.notes]


def check_places(job: Job) -> None:
    """Refuse an out whose results would replace the user's own pictures.

    Raises:
        ConfigError: one of them would be.
    """
    config: SketchConfig = job.settings
    pairs = [name for pair in config.examples for name in pair]
    drawn = (job.image, config.drawing, *config.drawings, *pairs, *config.targets)
    names = style_names(config)
    suffixes = [""] if len(names) == 1 else [f"_{name}" for name in names]
    results = [job.out / f"{name}.safetensors" for name in names]
    results += [job.out / f"{part}{suffix}.png" for part in PARTS for suffix in suffixes]
    given = [name for name in drawn if name]
    keep_apart([Path(name).expanduser() for name in given], results)


def read_targets(names: Sequence[str]) -> dict[str, Tensor]:
    """Read the pictures to sketch after the training, by names of their own.

    Raises:
        ImageError: one cannot be read.
    """
    paths = [Path(name).expanduser() for name in names]
    return {name: load_image(path) for name, path in zip(free_names(paths), paths, strict=True)}


def sentence(table: Mapping[str, Mapping[str, Row]]) -> str:
    """Say how well held-out scenes are sketched, beside the edge map."""
    others = [kind for kind in KINDS if kind != SCENE_KIND]
    parts = []
    for what, kinds in ((f"other {SCENE_KIND}s", [SCENE_KIND]), ("other kinds", others)):
        ours, edges = (means(table[row], kinds)["f1"] for row in ("sketch", "edges"))
        parts.append(f"{what} {ours:.2f} (tuned edge map {edges:.2f})")
    return f"lines of held-out pictures that are right, F1: {', '.join(parts)}"


def _targets(
    job: Job, drawer: Drawer, targets: Mapping[str, Tensor]
) -> dict[str, tuple[Tensor, Tensor]]:
    pairs = {}
    for name, image in targets.items():
        with job.stage(f"sketching {name}") as progress:
            pairs[name] = (image, drawer(image, progress=progress))
    return pairs


def _examined(job: Job, drawer: Drawer) -> tuple[dict[str, dict[str, Row]], Any]:
    config: SketchConfig = job.settings
    with job.stage("sketching held-out scenes") as progress:
        held_out = HeldOutDrawings.of(config.drawing_style, scene_px(job), tests=config.tests)
        drawn: dict[str, Tensor] = {}
        edges: dict[str, Tensor] = {}
        for kind in held_out.scenes:
            images = held_out.images(kind)
            drawn[kind] = torch.cat([drawer(image) for image in images])
            edges[kind] = torch.cat([held_out.edges(image) for image in images])
            progress(len(drawn), len(held_out.scenes))
    table = {"sketch": held_out.figures(drawn), "edges": held_out.figures(edges)}
    return table, held_out_sheet(held_out, drawn, held_out.edges)


def _use(job: Job, names: Collection[str]) -> str:
    return f"plugin.style={job.out / next(iter(names))}.safetensors"
