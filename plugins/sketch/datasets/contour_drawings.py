"""The contour drawings of Photo-Sketching: 1,000 photographs, each drawn by five people.

Source: Li, Lin, Mech, Yumer and Ramanan 2019, arXiv:1901.00542, and how its authors describe the
folders of their set. No copy of it was at hand: another layout is refused, not guessed at.
"""

import re
from functools import partial
from pathlib import Path

from torch import Tensor

from featurekit_sketch.datasets.items import Drawings, Item, Listed, listed_pictures, read_ink

NAME, STYLE = "Photo-Sketching contours", "contours"
NEEDED = "image/*.jpg with sketch-rendered/width-*/NAME_01.png ... (Photo-Sketching contours)"
WIDTH = re.compile(r"width-(\d+)")
DRAWN = re.compile(r"(.+)_\d+")  # the picture's name, then who drew it


def fits(folder: Path) -> bool:
    """Whether a folder is the set."""
    return (folder / "image").is_dir() and bool(_widths(folder))


def listed(folder: Path) -> Listed:
    """The pictures by name, each with its drawings at the thinnest width that there is."""
    pictures, broken = listed_pictures(folder / "image")
    rendered = _widths(folder)[0]
    drawings, unreadable = listed_pictures(rendered)
    found: dict[str, list[Path]] = {}
    for path in drawings:
        match = DRAWN.fullmatch(path.stem)
        found.setdefault(match[1] if match else path.stem, []).append(path)
    items, lacking = [], []
    for picture in pictures:
        of_it = found.pop(picture.stem, None)
        if of_it is None:
            lacking.append(f"{picture.stem}: there is no {rendered.name}/{picture.stem}_01.png")
        else:
            items.append(Item(picture.stem, picture, (STYLE,), partial(_drawings, tuple(of_it))))
    lacking += [f"{stem}: there is no picture of it in image" for stem in found]
    return Listed(tuple(items), (*broken, *unreadable, *lacking))


def _widths(folder: Path) -> list[Path]:
    """Folders of rendered drawings, the thinnest first."""
    widths = {
        int(match[1]): one
        for one in (folder / "sketch-rendered").glob("width-*")
        if one.is_dir() and (match := WIDTH.fullmatch(one.name))
    }
    return [widths[px] for px in sorted(widths)]


def _drawings(paths: tuple[Path, ...], image: Tensor) -> Drawings:
    del image
    return {STYLE: [read_ink(path) for path in paths]}
