"""Reading a folder of SPair-71k, or one laid out like it: pairs of photographs with marked points.

``PairAnnotation/<split>/*.json`` names two pictures of ``JPEGImages/<category>/`` and their points.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.core.json_files import read_json
from featurekit.measures.points.pck import PointPair
from featurekit.measures.points.pck_sheet import Points

PAIRS, PICTURES = "PairAnnotation", "JPEGImages"
NEEDED = ("src_imname", "trg_imname", "src_kps", "trg_kps", "trg_bndbox", "category")


def spair_pairs(
    folder: Path | str,
    *,
    split: str = "test",
    categories: Sequence[str] = (),
    most: int | None = None,
) -> list[PointPair]:
    """List the pairs of a split.

    Args:
        folder: holds ``PairAnnotation`` and ``JPEGImages``.
        split: sub-folder of ``PairAnnotation``: trn, val or test.
        categories: which to take; none takes all.
        most: pairs of each category, the first by name; None takes all.

    Returns:
        Pairs by the name of their file. The pictures are not opened.

    Raises:
        ConfigError: the folder is laid out otherwise, a record is damaged or lacks something, a
            picture is missing, or there is no pair.
        UnknownNameError: there is no such split or category.

    Source: layout of Min et al. 2019, arXiv:1908.10543, as its README describes it.
    """
    root = Path(folder).expanduser()
    _check(root, split, categories)
    pairs, taken = [], Counter[str]()
    for path in sorted((root / PAIRS / split).glob("[!.]*.json")):  # macOS leaves ._ files
        record = _record(path)
        category = str(record["category"])
        wanted = not categories or category in categories
        if wanted and (most is None or taken[category] < most):
            taken[category] += 1
            pairs.append(_pair(root, record, path))
    if not pairs:
        raise ConfigError(
            f"a split must hold a pair, but {split!r} of {str(folder)!r} has none that is asked for"
        )
    return pairs


def _check(root: Path, split: str, categories: Sequence[str]) -> None:
    """Refuse a folder that is laid out otherwise, and names that it does not know."""
    for part in (PAIRS, PICTURES):
        if not (root / part).is_dir():
            raise ConfigError(
                f"a folder of SPair-71k must hold {PAIRS} and {PICTURES}, but {str(root)!r} "
                f"has no {part}; give the folder that its archive unpacks to"
            )
    splits = _folders(root / PAIRS)
    if split not in splits:
        raise UnknownNameError("split", split, splits)
    known = _folders(root / PICTURES)
    for name in categories:
        if name not in known:
            raise UnknownNameError("category", name, known)


def _folders(path: Path) -> set[str]:
    return {one.name for one in path.iterdir() if one.is_dir() and not one.name.startswith(".")}


def _record(path: Path) -> dict[str, Any]:
    record = read_json(path)
    missing = [name for name in NEEDED if name not in record]
    if missing:
        raise ConfigError(
            f"a pair must name {', '.join(NEEDED)}, but {path.name} lacks {', '.join(missing)}"
        )
    return record


def _pair(root: Path, record: dict[str, Any], path: Path) -> PointPair:
    category = str(record["category"])
    pictures = [root / PICTURES / category / str(record[name]) for name in NEEDED[:2]]
    for picture in pictures:
        if not picture.is_file():
            raise ConfigError(
                f"the pictures of a pair must lie in {PICTURES}/{category}, but {path.name} names "
                f"{picture.name}, which does not"
            )
    try:
        left, top, right, bottom = (float(value) for value in record["trg_bndbox"])
        source, target = _points(record["src_kps"]), _points(record["trg_kps"])
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"points must be lists of x and y and a box four numbers, but in {path.name} {error}"
        ) from error
    if not (right > left and bottom > top):
        raise ConfigError(
            f"a box must run from left to right and from top to bottom, got "
            f"{json.dumps(record['trg_bndbox'])} in {path.name}"
        )
    return PointPair(pictures[0], pictures[1], source, target, (left, top, right, bottom), category)


def _points(given: Any) -> Points:  # noqa: ANN401  # JSON has no static type
    return tuple((float(x), float(y)) for x, y in given)
