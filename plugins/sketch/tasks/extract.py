"""``task=extract``: pictures of any size, one or a folder of them, in a style that was learnt."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from featurekit.core.errors import ConfigError, ImageError
from featurekit.core.types import Job, Result
from featurekit.images.folders import pictures_in
from featurekit.images.io import load_image, write_image
from featurekit.pipeline.stages import lasting
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.drawer import Drawer
from featurekit_sketch.output_names import free_names, keep_apart
from featurekit_sketch.tasks.drawers import DrawingFiles, drawer_for
from featurekit_sketch.tasks.picture_folder import Skipped, in_order, report
from featurekit_sketch.tasks.sheets import ink_picture, target_sheet
from featurekit_sketch.vector.svg import check_tracer, write_svg
from featurekit_sketch.watching import ALONE, Watcher

SHEET, SVG = "sheet.png", ".svg"
SHOWN = 8  # pictures on the sheet of a folder
FEW_PARTS = 10  # of which drawing two for the clock would be a good part


def extract(job: Job, watcher: Watcher = ALONE) -> Result:
    """Sketch a picture, or every picture of a folder, at its own size.

    Args:
        job: what is to be drawn.
        watcher: shown each sketch once it is written.

    Raises:
        ConfigError: image or style is missing, a result would replace a picture, or the style is
            of another backbone or damaged.
        ImageError: the picture cannot be read, or a folder has no picture that can.
    """
    config: SketchConfig = job.settings
    given, files = given_of(job)
    listing = pictures_in(given)
    paths = in_order(listing.pictures)
    skipped = [Skipped(path, reason) for path, reason in listing.unreadable.items()]
    targets = _targets(paths, job.out)
    keep_apart([*paths, *files.paths], [*targets.values(), job.out / SHEET])
    drawer = drawer_for(job, files)
    _tell_cost(job, drawer, paths)
    outputs: dict[str, Path] = {}
    shown: dict[str, tuple[Tensor, Tensor]] = {}
    for path, target in targets.items():
        try:
            image = load_image(path)
        except ImageError as error:
            if paths == [given]:
                raise
            skipped.append(Skipped(path, str(error)))
            continue
        with job.stage(f"sketching {path.name}") as progress:
            ink = drawer(image, progress=progress)
        outputs[target.stem] = write_image(ink_picture(ink), target)
        if config.svg:
            outputs[f"{target.stem}_svg"] = write_svg(ink, target.with_suffix(SVG))
        watcher.drawn(path.name, ink)
        if len(shown) < SHOWN:
            shown[path.name] = (image, ink)
    if not outputs:
        raise ImageError(
            f"image must hold a picture that can be read, {job.image!r} has none; {report(skipped)}"
        )
    outputs["sheet"] = write_image(target_sheet(shown), job.out / SHEET)
    result = _result(outputs, skipped, listing.told)
    return replace(result, schedule=drawer.told)


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
    folder, files = given_of(job)
    pictures_in(folder)
    if job.settings.svg:
        check_tracer()
    files.student_drawer()


def _tell_cost(job: Job, drawer: Drawer, paths: Sequence[Path]) -> None:
    """Say before long work how many parts there are, and by one of them how long all will last."""
    counts = []
    for path in paths:
        # what cannot be opened is told when its turn comes
        with suppress(OSError, ValueError, Image.DecompressionBombError), Image.open(path) as found:
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


def _targets(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Where the sketch of each picture goes."""
    names = free_names(paths, taken=("sheet", "run"))
    return {path: out / f"{name}.png" for path, name in zip(paths, names, strict=True)}


def _result(outputs: Mapping[str, Path], skipped: Sequence[Skipped], others: str) -> Result:
    count = sum(path.suffix == ".png" for path in outputs.values()) - 1
    return Result(
        stop=f"{count} picture{'s' * (count != 1)} sketched",
        metrics={"pictures": count},
        outputs=outputs,
        summary="\n".join(filter(None, (report(skipped), others))),
        skipped=tuple(f"{one.path.name}: {one.reason}" for one in skipped),
    )
