"""FS2K: 2,104 faces, each drawn once, in one of three styles.

Source: Fan et al. 2022, arXiv:2112.15439, and how its authors describe their files: the records
of ``anno_test.json`` and ``anno_train.json`` name a photograph as ``photo1/image0110``, whose
drawing is ``sketch1/sketch0110``. No copy was at hand: a record of another form is left out and
named.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit_sketch.datasets.items import (
    Drawings,
    Item,
    Listed,
    by_stem,
    listed_pictures,
    read_ink,
)

NAME = "FS2K"
NEEDED = "photo/photo1/image*.jpg and sketch/sketch1/sketch*.jpg with anno_test.json (FS2K)"
RECORDS = ("anno_test.json", "anno_train.json")  # so the test part comes first
IMAGE = re.compile(r"photo(\d+)/image(\d+)")


def fits(folder: Path) -> bool:
    """Whether a folder is the set."""
    return (
        (folder / "photo").is_dir()
        and (folder / "sketch").is_dir()
        and any((folder / record).is_file() for record in RECORDS)
    )


def listed(folder: Path) -> Listed:
    """The pictures of the test part first, each with its drawing under ``style 1`` to ``3``.

    Raises:
        ConfigError: the records are no JSON list of mappings.
    """
    known: dict[Path, tuple[dict[str, Path], tuple[str, ...]]] = {}

    def file(below: Path, stem: str) -> Path | None:
        if below not in known:
            pictures, unreadable = listed_pictures(below)
            known[below] = by_stem(pictures), unreadable
        return known[below][0].get(stem)

    items: list[Item] = []
    broken: list[str] = []
    for name in _names(folder):
        match = IMAGE.fullmatch(name)
        if match is None:
            broken.append(f"{name[:60]}: image_name must be such as photo1/image0110")
            continue
        style, number = match.groups()
        photo = file(folder / "photo" / f"photo{style}", f"image{number}")
        sketch = file(folder / "sketch" / f"sketch{style}", f"sketch{number}")
        if photo is None or sketch is None:
            lacking = f"photo/{name}" if photo is None else f"sketch/sketch{style}/sketch{number}"
            broken.append(f"{name}: there is no picture {lacking}")
        else:
            told = f"style {style}"
            items.append(Item(name, photo, (told,), partial(_drawings, told, sketch)))
    unreadable = [one for _, some in known.values() for one in some]
    return Listed(tuple(items), (*broken, *unreadable))


def _names(folder: Path) -> Iterator[str]:
    """What the records call their photographs."""
    for record in RECORDS:
        path = folder / record
        if not path.is_file():
            continue
        try:
            entries: Any = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{record} of FS2K must be JSON that can be read: {error}") from error
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise ConfigError(f"{record} of FS2K must be a list of mappings with image_name")
        for one in entries:
            yield str(one.get("image_name", "a record without image_name"))


def _drawings(style: str, sketch: Path, image: Tensor) -> Drawings:
    del image
    return {style: [read_ink(sketch)]}
