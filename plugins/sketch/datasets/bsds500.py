"""BSDS500: photographs with the boundaries that about five people saw in each, as drawings.

Source of the layout: the loaders of the set that are public (``BSR/BSDS500/data``): 200 pictures
of ``train``, 100 of ``val``, 200 of ``test``. Arbelaez et al. 2011, doi:10.1109/TPAMI.2010.161.
"""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from featurekit_sketch.datasets.items import Drawings, Item, Listed, by_stem, listed_pictures
from featurekit_sketch.datasets.matlab_reader import read_boundaries

NAME, STYLE = "BSDS500", "boundaries"
NEEDED = "images/{test,val,train}/*.jpg with groundTruth/{test,val,train}/*.mat (BSDS500)"
SPLITS = ("test", "val", "train")  # so the first 200 pictures are those of the published tests


def fits(folder: Path) -> bool:
    """Whether a folder is the set, or some of its parts."""
    return any(
        (folder / "images" / split).is_dir() and (folder / "groundTruth" / split).is_dir()
        for split in SPLITS
    )


def listed(folder: Path) -> Listed:
    """The pictures of the test part first, then of ``val`` and ``train``."""
    items: list[Item] = []
    broken: list[str] = []
    for split in SPLITS:
        pictures, unreadable = listed_pictures(folder / "images" / split)
        broken += unreadable
        truths = by_stem(sorted((folder / "groundTruth" / split).glob("*.mat")))
        for picture in pictures:
            name = f"{split}/{picture.stem}"
            truth = truths.pop(picture.stem, None)
            if truth is None:
                broken.append(f"{name}: there is no groundTruth/{split}/{picture.stem}.mat")
            else:
                items.append(Item(name, picture, (STYLE,), partial(_drawings, truth)))
        broken += [
            f"{split}/{stem}: there is no picture of it in images/{split}" for stem in truths
        ]
    return Listed(tuple(items), tuple(broken))


def _drawings(truth: Path, image: Tensor) -> Drawings:
    del image
    marked = [torch.from_numpy(one.astype("float32")) for one in read_boundaries(truth)]
    return {STYLE: [1 - one[None, None] for one in marked]}
