"""``featurekit run plugin=sketch``: from a job to a style, sketches, figures and a sentence."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from featurekit.core.errors import UnknownNameError
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.types import Job, Result
from featurekit.images.io import load_image, write_image
from featurekit.measures.held_out import side_px
from featurekit.scenes import KINDS
from featurekit_sketch.config import SketchConfig, check, tiling_of
from featurekit_sketch.drawing.read_drawing import overlay
from featurekit_sketch.inputs import SCENE_KIND, subject_of
from featurekit_sketch.metrics.held_out import HeldOutDrawings, Row, means
from featurekit_sketch.network.mixing_weights import shares
from featurekit_sketch.tasks.evaluate import evaluate
from featurekit_sketch.tasks.extract import extract
from featurekit_sketch.tasks.output_names import free_names, keep_apart
from featurekit_sketch.tasks.sheets import held_out_sheet, loss_curve, pair_sheet, target_sheet
from featurekit_sketch.tasks.tiled_sketcher import TiledSketcher
from featurekit_sketch.tasks.unused_settings import check_used
from featurekit_sketch.training.sketcher import Sketcher
from featurekit_sketch.training.style_file import save_style
from featurekit_sketch.training.style_training import style_training_of

STYLE = "style.safetensors"
CONTROLS = "the network on VAE features alone and on a random UNet: see task=evaluate"
FILES = {  # of a training, by the name of the output
    "pair": "pair.png",
    "curve": "curve.png",
    "targets": "targets.png",
    "sheet": "sheet.png",
    "overlay": "overlay.png",
}


def run(job: Job) -> Result:
    """Do the job's task.

    Raises:
        UnknownNameError: no such task.
        ConfigError: a setting is out of range, or the task would not use it.
    """
    tasks = {"train": train, "extract": extract, "evaluate": evaluate}
    if job.task not in tasks:
        raise UnknownNameError("task of plugin sketch", job.task, tasks)
    check(job.settings)
    check_used(job.settings, task=job.task, own=job.image is not None)
    if job.task == "extract":
        return extract(job)
    with tells_how_to_go_on(lambda: f"run the same command with out={job.out} to go on"):
        return tasks[job.task](job)


def train(job: Job) -> Result:
    """Learn one style, sketch what was not learnt from, and show and measure it."""
    config: SketchConfig = job.settings
    check_places(job)
    targets = read_targets(config.targets)
    subject, style_training = subject_of(job), style_training_of(job)
    samples = style_training.sampled(subject, job.out / "samples", job.stage)
    examples = style_training.examples(subject, samples, job.stage)
    sketcher, trace = style_training.learn(
        examples, job.out, sources=("unet", "vae"), key=style_training.key(subject), stage=job.stage
    )
    height, width = subject.image.shape[-2:]
    style = sketcher.style((height, width), prompt=subject.prompt)
    outputs = {"style": save_style(style, job.out / STYLE)}
    pictures = {
        "pair": pair_sheet(subject.image, subject.ink, sketcher(subject.image)),
        "curve": loss_curve(trace),
    }
    if subject.mended:
        pictures["overlay"] = overlay(subject.image, subject.ink)
    metrics: dict[str, Any] = {
        "perceptual": style_training.perceptual.name,
        "iterations": len(trace),
        "samples": len(samples),
        "loss": trace[-1],
        "mended": list(subject.mended),
        "mixing": shares(sketcher.network.mixing()),
    }
    lines = [f"the drawing was mended: {what}" for what in subject.mended]
    if config.lpips is None:
        lines.append(
            f"perceptual loss: {style_training.perceptual.name}, since no plugin.lpips was given"
        )
    if targets:
        pictures["targets"] = target_sheet(_targets(job, sketcher, targets))
    if job.image is None:
        table, pictures["sheet"] = _examined(job, sketcher)
        metrics["held_out"] = {config.drawing_style: table}
        lines += [sentence(table), CONTROLS]
    elif not targets:
        lines.append(f"to sketch: featurekit run plugin=sketch task=extract image=FILE {_use(job)}")
    outputs |= {name: write_image(one, job.out / FILES[name]) for name, one in pictures.items()}
    return Result(
        stop=f"the style is learnt in {len(trace)} iterations",
        metrics=metrics,
        outputs=outputs,
        summary="\n".join(lines),
        schedule=sketcher.reader.schedule.told,
    )


def check_places(job: Job) -> None:
    """Refuse an out whose results would replace the user's own pictures.

    Raises:
        ConfigError: one of them would be.
    """
    given = [name for name in (job.image, job.settings.drawing, *job.settings.targets) if name]
    results = [job.out / name for name in (STYLE, *FILES.values())]
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
    job: Job, sketcher: Sketcher, targets: Mapping[str, Tensor]
) -> dict[str, tuple[Tensor, Tensor]]:
    pairs, drawer = {}, TiledSketcher(sketcher, tiling_of(job.settings))
    for name, image in targets.items():
        with job.stage(f"sketching {name}") as progress:
            pairs[name] = (image, drawer(image, progress=progress))
    return pairs


def _examined(job: Job, sketcher: Sketcher) -> tuple[dict[str, dict[str, Row]], Any]:
    config: SketchConfig = job.settings
    with job.stage("sketching held-out scenes") as progress:
        size = side_px(job.backbone)
        held_out = HeldOutDrawings.of(config.drawing_style, size, tests=config.tests)
        drawn: dict[str, Tensor] = {}
        edges: dict[str, Tensor] = {}
        for kind in held_out.scenes:
            images = held_out.images(kind)
            drawn[kind] = torch.cat([sketcher(image) for image in images])
            edges[kind] = torch.cat([held_out.edges(image) for image in images])
            progress(len(drawn), len(held_out.scenes))
    table = {"sketch": held_out.figures(drawn), "edges": held_out.figures(edges)}
    return table, held_out_sheet(held_out, drawn, held_out.edges)


def _use(job: Job) -> str:
    return f"plugin.style={job.out / STYLE}"
