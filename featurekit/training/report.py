"""The report: every figure of the table on held-out seeds, and the model card that shows them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import safe_open

from featurekit.backbones.folder import embedded_folder
from featurekit.backbones.open_clip import load as load_clip
from featurekit.backbones.open_clip import shipped_folder
from featurekit.backbones.unet.sd import load_folder
from featurekit.core.errors import TrainingError
from featurekit.measures import (
    Measured,
    measure_correspondence,
    measure_inversion,
    measure_lines,
    measure_reconstruction,
    measure_samples,
    write_card,
)
from featurekit.measures.model.card import folder_mb
from featurekit.training.recipe import RUNS
from featurekit.training.retrieval import measure_retrieval
from featurekit.training.stages import RECORD, Workshop

SAMPLES = 200  # pictures judged by class and colour


@dataclass(frozen=True)
class Models:
    """The two folders that a report is about."""

    diffusion: Path
    clip: Path


def report(
    workshop: Workshop, *, docs: Path, show: Callable[[str], Callable[[int, int], None]]
) -> Path:
    """Measure a model and write its card.

    The workshop's own models are measured or, where it has none, those that ship with the package.

    Args:
        workshop: recipe and folder.
        docs: folder of the card; its pictures go below it.
        show: by the name of a measure gives what its progress is told to.

    Returns:
        The card.

    Raises:
        TrainingError: a model is there, but not the record of its training.
        OutputError: a file cannot be written; the last card stays whole.
    """
    own = workshop.model.exists() and workshop.clip.exists()
    models = (
        Models(workshop.model, workshop.clip)
        if own
        else Models(embedded_folder(), shipped_folder())
    )
    stages = _stages(workshop) if own else _known(models.diffusion)["stages"]
    backbone = load_folder(models.diffusion, name="embedded", device="auto", dtype="float32")
    clip = load_clip(models.clip)
    measured: dict[str, Measured] = {
        "reconstruction": measure_reconstruction(backbone, progress=show("reconstruction")),
        "inversion": measure_inversion(backbone, progress=show("inversion")),
        "correspondence": measure_correspondence(backbone, progress=show("correspondence")),
        "clip": measure_retrieval(clip, progress=show("retrieval")),
        "samples": measure_samples(backbone, clip=clip, count=SAMPLES, progress=show("samples")),
        "sketch": measure_lines(backbone, progress=show("lines")),
    }
    size = {"diffusion_mb": folder_mb(models.diffusion), "clip_mb": folder_mb(models.clip)}
    figures: dict[str, Any] = {name: one.figures for name, one in measured.items()}
    pictures: dict[str, Image.Image] = {}
    for one in measured.values():
        pictures |= one.pictures
    record = {
        "recipe": workshop.recipe.shape(),
        "stages": stages,
        "figures": figures | {"size": size},
    }
    training = (models.diffusion if own else docs) / RECORD
    return write_card(record, pictures, docs=docs, training=training)


def _stages(workshop: Workshop) -> dict[str, Any]:
    """What the checkpoints tell; a stage that started from a model takes over what that one saw."""
    before = _known(workshop.start)["stages"] if workshop.start is not None else {}
    found = dict(before)
    for name in RUNS:
        path = workshop.folder / f"{name}.ckpt.safetensors"
        if path.exists():
            with safe_open(path, framework="pt") as stored:
                told = json.loads(stored.metadata()["progress"])
            found[name] = _joined(before.get(name, {}), told)
        elif name not in found:
            raise TrainingError(
                f"a report must know how {name!r} was trained, found no checkpoint in "
                f"{str(workshop.folder)!r}; train it there, or report on the shipped model from "
                f"an empty folder"
            )
    return found


def _joined(before: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """One stage's samples, seconds and history, over all that its weights have been through."""
    shift = told["before"]
    history = [entry | {"samples": entry["samples"] + shift} for entry in told["history"]]
    earlier = before.get("history", []) if shift else []
    return {
        "samples": told["samples"] + shift,
        "seconds": told["seconds"] + (before.get("seconds", 0.0) if shift else 0.0),
        "started": told["started"],
        "history": [*earlier, *history],
    }


def _known(folder: Path) -> dict[str, Any]:
    record = folder / RECORD
    if not record.exists():
        raise TrainingError(
            f"a model must lie beside the record of its training, found no {RECORD} in "
            f"{str(folder)!r}; take a model that train-embedded made"
        )
    return dict(json.loads(record.read_text(encoding="utf-8")))
