"""``featurekit analyse`` and ``featurekit pck``: what features are good for, measured and shown."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from featurekit.analysis.representative_timesteps import LEAST_TIMESTEPS, most_clusters
from featurekit.cli.analyses.analysis_run import DONE, Rows, done, gallery_images, size_of
from featurekit.cli.options import (
    LabelsOptions,
    PckOptions,
    PlacesOptions,
    TimestepsOptions,
)
from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.core.types import Progress
from featurekit.features.recipes import Ensemble, Recipe, recipe
from featurekit.images.class_masks import load_classes
from featurekit.images.gallery import Gallery, read_gallery
from featurekit.images.io import load_image
from featurekit.measures.analyses.norms import check_one_size, measure_norms
from featurekit.measures.analyses.positions import check_enough, measure_positions
from featurekit.measures.analyses.timesteps import Asked as TimestepsAsked
from featurekit.measures.analyses.timesteps import check_source, measure_runs, measure_timesteps
from featurekit.measures.held_out import Measured, side_px
from featurekit.measures.points.correspondence import paired
from featurekit.measures.points.label_folder import label_pictures
from featurekit.measures.points.label_transfer import measure_labels
from featurekit.measures.points.pck import Asked, pck, scene_pair
from featurekit.measures.points.point_features import SMALLEST_SIDE
from featurekit.measures.points.spair import spair_pairs
from featurekit.pipeline.overrides import check_seed, fill, split, usage
from featurekit.scenes import KINDS

HELP = ("-h", "--help")
NO_PICTURES = Gallery({}, {})


def main(words: Sequence[str]) -> int:
    """Measure one thing about features; write its figures as JSON and its picture.

    Args:
        words: what to measure, one of ``ACTIONS``, then overrides of its options.

    Returns:
        The exit code: 0, or 3 if pictures were passed over.

    Raises:
        FeatureKitError: the words are wrong, something does not exist, or the results cannot be
            written.
    """
    if not words:
        raise ConfigError(f"featurekit analyse must be told what: {', '.join(ACTIONS)}; got none")
    name, *rest = words
    if name in HELP:
        told = [f"featurekit analyse {one}\n\n{usage(ACTIONS[one][0])}\n" for one in ACTIONS]
        sys.stdout.write("\n".join(told))
        return 0
    if name not in ACTIONS:
        raise UnknownNameError("analysis", name, ACTIONS)
    schema, act = ACTIONS[name]
    if rest and rest[0] in HELP:
        sys.stdout.write(f"featurekit analyse {name}\n\n{usage(schema)}\n")
        return DONE
    options = fill(schema, rest)
    check_seed(options.seed)
    return act(options)


def point_pairs(words: Sequence[str]) -> int:
    """Measure how many points of pictures are found in others, on scenes or on SPair-71k.

    Args:
        words: overrides of ``PckOptions``.

    Returns:
        The exit code: 0, or 3 if pairs were passed over.

    Raises:
        FeatureKitError: as in ``main``.
    """
    options = _with_recipe(words)
    check_seed(options.seed)
    if options.count < 0:
        raise ConfigError(f"count must be 0, for all of a folder, or more, got {options.count}")
    asked = Asked(
        Recipe(
            tuple(options.taps),
            tuple(options.timesteps),
            Ensemble.named(options.ensemble),
            prompt=options.prompt,
        ),
        options.alpha,
        _side(options.side),
        options.seed,
        tuple(options.controls),
    )
    pairs = [] if not options.data else spair_pairs(
        options.data,
        split=options.split,
        categories=options.categories,
        most=options.count or None,
    )  # fmt: skip
    kinds = [] if options.data else _kinds(options.categories, options.count)

    def work(backbone: Any, progress: Progress) -> Measured:  # noqa: ANN401  # any family
        size = side_px(backbone)
        scenes = [scene_pair(one, size) for kind in kinds for one in paired(kind, options.count)]
        return pck(backbone, pairs or scenes, asked, progress=progress)

    counted = len(pairs) or len(kinds) * options.count
    networks = 1 + ("random" in options.controls)
    rows = 2 * counted * networks * _reads(asked.recipe)
    side = asked.side_px
    bound = "at most " if pairs else ""  # a picture of pairs that follow each other is read once
    return done("pck", options, work, Rows(rows, (side, side) if side else None, bound))


def _reads(asked: Recipe) -> int:
    """Rows through the network for one picture."""
    return len(asked.timesteps) * asked.ensemble.draws


def _with_recipe(words: Sequence[str]) -> PckOptions:
    """Settings, with those of a recipe below what the words say themselves."""
    options = fill(PckOptions, words)
    if not options.recipe:
        return options
    named = recipe(options.recipe)
    options = fill(PckOptions, [*named.words(), *words])
    if "prompt" not in {split(word)[0] for word in words}:
        options.prompt = named.prompt
    return options


def _kinds(named: Sequence[str], pairs: int) -> list[str]:
    """Kinds of scenes by name, all if none is named; refused before a model is loaded."""
    if pairs < 1:
        raise ConfigError(f"at least 1 pair of scenes of each kind is needed, got {pairs}")
    for kind in named:
        if kind not in KINDS:
            raise UnknownNameError("kind of scene", kind, KINDS)
    return list(named) or list(KINDS)


def _side(px: int) -> int | None:
    """A longer side, or what the model knows; refused before a model is loaded."""
    if px and px < SMALLEST_SIDE:
        raise ConfigError(
            f"side must be {SMALLEST_SIDE} px or more, or 0 for what the model knows, got {px}"
        )
    return px or None


def _timesteps(options: TimestepsOptions) -> int:
    check_source(options.source)
    if options.steps < LEAST_TIMESTEPS:
        raise ConfigError(f"steps must be {LEAST_TIMESTEPS} or more, got {options.steps}")
    most = most_clusters(options.steps)
    if not 0 <= options.choose <= most:
        raise ConfigError(
            f"choose must lie in [1, {most}] for {options.steps} steps, or be 0 to let the curve "
            f"decide, got {options.choose}"
        )
    sampled = options.source == "sampled"
    if sampled and options.images:
        raise ConfigError(
            f"images must be left out for source=sampled, which makes its own, got "
            f"{options.images!r}; use source=inverted"
        )
    gallery = _gallery(options)
    asked = TimestepsAsked(tuple(options.taps), options.steps, options.choose or None, options.seed)

    def work(backbone: Any, progress: Progress) -> Measured:  # noqa: ANN401  # any family
        if sampled:
            seeds = range(options.seed, options.seed + options.count)
            return measure_runs(backbone, seeds, asked, progress=progress)
        images = gallery_images(gallery, options.count, backbone)
        measure = measure_runs if options.source == "inverted" else measure_timesteps
        return measure(backbone, images, asked, progress=progress)

    # a run is made and then read; features that fill the memory are read a part at a time
    reads = options.steps + 1 if options.source == "noised" else 2 * options.steps + 1
    pictures = len(gallery.images) or options.count
    rows = Rows(pictures * reads, size_of(gallery), "at least ")
    return done("timesteps", options, work, rows, gallery)


def _positions(options: PlacesOptions) -> int:
    gallery = _gallery(options)
    check_enough(len(gallery.images) or options.count)
    return _places("positions", measure_positions, options, gallery, networks=2)  # and untrained


def _norms(options: PlacesOptions) -> int:
    gallery = _gallery(options)
    if gallery.images:
        check_one_size(list(gallery.images.values()))
    return _places("norms", measure_norms, options, gallery, networks=1)


def _places(
    name: str,
    measure: Callable[..., Measured],
    options: PlacesOptions,
    gallery: Gallery,
    *,
    networks: int,
) -> int:
    def work(backbone: Any, progress: Progress) -> Measured:  # noqa: ANN401  # any family
        images = gallery_images(gallery, options.count, backbone)
        asked = {"taps": options.taps, "timestep": options.timestep, "seed": options.seed}
        return measure(backbone, images, **asked, progress=progress)

    rows = Rows((len(gallery.images) or options.count) * networks, size_of(gallery))
    return done(name, options, work, rows, gallery)


def _labels(options: LabelsOptions) -> int:
    side = _side(options.side) or 0
    asked = Recipe(tuple(options.taps), (options.timestep,), size_px=side)
    given = {name: getattr(options, name) for name in ("image", "mask", "images")}
    if any(given.values()):
        return _own_labels(options, asked, given)
    kinds = _kinds(options.kinds, options.pairs)
    if options.side:
        raise ConfigError(f"side must be left out for scenes, got {options.side}; give image=...")

    def work(backbone: Any, progress: Progress) -> Measured:  # noqa: ANN401  # any family
        return measure_labels(
            backbone,
            pairs=options.pairs,
            kinds=kinds,
            recipe=asked,
            seed=options.seed,
            progress=progress,
        )

    rows = Rows(len(kinds) * options.pairs * 2 * 2 * _reads(asked))  # of pairs, of two networks
    return done("labels", options, work, rows)


def _own_labels(options: LabelsOptions, asked: Recipe, given: Mapping[str, str]) -> int:
    """Label the pictures of a person by one of them."""
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise ConfigError(
            f"image, mask and images must go together, but {' and '.join(missing)} is missing; "
            f"give all three, or none for scenes"
        )
    if options.kinds or options.pairs != LabelsOptions().pairs:
        raise ConfigError("kinds and pairs are of scenes; leave them out where image is given")
    picture = load_image(options.image)
    classes = load_classes(options.mask, *picture.shape[2:])
    gallery = read_gallery(options.images)

    def work(backbone: Any, progress: Progress) -> Measured:  # noqa: ANN401  # any family
        labelled, pictures = (picture, classes), gallery.images
        return label_pictures(
            backbone,
            labelled,
            pictures,
            recipe=asked,
            seed=options.seed,
            progress=progress,
        )

    rows = (1 + len(gallery.images)) * _reads(asked)
    size_px = (asked.size_px, asked.size_px) if asked.size_px else None
    return done("labels", options, work, Rows(rows, size_px), gallery)


def _gallery(options: TimestepsOptions | PlacesOptions) -> Gallery:
    """The pictures of a folder; none where scenes are to be looked at."""
    if options.count < 1:
        raise ConfigError(f"count must be at least 1 picture, got {options.count}")
    return read_gallery(options.images, most=options.count) if options.images else NO_PICTURES


ACTIONS: dict[str, tuple[type[Any], Callable[[Any], int]]] = {
    "timesteps": (TimestepsOptions, _timesteps),
    "positions": (PlacesOptions, _positions),
    "norms": (PlacesOptions, _norms),
    "labels": (LabelsOptions, _labels),
}
