"""``featurekit analyse`` and ``featurekit pck``: what features are good for, measured and shown."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from torch import Tensor

from featurekit import backbones
from featurekit.atomic import make_folder
from featurekit.errors import ConfigError, UnknownNameError
from featurekit.folders import pictures_in
from featurekit.io import load_image, write_image, write_json
from featurekit.measures.correspondence import paired
from featurekit.measures.held_out import Measured, image_of, scenes_of, side_px
from featurekit.measures.labels import measure_labels
from featurekit.measures.norms import measure_norms
from featurekit.measures.pck import pck, scene_pair
from featurekit.measures.positions import measure_positions
from featurekit.measures.spair import spair_pairs
from featurekit.measures.timesteps import measure_timesteps
from featurekit.options import (
    AnalyseOptions,
    LabelsOptions,
    PckOptions,
    PlacesOptions,
    TimestepsOptions,
)
from featurekit.overrides import check_seed, fill, usage
from featurekit.recipes import Ensemble, Recipe, recipe
from featurekit.scenes import KINDS, TRAINED_KINDS
from featurekit.types import Progress

HELP = ("-h", "--help")

Options = TypeVar("Options", bound=AnalyseOptions)


def main(words: Sequence[str]) -> int:
    """Measure one thing about features; write its figures as JSON and its picture.

    Args:
        words: what to measure, one of ``ACTIONS``, then overrides of its options.

    Returns:
        The exit code, 0.

    Raises:
        FeatureKitError: the words are wrong, something does not exist, or the results cannot be
            written.
    """
    if not words:
        raise ConfigError(f"featurekit analyse must be told what: {', '.join(ACTIONS)}; got none")
    name, *rest = words
    if name not in ACTIONS:
        raise UnknownNameError("analysis", name, ACTIONS)
    schema, measure = ACTIONS[name]
    if rest and rest[0] in HELP:
        sys.stdout.write(f"featurekit analyse {name}\n\n{usage(schema)}\n")
        return 0
    options = fill(schema, rest)
    return _written(name, measure(options, _told(name)), options)


def point_pairs(words: Sequence[str]) -> int:
    """Measure how many points of pictures are found in others, on scenes or on SPair-71k.

    Args:
        words: overrides of ``PckOptions``.

    Returns:
        The exit code, 0.

    Raises:
        FeatureKitError: as in ``main``.
    """
    options = fill(PckOptions, words)
    if options.recipe:
        options = fill(PckOptions, [*recipe(options.recipe).words(), *words])
    if options.count < 0:
        raise ConfigError(f"count must be 0, for all of a folder, or more, got {options.count}")
    asked = Recipe(tuple(options.taps), tuple(options.timesteps), Ensemble.named(options.ensemble))
    pairs = [] if not options.data else spair_pairs(
        options.data,
        split=options.split,
        categories=options.categories,
        most=options.count or None,
    )  # fmt: skip
    kinds = [] if options.data else _kinds(options.categories, options.count)
    make_folder(options.out)
    backbone = backbones.load(options.backbone, options.device, options.dtype)
    if not options.data:
        size = side_px(backbone)
        pairs = [scene_pair(one, size) for kind in kinds for one in paired(kind, options.count)]
    measured = pck(
        backbone,
        pairs,
        options.alpha,
        recipe=asked,
        side_px=options.side or None,
        progress=_told("pck"),
    )
    return _written("pck", measured, options)


def _kinds(named: Sequence[str], pairs: int) -> list[str]:
    """Kinds of scenes by name, all if none is named; refused before a model is loaded."""
    if pairs < 1:
        raise ConfigError(f"at least 1 pair of scenes of each kind is needed, got {pairs}")
    for kind in named:
        if kind not in KINDS:
            raise UnknownNameError("kind of scene", kind, KINDS)
    return list(named) or list(KINDS)


def _timesteps(options: TimestepsOptions, progress: Progress) -> Measured:
    backbone, images = _loaded(options)
    return measure_timesteps(
        backbone,
        images,
        taps=options.taps,
        steps=options.steps,
        count=options.choose or None,
        progress=progress,
    )


def _positions(options: PlacesOptions, progress: Progress) -> Measured:
    check_seed(options.seed)
    backbone, images = _loaded(options)
    return measure_positions(
        backbone,
        images,
        taps=options.taps,
        timestep=options.timestep,
        seed=options.seed,
        progress=progress,
    )


def _norms(options: PlacesOptions, progress: Progress) -> Measured:
    check_seed(options.seed)
    backbone, images = _loaded(options)
    return measure_norms(
        backbone,
        images,
        taps=options.taps,
        timestep=options.timestep,
        seed=options.seed,
        progress=progress,
    )


def _labels(options: LabelsOptions, progress: Progress) -> Measured:
    kinds = _kinds(options.kinds, options.pairs)
    make_folder(options.out)
    backbone: Any = backbones.load(options.backbone, options.device, options.dtype)
    return measure_labels(
        backbone,
        pairs=options.pairs,
        kinds=kinds,
        taps=options.taps,
        timestep=options.timestep,
        progress=progress,
    )


def _loaded(options: TimestepsOptions | PlacesOptions) -> tuple[Any, list[Tensor]]:
    """The model, and the pictures of a folder or held-out scenes of the trained kinds in turn."""
    if options.count < 1:
        raise ConfigError(f"count must be at least 1 picture, got {options.count}")
    paths = pictures_in(options.images)[0][: options.count] if options.images else []
    given = [load_image(path) for path in paths]
    make_folder(options.out)
    backbone = backbones.load(options.backbone, options.device, options.dtype)
    if given:
        return backbone, [image.to(backbone.device) for image in given]
    size, kinds = side_px(backbone), TRAINED_KINDS
    each = -(-options.count // len(kinds))
    rows = zip(*(scenes_of(kind, each) for kind in kinds), strict=True)
    scenes = [scene for row in rows for scene in row][: options.count]
    return backbone, [image_of(scene, size).to(backbone.device) for scene in scenes]


def _told(title: str) -> Progress:
    """Say on a terminal how far it is; nothing elsewhere."""
    console = Console(stderr=True)

    def tell(done: int, total: int) -> None:
        if console.is_terminal:
            console.print(f"{title} {done}/{total}", end="\n" if done == total else "\r")

    return tell


def _written(name: str, measured: Measured, options: AnalyseOptions) -> int:
    out = Path(options.out)
    written = [write_json(measured.figures, out / f"{name}.json")]
    pictures = measured.pictures.items()
    written += [write_image(picture, out / f"{stem}.png") for stem, picture in pictures]
    sys.stdout.write(json.dumps(_headline(measured.figures), indent=2) + "\n")
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0


def _headline(figures: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON has no static type
    """The figures without what is one line for each of many."""
    return {name: value for name, value in figures.items() if name not in LONG}


LONG = ("curve", "categories", "kinds")
ACTIONS: dict[str, tuple[type[Any], Callable[[Any, Progress], Measured]]] = {
    "timesteps": (TimestepsOptions, _timesteps),
    "positions": (PlacesOptions, _positions),
    "norms": (PlacesOptions, _norms),
    "labels": (LabelsOptions, _labels),
}
