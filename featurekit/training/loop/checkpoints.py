"""The whole state of a training in one safetensors file, replaced as a whole."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from featurekit.core.atomic import replacing, unwritable
from featurekit.core.errors import TrainingError
from featurekit.training.recipe import VERSION, Recipe


@dataclass
class Progress:
    """How far a training is, and what was measured on the way."""

    step: int = 0  # of the optimiser
    samples: int = 0  # shown in this training
    before: int = 0  # shown to the weights that it started from
    precision: str = ""  # which was measured fastest when it began
    started: str = "random weights"  # what the first weights were
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def save(
    path: Path, progress: Progress, tensors: Mapping[str, Tensor], *, recipe: Recipe, stage: str
) -> None:
    """Write a checkpoint.

    Args:
        path: file to write or replace.
        progress: how far the training is.
        tensors: weights, averages and the optimiser's moments, by name.
        recipe: whose training it is.
        stage: which network.

    Raises:
        OutputError: it cannot be written; what was there stays.
    """
    words = {
        "version": str(VERSION),
        "stage": stage,
        "recipe": json.dumps(recipe.shape()),
        "fingerprint": recipe.fingerprint(),
        "progress": json.dumps(asdict(progress)),
    }
    with replacing(path) as temporary:
        try:
            save_file({name: t.contiguous() for name, t in tensors.items()}, temporary, words)
        except (SafetensorError, OSError) as error:
            raise unwritable(path, _os_error(error)) from error


def load(path: Path, *, recipe: Recipe, stage: str) -> tuple[Progress, dict[str, Tensor]]:
    """Read a checkpoint.

    Args:
        path: file that ``save`` wrote.
        recipe: that the training goes on with.
        stage: which network.

    Returns:
        Progress, and tensors by name on the CPU.

    Raises:
        TrainingError: the file is damaged, of another version, stage or recipe.
    """
    advice = "train into another folder, or remove the file to start anew"
    try:
        with safe_open(path, framework="pt") as stored:
            words: dict[str, Any] = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise TrainingError(
            f"a checkpoint must be whole, but {str(path)!r} is not: {error}; {advice}"
        ) from error
    found = (words.get("version"), words.get("stage"))
    if found != (str(VERSION), stage):
        raise TrainingError(
            f"{str(path)!r} must be a checkpoint of stage {stage!r}, version {VERSION}, "
            f"got stage {found[1]!r}, version {found[0]}; {advice}"
        )
    if words.get("fingerprint") != recipe.fingerprint():
        raise TrainingError(
            f"{str(path)!r} must be of the recipe {recipe.name!r}, but it differs in "
            f"{_differences(json.loads(words['recipe']), recipe.shape())}; {advice}"
        )
    return Progress(**json.loads(words["progress"])), tensors


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = [name for name in wanted if found.get(name) != wanted[name]]
    return ", ".join(f"{name} ({found.get(name)}, not {wanted[name]})" for name in names)


def _os_error(error: Exception) -> OSError:
    return error if isinstance(error, OSError) else OSError(str(error))
