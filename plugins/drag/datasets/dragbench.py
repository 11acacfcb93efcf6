"""DragBench's samples, and those of the sets that took over its form (DragBench-SR).

Source: Shi et al. 2024, arXiv:2306.14435, release v0.1.1 of Yujun-Shi/DragDiffusion; the form of
DragBench-SR and -DR from the README of Visual-AI/RegionDrag (Lu et al. 2024, arXiv:2407.18247).
"""

from featurekit.core.errors import ConfigError
from featurekit_drag.datasets.pickle_reader import read_pickle
from featurekit_drag.datasets.samples import (
    Sample,
    entry,
    mask_of_numbers,
    picture,
    rows_of_pixels,
    subject,
)
from featurekit_drag.inputs import Subject

MARKS = ("meta_data.pkl",)


def read(sample: Sample) -> Subject:
    """Read ``original_image.png`` and ``meta_data.pkl`` (prompt, points, mask) of a sample.

    What lies beside them is not read: ``user_drag.png`` is a drawing of the drag,
    ``meta_data_region.pkl`` and ``meta_data_i4p.pkl`` say the same drag as regions, and are what
    their methods are steered by, not what edits are measured by.

    Raises:
        ConfigError: the pickle holds anything but plain data, of which nothing is called, or an
            entry is missing.
        ImageError, MaskError, PointsError: a part is missing or does not fit the others.
    """
    image = picture(sample.folder, "original_image.png")
    record = read_pickle(sample.folder / MARKS[0])
    if not isinstance(record, dict):
        raise ConfigError(f"{MARKS[0]} must hold a dict, got a {type(record).__name__}")
    rows = rows_of_pixels(entry(record, "points"))
    mask = mask_of_numbers(entry(record, "mask"), image)
    return subject(sample, image, rows, mask=mask, prompt=entry(record, "prompt"))
