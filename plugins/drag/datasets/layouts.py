"""Which data set lies in a folder: a layout for each form that is known, and its samples."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from featurekit.core.errors import ConfigError
from featurekit_drag.datasets import dragbench, true_targets
from featurekit_drag.datasets.samples import Sample
from featurekit_drag.inputs import Subject

NUMBER = re.compile(r"_\d+$")  # art_0 is a sample of the category art where there are no folders
LISTED = 6  # names in a sentence


@dataclass(frozen=True)
class Layout:
    """A form of data sets: the files that a sample of it is known by, and how it is read."""

    name: str
    name_flat: str  # where the samples lie in no folders of categories
    marks: tuple[str, ...]
    read: Callable[[Sample], Subject]

    def fits(self, folder: Path) -> bool:
        """Whether a folder is a sample of this form."""
        return all((folder / mark).is_file() for mark in self.marks)


LAYOUTS = (
    Layout("DragBench-DR", "DragBench-SR", dragbench.MARKS, dragbench.read),
    Layout("VFD-Bench", "VFD-Bench", true_targets.MARKS_VFD, true_targets.read_vfd),
    Layout("featurekit's own", "featurekit's own", true_targets.MARKS, true_targets.read),
)
NEEDED = (
    "[CATEGORY/]SAMPLE/ with meta_data.pkl and original_image.png (DragBench-DR, -SR), with "
    "points.json, input.png, gt.png and mask.png (VFD-Bench), or with drag.json and source.png "
    "(any other set, brought into this form as plugins/drag/README.md says)"
)


@dataclass(frozen=True)
class DragData:
    """A data set as it lies on disk."""

    name: str
    folder: Path
    layout: Layout
    samples: tuple[Sample, ...]  # by name
    broken: tuple[str, ...]  # folders among the samples that are none, each with the reason


def open_dataset(path: str | Path) -> DragData:
    """List the samples of a data set, in the order of their names; none is read yet.

    Args:
        path: a folder of samples, or of categories of samples.

    Raises:
        ConfigError: there is no such folder, it holds no sample of a known form, or samples of
            several sets.
    """
    root = Path(path).expanduser()
    folders = _folders(root)
    found = [layout for layout in LAYOUTS if any(map(layout.fits, _two_levels(folders)))]
    if not found:
        raise ConfigError(f"plugin.dataset must hold {NEEDED}; {str(path)!r} has {_has(root)}")
    if len(found) > 1:
        names = " and ".join(layout.name for layout in found)
        raise ConfigError(
            f"plugin.dataset must be one data set, {str(path)!r} has samples of {names}; name one"
        )
    return _listed(root, folders, found[0])


def _listed(root: Path, folders: Sequence[Path], layout: Layout) -> DragData:
    flat = [folder for folder in folders if layout.fits(folder)]
    if flat:
        samples = [Sample(one.name, NUMBER.sub("", one.name), one) for one in flat]
        others = [one for one in folders if one not in flat]
    else:
        inner = [one for folder in folders for one in _folders(folder)]
        samples = [
            Sample(f"{one.parent.name}/{one.name}", one.parent.name, one)
            for one in inner
            if layout.fits(one)
        ]
        others = [one for one in inner if not layout.fits(one)]
    deeper = [one.name for one in others if any(map(layout.fits, _folders(one)))]
    if deeper:
        raise ConfigError(
            f"plugin.dataset must be one data set, {str(root)!r} has more than one: samples lie "
            f"at different depths, as in {deeper[0]}/; give the folder of one of them"
        )
    lacking = " and ".join(layout.marks)
    broken = [f"{one.relative_to(root).as_posix()}: there is no {lacking}" for one in others]
    name = layout.name_flat if flat else layout.name
    return DragData(name, root, layout, tuple(samples), tuple(broken))


def _folders(root: Path) -> list[Path]:
    """Sub-folders by name, without hidden ones and what macOS leaves in archives."""
    try:
        inside = sorted(root.iterdir())
        return [one for one in inside if one.is_dir() and not one.name.startswith((".", "__"))]
    except OSError as error:
        raise ConfigError(
            f"plugin.dataset must be a folder that can be read, {str(root)!r} is not: "
            f"{error.strerror}"
        ) from error


def _two_levels(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield folder
        yield from _folders(folder)


def _has(root: Path) -> str:
    """What a folder holds, for a sentence; a data set one level farther in is pointed at."""
    for folder in _folders(root):
        for layout in LAYOUTS:
            if any(map(layout.fits, _two_levels(_folders(folder)))):
                return f"a data set in {folder.name}/; give plugin.dataset={root / folder.name}"
    names = [f"{one.name}/" if one.is_dir() else one.name for one in sorted(root.iterdir())]
    shown = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
    return f"none of these ({shown})" if names else "nothing"
