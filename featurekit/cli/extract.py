"""``featurekit extract``: features of a picture or a folder of them, as tensors and pictures."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from featurekit.cli.cost import say_cost
from featurekit.cli.extract_words import options_of, place_of
from featurekit.cli.options import ExtractOptions
from featurekit.cli.progress_bars import bar, say
from featurekit.core.atomic import folder_for_results
from featurekit.core.errors import ConfigError, ImageError
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.sharding import Share, group_of, launched_share, parse_share
from featurekit.core.types import Progress
from featurekit.diffusion.backbone import Backbone
from featurekit.features.extractor import Extractor, Sample
from featurekit.features.folder_sink import FolderSink
from featurekit.features.recipes import Ensemble, Recipe
from featurekit.images.folders import Listing
from featurekit.images.io import load_image
from featurekit.images.packed import PictureFile
from featurekit.pipeline.backbone_of_run import backbone_of_words
from featurekit.pipeline.engines import start_of
from featurekit.pipeline.overrides import check_seed
from featurekit.pipeline.stages import lasting
from featurekit.scale.inputs import pictures_of
from featurekit.scale.ray_engine import Placing, placed
from featurekit.store.export import Reader, plan_pictures, store_pictures
from featurekit.store.inversion import Inversion
from featurekit.store.picture_reader import PictureReader
from featurekit.store.places.place import Place
from featurekit.store.recipe import parse_recipe
from featurekit.store.trajectory_reader import TrajectoryReader
from featurekit.store.write import Written, total_of

DONE, SKIPPED = 0, 3  # exit codes, as those of ``featurekit run``


def main(words: Sequence[str]) -> int:
    """Extract what the words say into a folder, or with ``store=`` into a store.

    Writes ``features.safetensors`` with one tensor (1 c h w) per tap and timestep, named
    ``tap/timestep``, and one picture of its principal components for each; for a folder of
    pictures in a folder for each of them. The noise of a picture depends on the seed and its file
    name, whether it is read alone, in a folder or into a store. With ``trajectories=`` the store
    holds inversions, of which ``trajectory_reader.recomputed`` makes features.

    Args:
        words: overrides of ``ExtractOptions``; ``recipe=`` stands for those that it names, which
            may be given besides. ``--dry-run`` is ``dry_run=true``.

    Returns:
        The exit code: 0, or 3 if a picture could not be read.

    Raises:
        FeatureKitError: the words are wrong, no picture can be read, a tap or timestep does
            not exist, or the results cannot be written.
    """
    options = options_of(words)
    check_seed(options.seed)
    asked = _recipe(options)
    if options.store:
        return _store(asked, options)
    with folder_for_results(options.out) as out:
        return _into_folder(asked, options, FolderSink(out, asdict(options)))


def _into_folder(asked: Recipe, options: ExtractOptions, sink: FolderSink) -> int:
    """Write the features of the pictures, and list the files; the exit code."""
    listing = pictures_of(options.image, options.columns)
    paths, skipped = listing.pictures, dict(listing.unreadable)
    backbone = _loaded(options)
    batch = min(options.batch, len(paths))
    extractor = Extractor(backbone, asked, seed=options.seed, batch=batch, rows=options.rows)
    _say_cost(backbone, asked, paths)
    if paths == (Path(options.image).expanduser(),):
        ((_, maps),) = extractor([Sample(paths[0].name, paths[0], options.prompt)])
        sys.stdout.write("".join(f"{one}\n" for one in maps))
        sys.stdout.write("".join(f"{path}\n" for path in sink("", maps)))
        return DONE
    written = _of_many(extractor, _Pictures(paths, skipped, options.prompt), sink)
    sys.stdout.write("".join(f"{path}\n" for path in written))
    code = _told(skipped, listing.told)
    if not written:
        raise ImageError(
            f"a folder must hold a picture that can be read, {options.image!r} has none"
        )
    return code


def _loaded(options: ExtractOptions) -> Backbone:
    with bar("load the backbone"):
        return backbone_of_words(options)


def _say_cost(backbone: Backbone, asked: Recipe, paths: Sequence[PictureFile]) -> None:
    """Tell the cost by the first picture that can be read; a folder's are mostly of one size."""
    for path in paths:
        with suppress(ImageError):
            height, width = load_image(path).shape[2:]
            calls = len(paths) * len(asked.timesteps) * asked.ensemble.draws
            many = f"{len(paths)} pictures: " if len(paths) > 1 else ""
            say_cost(backbone, (height, width), calls, of=many)
            return


class _Pictures:
    """The pictures of a folder as samples; those that turn out broken are noted."""

    def __init__(
        self, paths: Sequence[PictureFile], skipped: dict[PictureFile, str], prompt: str
    ) -> None:
        self._paths, self._skipped, self._prompt = paths, skipped, prompt

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Sample]:
        for path in self._paths:
            try:
                image = load_image(path)
            except ImageError as error:
                self._skipped[path] = str(error)
                continue
            yield Sample(path.name, image, self._prompt)


def _store(asked: Recipe, options: ExtractOptions) -> int:
    """Bring the pictures into a store, or say what that will cost."""
    share = parse_share(options.shard) if options.shard else launched_share(os.environ)
    parse_recipe(options.reduce)  # a wrong word is told before a model is loaded
    start_of(options.engine, workers=options.workers, device=options.device)  # likewise
    listing = pictures_of(options.image, options.columns)
    paths = listing.pictures
    place = place_of(options)
    if options.engine and not options.dry_run:
        return _placed(asked, options, listing, place)
    began = time.perf_counter()
    reader = _reader(asked, options)
    loaded_s = time.perf_counter() - began
    if options.dry_run:
        plan, broken = plan_pictures(
            place, paths, reader=reader, reduce=options.reduce, share=share
        )
        sys.stdout.write(f"{plan}{_by(share)}\n")
        say(f"loading the model, which took {lasting(loaded_s)} here, is not counted")
        done = plan.samples + plan.found
    else:
        with _going_on(), bar("storing") as progress:
            written, broken = store_pictures(
                place, paths, reader=reader, reduce=options.reduce, share=share,
                progress=progress,
            )  # fmt: skip
        sys.stdout.write(f"{place}: {written}{_by(share)}\n")
        done = written.samples + written.found
    if share.count > 1 and not done + len(broken):
        say(
            f"none of the {len(paths)} pictures is this worker's: a store gives whole groups to "
            f"workers, and these fill fewer than there are workers; {share.count} are too many"
        )

    def mine(path: PictureFile) -> bool:
        return share.owns(group_of(path.name, share.count))

    unreadable = {path: why for path, why in listing.unreadable.items() if mine(path)}
    others = replace(listing, others=tuple(filter(mine, listing.others)))
    return _told(unreadable | broken, others.told)


def _placed(
    asked: Recipe, options: ExtractOptions, listing: Listing[PictureFile], place: Place
) -> int:
    """Let an engine's workers bring the pictures into a store."""
    placing = Placing(options.workers, options.device)
    with _going_on(), bar("storing") as progress:
        done = placed(partial(stored_share, asked, options), placing, progress=progress)
    written = total_of(one for one, _ in done)
    sys.stdout.write(f"{place}: {written}; {len(done)} workers of {options.engine}\n")
    broken = {file: why for _, some in done for file, why in some.items()}
    return _told(listing.unreadable | broken, listing.told)


def stored_share(
    asked: Recipe, options: ExtractOptions, share: Share, progress: Progress
) -> tuple[Written, dict[PictureFile, str]]:
    """Bring a worker's share of the pictures into a store; what an engine's worker calls.

    Args:
        asked: what is read of each picture.
        options: as they were given.
        share: this worker's.
        progress: told how far it is.

    Returns:
        What was done, and pictures of the share that cannot be read, each with the reason.

    Raises:
        FeatureKitError: as for ``store_pictures``.
    """
    files = pictures_of(options.image, options.columns).pictures
    return store_pictures(
        options.store, files, reader=_reader(asked, options), reduce=options.reduce, share=share,
        progress=progress,
    )  # fmt: skip


def _reader(asked: Recipe, options: ExtractOptions) -> Reader:
    """What is stored of each picture: the latents of an inversion, or features."""
    inversion = Inversion.named(options.trajectories) if options.trajectories else None
    backbone = _loaded(options)
    if inversion:
        return TrajectoryReader(backbone, inversion, prompt=options.prompt, batch=options.batch)
    return PictureReader(
        backbone,
        asked,
        prompt=options.prompt,
        seed=options.seed,
        batch=options.batch,
        rows=options.rows,
    )


def _going_on() -> AbstractContextManager[None]:
    return tells_how_to_go_on(lambda: "the same command goes on: what is stored stays")


def _by(share: Share) -> str:
    return f"; {share.told}" if share.told else ""


def _told(skipped: Mapping[PictureFile, str], others: str) -> int:
    """Name pictures that were left out, and files that are none; the exit code for the first."""
    if others:
        sys.stderr.write(f"{others}\n")
    for path, reason in skipped.items():
        sys.stderr.write(f"skipped {path.name}: {reason}\n")
    return SKIPPED if skipped else DONE


def _recipe(options: ExtractOptions) -> Recipe:
    """What is read of each picture."""
    if not options.taps or not options.timesteps:
        raise ConfigError(
            f"taps, timesteps and ensemble must ask for something, got taps {options.taps}, "
            f"timesteps {options.timesteps}, ensemble {options.ensemble}"
        )
    return Recipe(tuple(options.taps), tuple(options.timesteps), Ensemble.named(options.ensemble))


def _of_many(extractor: Extractor, pictures: _Pictures, sink: FolderSink) -> list[Path]:
    """Read and keep every picture; list the files, after the bar is gone."""
    written: list[Path] = []
    with bar("extracting") as progress:
        for done, (name, maps) in enumerate(extractor(pictures), start=1):
            written += sink(name, maps)
            progress(done, len(pictures))
    return written
