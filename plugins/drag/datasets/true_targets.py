"""Samples whose result is known: a layout of our own, and that of VidFrameDrag (VFD-Bench).

Ours is what any other set is brought into: a folder for each drag with ``source.png``,
``target.png`` (the picture after the move), ``drag.json`` and, if there is one, ``mask.png``,
white where the picture may change. ``drag.json`` is ``{"points": [[x0, y0, x1, y1], ...],
"prompt": "..."}``: handle then target of each drag in px of the source, origin at the corner, so
that the centre of the first pixel is 0.5; the prompt may be left out. The target may be left out
too; such a sample is measured as those of DragBench are.

Source of VFD's form: bench_flowdrag.py of kookie12/FlowDrag (Koo et al. 2025, arXiv:2507.08285).
"""

from featurekit.core.errors import PointsError
from featurekit.core.json_files import read_json
from featurekit.images.io import load_image
from featurekit_drag.datasets.samples import (
    Sample,
    entry,
    painted,
    picture,
    rows_of_pixels,
    subject,
)
from featurekit_drag.inputs import Subject

MARKS = ("drag.json",)
MARKS_VFD = ("points.json", "gt.png")


def read(sample: Sample) -> Subject:
    """Read a sample of our own layout.

    Raises:
        ConfigError: ``drag.json`` is no JSON mapping.
        ImageError, MaskError, PointsError: a part is missing or does not fit the others.
    """
    image = picture(sample.folder, "source.png", "source.jpg")
    record = read_json(sample.folder / MARKS[0])
    points = entry(record, "points")
    if not isinstance(points, list):
        raise PointsError(f"points must be a list of [x0, y0, x1, y1], got {points!r:.60}")
    target = next(
        (path for name in ("target.png", "target.jpg") if (path := sample.folder / name).exists()),
        None,
    )
    return subject(
        sample,
        image,
        points,
        mask=painted(sample.folder, "mask.png", image),
        prompt=record.get("prompt", ""),
        truth=None if target is None else load_image(target),
    )


def read_vfd(sample: Sample) -> Subject:
    """Read ``input.png``, ``gt.png``, ``mask.png`` and ``points.json`` of a sample of VFD-Bench.

    Its points are pixels in the order handle, target, handle, ...; there are no prompts.

    Raises:
        ConfigError: ``points.json`` is no JSON mapping.
        ImageError, MaskError, PointsError: a part is missing or does not fit the others.
    """
    image = picture(sample.folder, "input.png", "input.jpg", "input.PNG")
    rows = rows_of_pixels(entry(read_json(sample.folder / MARKS_VFD[0]), "points"))
    mask = painted(sample.folder, "mask.png", image)
    truth = picture(sample.folder, MARKS_VFD[1])
    return subject(sample, image, rows, mask=mask, truth=truth)
