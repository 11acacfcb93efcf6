"""The pictures that a worker sketches: those of its share that are not sketched already."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

from featurekit.core.errors import ImageError
from featurekit.core.file_bytes import sha256_of
from featurekit.core.sharding import Share
from featurekit.core.types import Job, Progress, silent
from featurekit.images.folders import Listing
from featurekit.images.io import load_image, words_in_png, write_image
from featurekit.images.packed import PictureFile, sha256_of_picture
from featurekit.measures.denoising_error import denoising_error, has_known_scenes
from featurekit.pipeline.run import versions
from featurekit.scale.inputs import pictures_of
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.drawer import Drawer
from featurekit_sketch.output_names import free_names
from featurekit_sketch.tasks.drawers import DrawingFiles, drawer_for
from featurekit_sketch.tasks.models import check_model
from featurekit_sketch.tasks.picture_folder import in_order
from featurekit_sketch.tasks.sheets import ink_picture
from featurekit_sketch.training.style_file import digest
from featurekit_sketch.vector.svg import write_svg
from featurekit_sketch.watching import ALONE, Watcher

MADE_OF = "featurekit-made-of"  # keyword of what decides a sketch, in its PNG
MISSED = "featurekit-missed-noise"  # of the share of noise that the model missed in the picture
LOOKS = 1  # draws of noise by which the model is asked whether it knows a picture
SVG = ".svg"


@dataclass(frozen=True)
class Asked:
    """Pictures in the order that they are drawn in, and where the sketch of each goes."""

    listing: Listing[PictureFile]
    pictures: tuple[PictureFile, ...]
    targets: tuple[Path, ...]

    @classmethod
    def by(cls, job: Job) -> "Asked":
        """Those that a job names, the same ones for every worker.

        Raises:
            ImageError: there is no picture.
            ConfigError: as ``pictures_of``.
        """
        listing = pictures_of(job.image or "", job.settings.columns)
        pictures = tuple(in_order(listing.pictures))
        names = free_names([Path(one.name) for one in pictures], taken=("sheet", "run"))
        return cls(listing, pictures, tuple(job.out / f"{name}.png" for name in names))


@dataclass(frozen=True)
class Drawn:
    """What came of a share."""

    broken: Mapping[int, str]  # reasons, by the picture's place in the order
    found: int  # sketches that were there already
    told: str  # how pictures are read, in words
    missed: Mapping[int, float] = field(default_factory=dict)  # ``denoising_error``, by place


def sketched_share(
    job: Job,
    share: Share,
    progress: Progress,
    *,
    drawer: Drawer | None = None,
    watcher: Watcher = ALONE,
) -> Drawn:
    """Sketch a worker's share of the pictures; what is sketched already stays.

    Args:
        job: with its backbone, where one is needed.
        share: this worker's.
        progress: told after each picture; of one alone, after each of its parts.
        drawer: what draws, where it is made already.
        watcher: shown each sketch once it is written.

    Returns:
        What came of it.

    Raises:
        ConfigError: the style or the student cannot be used.
        OutputError: a sketch cannot be written; those before it stay.
    """
    check_model(job)
    asked, files = Asked.by(job), DrawingFiles.of(job.settings)
    draw = drawer or drawer_for(job, files)
    made_of = _made_of(job, files)
    own = [place for place in range(len(asked.pictures)) if share.owns(place)]
    alone = len(own) == 1
    broken: dict[int, str] = {}
    missed: dict[int, float] = {}
    found = 0
    for done, place in enumerate(own, start=1):
        picture, target = asked.pictures[place], asked.targets[place]
        try:
            key = _condensed({**made_of, "picture": _digest(picture)})
            words = words_in_png(target)
            if words.get(MADE_OF) == key:
                found += 1
            else:
                image = load_image(picture)
                ink = draw(image, progress=progress if alone else silent)
                words = {MADE_OF: key} | _missed(job, image)
                _write(ink, target, words, svg=job.settings.svg)
                watcher.drawn(picture.name, ink)
            if MISSED in words:
                missed[place] = float(words[MISSED])
        except ImageError as error:
            broken[place] = str(error)
        if not alone:
            progress(done, len(own))
    return Drawn(broken, found, draw.told, missed)


def _missed(job: Job, image: Tensor) -> dict[str, str]:
    """How well a model whose scenes are known knows a picture, as a word of its sketch."""
    if job.backbone is None or not has_known_scenes(job.backbone):
        return {}
    return {MISSED: f"{denoising_error(job.backbone, image, draws=LOOKS):.4f}"}


def _write(ink: Tensor, target: Path, words: Mapping[str, str], *, svg: bool) -> None:
    """Write a sketch; its PNG comes last, and says that all is there."""
    if svg:
        write_svg(ink, target.with_suffix(SVG))
    write_image(ink_picture(ink), target, words)


def _made_of(job: Job, files: DrawingFiles) -> dict[str, Any]:
    """What decides a sketch, apart from the picture."""
    config: SketchConfig = job.settings
    backbone = job.backbone
    return {
        "files": [sha256_of(path) for path in files.paths],
        "shares": list(config.mix.values()) if config.mix else [],
        "tiling": [config.tile_px, config.overlap_px],
        "svg": config.svg,
        "weights": digest(backbone.weights) if backbone is not None else "",
        "dtype": str(backbone.dtype) if backbone is not None else "",
        "versions": versions(),
    }


def _digest(picture: PictureFile) -> str:
    try:
        return sha256_of_picture(picture)
    except OSError as error:
        raise ImageError(f"image must be readable, but {error.strerror}") from error


def _condensed(facts: Mapping[str, Any]) -> str:
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
