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
from featurekit.core.types import Job, Progress, Result, silent
from featurekit.images.folders import pictures_in
from featurekit.images.io import load_image, write_image
from featurekit.pipeline.stages import lasting
from featurekit_sketch.config import SketchConfig, tiling_of
from featurekit_sketch.settings import Tiling
from featurekit_sketch.tasks.output_names import free_names, keep_apart
from featurekit_sketch.tasks.picture_folder import Skipped, in_order, report
from featurekit_sketch.tasks.sheets import ink_picture, target_sheet
from featurekit_sketch.tasks.tiles import tiled, windows
from featurekit_sketch.tasks.unused_settings import check_reading
from featurekit_sketch.training.sketcher import Sketcher
from featurekit_sketch.training.style_file import digest, load_style

SHEET = "sheet.png"
SHOWN = 8  # pictures on the sheet of a folder
FEW_TILES = 10  # of which drawing two for the clock would be a good part


def extract(job: Job) -> Result:
    """Sketch a picture, or every picture of a folder, at its own size.

    Raises:
        ConfigError: image or style is missing, a result would replace a picture, or the style is
            of another backbone or damaged.
        ImageError: the picture cannot be read, or a folder has no picture that can.
    """
    config: SketchConfig = job.settings
    given, style_file = given_of(job)
    listing = pictures_in(given)
    paths = in_order(listing.pictures)
    skipped = [Skipped(path, reason) for path, reason in listing.unreadable.items()]
    targets = _targets(paths, job.out)
    keep_apart([*paths, style_file], [*targets.values(), job.out / SHEET])
    style = load_style(style_file, job.backbone.name, digest(job.backbone.weights))
    check_reading(config, style, backbone=job.backbone.name)
    sketcher = Sketcher.from_style(style, job.backbone)
    _tell_cost(job, sketcher, paths, tiling_of(config))
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
            ink = draw_large(sketcher, image, tiling_of(config), progress)
        outputs[target.stem] = write_image(ink_picture(ink), target)
        if len(shown) < SHOWN:
            shown[path.name] = (image, ink)
    if not outputs:
        raise ImageError(
            f"image must hold a picture that can be read, {job.image!r} has none; {report(skipped)}"
        )
    outputs["sheet"] = write_image(target_sheet(shown), job.out / SHEET)
    result = _result(outputs, skipped, listing.told)
    return replace(result, schedule=sketcher.reader.schedule.told)


def given_of(job: Job) -> tuple[Path, Path]:
    """The picture or the folder of them, and the file of the style; a backbone is not needed.

    Raises:
        ConfigError: one of the two is not given.
    """
    style = job.settings.style
    if job.image is None or style is None:
        missing = "image=FILE_OR_FOLDER" if job.image is None else "plugin.style=FILE"
        raise ConfigError(f"task=extract needs image and plugin.style, got no {missing}; give it")
    return Path(job.image).expanduser(), Path(style).expanduser()


def _tell_cost(job: Job, sketcher: Sketcher, paths: Sequence[Path], tiling: Tiling) -> None:
    """Say before long work how many tiles there are, and by one of them how long all will last."""
    counts = []
    for path in paths:
        # what cannot be opened is told when its turn comes
        with suppress(OSError, ValueError, Image.DecompressionBombError), Image.open(path) as found:
            sides = [
                windows(px, tile=tiling.side_px, overlap=tiling.overlap_px) for px in found.size
            ]
            counts.append(len(sides[0]) * len(sides[1]))
    if sum(counts) < FEW_TILES:
        return
    blank = torch.zeros(1, 3, tiling.side_px, tiling.side_px)
    sketcher(blank)  # the first touch of memory is slow
    began = time.perf_counter()
    float(sketcher(blank).sum())  # waits for whatever device it is
    seconds = time.perf_counter() - began
    job.say(
        f"{sum(counts)} tiles of {tiling.side_px} px in {len(counts)} "
        f"picture{'s' * (len(counts) != 1)}, about {lasting(sum(counts) * seconds)} by one tile, "
        f"which took {seconds:.2g} s"
    )


def draw_large(
    sketcher: Sketcher, image: Tensor, tiling: Tiling, progress: Progress = silent
) -> Tensor:
    """Sketch a picture (1 3 h w) of any size by overlapping tiles, (1 1 h w) in [0, 1]."""
    return tiled(sketcher, image, tile=tiling.side_px, overlap=tiling.overlap_px, progress=progress)


def _targets(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Where the sketch of each picture goes."""
    names = free_names(paths, taken=("sheet", "run"))
    return {path: out / f"{name}.png" for path, name in zip(paths, names, strict=True)}


def _result(outputs: Mapping[str, Path], skipped: Sequence[Skipped], others: str) -> Result:
    count = len(outputs) - 1
    return Result(
        stop=f"{count} picture{'s' * (count != 1)} sketched",
        metrics={"pictures": count},
        outputs=outputs,
        summary="\n".join(filter(None, (report(skipped), others))),
        skipped=tuple(f"{one.path.name}: {one.reason}" for one in skipped),
    )
