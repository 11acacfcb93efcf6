"""Which data set lies in a folder: one layout for each form that is known, and its pictures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from featurekit.core.errors import ConfigError
from featurekit_sketch.datasets import automatic, bsds500, contour_drawings, fs2k, own_layout
from featurekit_sketch.datasets.items import Item, Listed
from featurekit_sketch.metrics.controls import Draw

DEEPEST = 3  # levels below a folder at which a data set is still pointed at
LISTED = 6  # names in a sentence


@dataclass(frozen=True)
class Layout:
    """A form of data sets with drawings: what it is known by, and what lies in it."""

    name: str
    needed: str  # the files that it is known by, for a sentence
    fits: Callable[[Path], bool]
    listed: Callable[[Path], Listed]


LAYOUTS = tuple(
    Layout(one.NAME, one.NEEDED, one.fits, one.listed)
    for one in (bsds500, contour_drawings, fs2k, own_layout)
)


@dataclass(frozen=True)
class SketchData:
    """A data set as it lies on disk; no picture of it is read."""

    name: str
    items: tuple[Item, ...]
    broken: tuple[str, ...]  # files that belong to it and cannot be used, each with why
    automatic: bool  # whether its drawings are made by rules


def open_dataset(path: str | Path, *, edge_model: Draw | None = None) -> SketchData:
    """List the pictures of a data set with where their drawings come from.

    Args:
        path: its folder.
        edge_model: draws photographs that have no drawings, beside XDoG.

    Raises:
        ConfigError: there is no such folder, it holds no set of a known layout, or several, or one
            with drawings of its own though an edge model is given, or nothing in it can be used.
    """
    root = Path(path).expanduser()
    _check_folder(root, path)
    found = [layout for layout in LAYOUTS if layout.fits(root)]
    if len(found) > 1:
        names = " and ".join(layout.name for layout in found)
        raise ConfigError(f"plugin.dataset must be one data set, {str(path)!r} is {names}; part it")
    if found and edge_model is not None:
        raise ConfigError(
            f"plugin.edge_model draws photographs that have no drawings, but those of "
            f"{found[0].name} have them; leave it out"
        )
    if found:
        name, listed = found[0].name, found[0].listed(root)
    elif (inner := _inner(root)) is None and automatic.fits(root):
        name, listed = automatic.NAME, automatic.listed(root, edge_model)
    else:
        needed = ", or ".join([*(layout.needed for layout in LAYOUTS), automatic.NEEDED])
        raise ConfigError(
            f"plugin.dataset must hold {needed}; {str(path)!r} has {_has(root, inner)}"
        )
    if not listed.items:
        why = f"; {listed.broken[0]}" if listed.broken else ""
        raise ConfigError(f"plugin.dataset must have a picture with its drawing, got none{why}")
    return SketchData(name, listed.items, listed.broken, automatic=not found)


def _check_folder(root: Path, path: str | Path) -> None:
    try:
        next(root.iterdir(), None)
    except OSError as error:
        raise ConfigError(
            f"plugin.dataset must be a folder that can be read, {str(path)!r} is not: "
            f"{error.strerror}"
        ) from error


def _inner(root: Path) -> Path | None:
    """A data set with drawings that lies further in."""
    below = [root]
    for _ in range(DEEPEST):
        below = [one for folder in below for one in _folders(folder)]
        for one in below:
            if any(layout.fits(one) for layout in LAYOUTS):
                return one
    return None


def _folders(root: Path) -> Iterator[Path]:
    """Sub-folders by name, without hidden ones and what macOS leaves in archives."""
    try:
        inside = sorted(root.iterdir())
    except OSError:
        return
    yield from (one for one in inside if one.is_dir() and not one.name.startswith((".", "__")))


def _has(root: Path, inner: Path | None) -> str:
    """What a folder holds, for a sentence."""
    if inner is not None:
        return f"one in {inner.relative_to(root).as_posix()}/; give plugin.dataset={inner}"
    names = [f"{one.name}/" if one.is_dir() else one.name for one in sorted(root.iterdir())]
    shown = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
    return f"none of these ({shown})" if names else "nothing"
