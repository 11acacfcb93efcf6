"""``featurekit train-embedded``: make the embedded model, or go on making it."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import torch

from featurekit.backbones.device import place
from featurekit.backbones.folder import embedded_folder
from featurekit.cli.options import TrainOptions
from featurekit.core.atomic import make_folder
from featurekit.core.errors import ConfigError, TrainingError, UnknownNameError
from featurekit.pipeline.overrides import fill
from featurekit.training import stages
from featurekit.training.data import rendered_drawings, rendered_scenes
from featurekit.training.loop.progress_bars import bar, bars, reporter
from featurekit.training.loop.workers import cores, crew
from featurekit.training.recipe import RUNS, known_recipe
from featurekit.training.report import report
from featurekit.training.stages import Workshop

INTERRUPTED = 130
FLAGS = MappingProxyType({"--report": "stages=[report]", "--continue": "start=embedded"})


@dataclass(frozen=True)
class Order:
    """What is to be made, where, and by whom."""

    workshop: Workshop
    docs: Path  # where the model card goes
    workers: int
    device: torch.device


def main(words: Sequence[str]) -> int:
    """Run the stages that the words ask for; what is complete already is skipped.

    Args:
        words: overrides of ``TrainOptions``, ``--report`` for the report alone, ``--continue`` to
            start from the weights that ship with the package.

    Returns:
        The exit code: 0, or 130 after Ctrl-C; the same words then go on.

    Raises:
        FeatureKitError: the words are wrong, a stage needs another one first, a loss is not
            finite, a checkpoint is another training's, or a file cannot be written.
    """
    options = fill(TrainOptions, [FLAGS.get(word, word) for word in words])
    for name in options.stages:
        if name not in STAGES:
            raise UnknownNameError("stage", name, STAGES)
    order = _order(options)
    for name, stage in STAGES.items():
        if name in options.stages and not stage(order):
            sys.stderr.write(f"featurekit: interrupted in {name}; the same command goes on\n")
            return INTERRUPTED
    return 0


def _order(options: TrainOptions) -> Order:
    recipe = known_recipe(options.recipe)
    for name in ("scenes", *(f"{run}_samples" for run in RUNS), "batch", "workers"):
        if getattr(options, name) < 0:
            raise ConfigError(f"{name} must be 0 or more, got {getattr(options, name)}")
    if options.scenes:
        recipe = replace(recipe, scenes=options.scenes)
    for name in RUNS:
        samples = getattr(options, f"{name}_samples")
        recipe = recipe.running(name, samples=samples, batch=options.batch)
    device = place(options.device, "float32")[0]
    workshop = Workshop(recipe, Path(options.folder), _start(options.start))
    count = (options.workers or min(2, cores())) if device.type == "cpu" else 1
    return Order(workshop, Path(options.docs or options.folder), count, device)


def _start(folder: str) -> Path | None:
    if not folder:
        return None
    start = embedded_folder() if folder == "embedded" else Path(folder)
    if not (start / "model_index.json").is_file():
        raise ConfigError(
            f"start must be a model folder with a model_index.json, got {folder!r}; "
            f"leave it out to start from random weights"
        )
    return start


def _scenes(order: Order) -> bool:
    recipe, workshop = order.workshop.recipe, order.workshop
    make_folder(workshop.folder)  # all other stages begin with what this one leaves there
    with bar("scenes", recipe.scenes) as advance:
        rendered_scenes.render(
            workshop.folder,
            size=recipe.size,
            count=recipe.scenes,
            workers=max(order.workers, 1 if order.device.type == "cpu" else cores()),
            show=advance,
        )
    stages.learn_words(workshop)
    return True


def _latents(order: Order) -> bool:
    _needs(order, "latents", order.workshop.vae, "vae")
    with bar("latents", len(order.workshop.pieces())) as advance:
        stages.encode(order.workshop, workers=order.workers, show=advance)
    return True


def _vae(order: Order) -> bool:
    if order.workshop.vae.exists():
        return True
    return _trained(order, "vae", stages.train_vae)


def _decoder(order: Order) -> bool:
    _needs(order, "decoder", order.workshop.vae, "vae")
    return _trained(order, "decoder", stages.train_decoder)


def _unet(order: Order) -> bool:
    _needs(order, "unet", order.workshop.vae, "vae")
    return _trained(order, "unet", stages.train_unet)


def _clip(order: Order) -> bool:
    recipe, workshop = order.workshop.recipe, order.workshop
    _needs(order, "clip", workshop.pieces(), "scenes")  # before minutes go into drawings
    with bar("drawings", recipe.drawings) as advance:
        rendered_drawings.render(
            workshop.folder,
            size=recipe.size,
            count=recipe.drawings,
            workers=order.workers,
            show=advance,
        )
    return _trained(order, "clip", stages.train_clip)


def _report(order: Order) -> bool:
    with bars() as show:
        card = report(order.workshop, docs=order.docs, show=show)
    sys.stdout.write(f"{card}\n")
    return True


STAGES: Mapping[str, Callable[[Order], bool]] = MappingProxyType(
    {
        "scenes": _scenes,
        "vae": _vae,
        "decoder": _decoder,
        "latents": _latents,
        "unet": _unet,
        "clip": _clip,
        "report": _report,
    }
)
"""Every stage by its name, in order; each answers whether it is complete."""


def _trained(order: Order, name: str, target: Callable[..., bool]) -> bool:
    """Train one network with all workers."""
    workshop, run = order.workshop, getattr(order.workshop.recipe, name)
    _needs(order, name, workshop.pieces(), "scenes")
    with (
        crew(target, (workshop,), count=order.workers, device=order.device) as worker,
        reporter(name, run) as show,
    ):
        return target(worker, workshop, show)


def _needs(order: Order, name: str, found: "Path | list[Path]", before: str) -> None:
    there = found.exists() if isinstance(found, Path) else bool(found)
    if not there:
        raise TrainingError(
            f"stage {name!r} needs what stage {before!r} makes, found none in "
            f"{str(order.workshop.folder)!r}; run that stage first"
        )
