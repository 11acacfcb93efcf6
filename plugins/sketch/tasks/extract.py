"""``task=extract``: pictures of any size, one or a folder of them, in a style that was learnt."""

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image

from featurekit.core.errors import ConfigError, ImageError
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.types import Job, Result
from featurekit.images.io import load_image, write_image
from featurekit.images.packed import PictureFile
from featurekit.measures.denoising_error import is_unknown, told_unknown
from featurekit.pipeline.stages import lasting
from featurekit_sketch.drawer import Drawer
from featurekit_sketch.output_names import keep_apart
from featurekit_sketch.tasks.drawers import DrawingFiles, drawer_for
from featurekit_sketch.tasks.picture_folder import Skipped, files_of, report
from featurekit_sketch.tasks.picture_shares import SVG, Asked, Drawn, sketched_share
from featurekit_sketch.tasks.sheets import target_sheet
from featurekit_sketch.vector.svg import check_tracer
from featurekit_sketch.watching import ALONE, Watcher

SHEET = "sheet.png"
SHOWN = 8  # pictures on the sheet of a folder
FEW_PARTS = 10  # of which drawing two for the clock would be a good part


def extract(job: Job, watcher: Watcher = ALONE) -> Result:
    """Sketch a picture, or every picture of a folder, at its own size.

    What is sketched already, of the same picture by the same style, stays: the same command with
    the same ``out`` goes on from there.

    Args:
        job: what is to be drawn.
        watcher: shown each sketch once it is written.

    Raises:
        ConfigError: image or style is missing, a result would replace a picture, or the style is
            of another backbone or damaged.
        ImageError: the picture cannot be read, or a folder has no picture that can.
        OutputError: a sketch cannot be written; those before it stay.
    """
    _, files = given_of(job)
    asked = Asked.by(job)
    keep_apart([*files_of(asked.pictures), *files.paths], [*asked.targets, job.out / SHEET])
    drawer = None
    if job.workers is None:
        drawer = drawer_for(job, files)
        _tell_cost(job, drawer, asked.pictures)
    count = len(asked.pictures)
    title = f"sketching {f'{count} pictures' if count > 1 else asked.pictures[0].name}"
    with (
        tells_how_to_go_on(lambda: f"run the same command with out={job.out} to go on"),
        job.stage(title) as progress,
    ):
        sketched = partial(sketched_share, drawer=drawer, watcher=watcher)
        shares = job.shared(sketched, progress=progress)
    return _result(job, asked, shares)


def given_of(job: Job) -> tuple[Path, DrawingFiles]:
    """The picture or the folder of them, and what draws; a backbone is not needed.

    Raises:
        ConfigError: one of the two is not given.
    """
    files = DrawingFiles.of(job.settings)
    if job.image is None or not files.paths:
        missing = "image=FILE_OR_FOLDER" if job.image is None else "plugin.style=FILE"
        raise ConfigError(
            f"task=extract needs image and plugin.style (or plugin.student), got no {missing}; "
            f"give it"
        )
    return Path(job.image).expanduser(), files


def check_given(job: Job) -> None:
    """Refuse what can be seen not to work before the weights of a backbone are loaded.

    Raises:
        ConfigError: a file is not given or cannot be used, or an extra is not installed.
        ImageError: there is no picture.
    """
    _, files = given_of(job)
    Asked.by(job)
    if job.settings.svg:
        check_tracer()
    files.student_drawer()


def _tell_cost(job: Job, drawer: Drawer, pictures: Sequence[PictureFile]) -> None:
    """Say before long work how many parts there are, and by one of them how long all will last."""
    counts = []
    for picture in pictures:
        # what cannot be opened is told when its turn comes
        with suppress(OSError, ValueError, Image.DecompressionBombError), _opened(picture) as found:
            width, height = found.size
            counts.append(drawer.parts(height, width))
    if sum(counts) < FEW_PARTS:
        return
    blank = torch.zeros(1, 3, drawer.part_px, drawer.part_px)
    drawer(blank)  # the first touch of memory is slow
    began = time.perf_counter()
    float(drawer(blank).sum())  # waits for whatever device it is
    seconds = time.perf_counter() - began
    job.say(
        f"{sum(counts)} parts of {drawer.part_px} px in {len(counts)} "
        f"picture{'s' * (len(counts) != 1)}, about {lasting(sum(counts) * seconds)} by one part, "
        f"which took {seconds:.2g} s"
    )


def _opened(picture: PictureFile) -> Image.Image:
    """A picture of which the size alone is read, of a file that is its own."""
    if isinstance(picture, Path):
        return Image.open(picture)
    return Image.open(BytesIO(picture.read_bytes()))


def _result(job: Job, asked: Asked, shares: Sequence[Drawn]) -> Result:
    """Show the first sketches, and say what was left out."""
    broken = {place: reason for one in shares for place, reason in one.broken.items()}
    skipped = [Skipped(path, reason) for path, reason in asked.listing.unreadable.items()]
    skipped += [Skipped(asked.pictures[place], broken[place]) for place in sorted(broken)]
    drawn = [place for place in range(len(asked.pictures)) if place not in broken]
    if not drawn:
        if asked.pictures == (Path(job.image or "").expanduser(),):
            raise ImageError(skipped[0].reason)
        raise ImageError(
            f"image must hold a picture that can be read, {job.image!r} has none; {report(skipped)}"
        )
    outputs: dict[str, Path] = {}
    for place in drawn:
        target = asked.targets[place]
        outputs[target.stem] = target
        if job.settings.svg:
            outputs[f"{target.stem}_svg"] = target.with_suffix(SVG)
    shown = {
        asked.pictures[place].name: (
            load_image(asked.pictures[place]),
            (load_image(asked.targets[place]) + 1) / 2,
        )
        for place in drawn[:SHOWN]
    }
    outputs["sheet"] = write_image(target_sheet(shown), job.out / SHEET)
    found = sum(one.found for one in shares)
    left_out = report(skipped), asked.listing.told
    there = f"{found} of them {'were' if found > 1 else 'was'} there already" if found else ""
    errors = [error for one in shares for error in one.missed.values()]
    known = {"unknown_pictures": sum(map(is_unknown, errors))} if errors else {}
    return Result(
        stop=f"{len(drawn)} picture{'s' * (len(drawn) != 1)} sketched",
        metrics={"pictures": len(drawn), **known},
        outputs=outputs,
        summary="\n".join(filter(None, (there, *left_out, told_unknown(errors)))),
        skipped=tuple(f"{one.path.name}: {one.reason}" for one in skipped),
        schedule=shares[0].told,
    )
