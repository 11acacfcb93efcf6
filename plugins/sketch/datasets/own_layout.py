"""The layout of our own, into which any other set is brought: folders, or a table.

Folders: ``pictures/NAME.jpg`` and ``drawings/STYLE/NAME.png``, paired by name without ending.
Table: ``pairs.csv`` with the columns ``picture``, ``drawing`` and perhaps ``style``, paths from its
own folder; several drawings of one picture in one style are of several people.
"""

import csv
from functools import partial
from pathlib import Path

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

NAME, STYLE = "featurekit's own", "drawing"
NEEDED = (
    "pictures/NAME.jpg with drawings/STYLE/NAME.png, or pairs.csv with the columns picture, "
    "drawing and style (any other set, such as 4SKST, brought into this form as "
    "plugins/sketch/README.md says)"
)
TABLE = "pairs.csv"
Paths = dict[str, list[Path]]


def fits(folder: Path) -> bool:
    """Whether a folder has our layout."""
    folders = (folder / "pictures").is_dir() and (folder / "drawings").is_dir()
    return folders or (folder / TABLE).is_file()


def listed(folder: Path) -> Listed:
    """The pictures by name, or in the order of the table, which goes first where there are both.

    Raises:
        ConfigError: the table cannot be read or has other columns, or there is no folder of a
            style.
    """
    return _of_table(folder) if (folder / TABLE).is_file() else _of_folders(folder)


def _of_folders(folder: Path) -> Listed:
    pictures, broken = listed_pictures(folder / "pictures")
    lacking = list(broken)
    styles: dict[str, dict[str, Path]] = {}
    for one in sorted((folder / "drawings").iterdir()):
        if one.is_dir() and not one.name.startswith((".", "__")):
            drawings, unreadable = listed_pictures(one)
            styles[one.name] = by_stem(drawings)
            lacking += unreadable
    if not styles:
        raise ConfigError("drawings/ must hold a folder for each style, got none; make one")
    items = []
    for picture in pictures:
        found: Paths = {}
        for style, drawings_of_it in styles.items():
            drawing = drawings_of_it.pop(picture.stem, None)
            if drawing is None:
                lacking.append(f"{picture.stem}: there is no drawing of it in drawings/{style}")
            else:
                found[style] = [drawing]
        if found:
            items.append(Item(picture.stem, picture, tuple(found), partial(_drawings, found)))
    lacking += [
        f"{style}/{stem}: there is no picture of it in pictures/"
        for style, left in styles.items()
        for stem in left
    ]
    return Listed(tuple(items), tuple(lacking))


def _of_table(folder: Path) -> Listed:
    found: dict[str, Paths] = {}
    try:
        with (folder / TABLE).open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream)
            missing = {"picture", "drawing"} - set(rows.fieldnames or ())
            if missing:
                raise ConfigError(
                    f"{TABLE} must have the columns picture, drawing and perhaps style, "
                    f"got no {' and no '.join(sorted(missing))}"
                )
            for number, row in enumerate(rows, start=2):
                picture, drawing = row["picture"], row["drawing"]
                if not picture or not drawing:
                    raise ConfigError(f"{TABLE} must name two files in every row, not in {number}")
                style = row.get("style") or STYLE
                found.setdefault(picture, {}).setdefault(style, []).append(folder / drawing)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{TABLE} must be a table that can be read: {error}") from error
    return Listed(
        tuple(
            Item(name, folder / name, tuple(drawings), partial(_drawings, drawings))
            for name, drawings in found.items()
        )
    )


def _drawings(paths: Paths, image: Tensor) -> Drawings:
    del image
    return {style: [read_ink(path) for path in some] for style, some in paths.items()}
