"""How an analysis runs: the model and the pictures, the folder, what is written, shown and told."""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from torch import Tensor

from featurekit.cli.analyses.analysis_tables import show_figures
from featurekit.cli.cost import say_cost
from featurekit.cli.options import AnalyseOptions
from featurekit.cli.progress_bars import bar
from featurekit.core.atomic import folder_for_results, make_folder
from featurekit.core.json_files import write_json
from featurekit.core.types import Progress
from featurekit.images.gallery import Gallery
from featurekit.images.io import write_image
from featurekit.measures.held_out import Measured, image_of, scenes_of, side_px
from featurekit.pipeline.backbone_of_run import backbone_of_words
from featurekit.scenes import TRAINED_KINDS

DONE, SKIPPED = 0, 3  # exit codes, as those of ``featurekit run``

Work: TypeAlias = Callable[[Any, Progress], Measured]
"""``(backbone, progress)``: what came out."""


@dataclass(frozen=True)
class Rows:
    """What an analysis sends through the network, for the cost that is told before it begins."""

    count: int
    size_px: tuple[int, int] | None = None  # height and width of a picture; none: the model's own
    bound: str = ""  # words before the number, where it is no more than that


def size_of(gallery: Gallery) -> tuple[int, int] | None:
    """Height and width of the first picture of a folder; they are mostly of one size."""
    for image in gallery.images.values():
        return image.shape[2], image.shape[3]
    return None


def gallery_images(
    gallery: Gallery,
    count: int,
    backbone: Any,  # noqa: ANN401  # any family
) -> list[Tensor]:
    """Take the pictures given or, where there are none, held-out scenes of the trained kinds.

    Args:
        gallery: pictures; may be empty.
        count: of scenes, the kinds in turn.
        backbone: a loaded model, whose device they go to.

    Returns:
        Images (1 3 h w) in [-1, 1].
    """
    if gallery.images:
        return [image.to(backbone.device) for image in gallery.images.values()]
    size, kinds = side_px(backbone), TRAINED_KINDS
    each = -(-count // len(kinds))
    rows = zip(*(scenes_of(kind, each) for kind in kinds), strict=True)
    scenes = [scene for row in rows for scene in row][:count]
    return [image_of(scene, size).to(backbone.device) for scene in scenes]


def done(
    name: str, options: AnalyseOptions, work: Work, rows: Rows, gallery: Gallery | None = None
) -> int:
    """Load the model, say the cost, do the work, write and show what came out and was passed over.

    Args:
        name: of the analysis, and of its file of figures.
        options: what was asked for; kept with the figures.
        work: the analysis.
        rows: what goes through the network for it.
        gallery: the pictures, for what was left out of them.

    Returns:
        The exit code: 0, or 3 if a picture was left out.

    Raises:
        FeatureKitError: the model cannot be loaded, the work refuses, or nothing can be written;
            then no new folder stays behind.
    """
    with bar("load the backbone"):
        backbone = backbone_of_words(options)
    size_px = rows.size_px or (side_px(backbone), side_px(backbone))
    say_cost(backbone, size_px, rows.count, of=rows.bound)
    with folder_for_results(options.out) as out:
        with bar(name) as progress:
            measured = work(backbone, progress)
        made = {"settings": asdict(options), "weights": dict(backbone.weights)}
        written = [write_json({**measured.figures, **made}, out / f"{name}.json")]
        for stem, picture in measured.pictures.items():
            make_folder((out / stem).parent)
            written.append(write_image(picture, out / f"{stem}.png"))
    show_figures(name, measured.figures)
    sys.stdout.write("".join(f"{path}\n" for path in written))
    skipped = gallery.skipped if gallery else {}
    over = {path.name: reason for path, reason in skipped.items()}
    over |= measured.figures.get("skipped", {})
    sys.stderr.write("".join(f"skipped {one}: {reason}\n" for one, reason in over.items()))
    if gallery and gallery.told:
        sys.stderr.write(f"{gallery.told}\n")
    return SKIPPED if over else DONE
