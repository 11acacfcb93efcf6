"""Where results go: under names of their own, and never onto what they are made of."""

from collections.abc import Collection, Iterable, Sequence
from itertools import chain, count
from pathlib import Path

from featurekit.core.errors import ConfigError


def free_names(paths: Sequence[Path], *, taken: Collection[str] = ()) -> list[str]:
    """Name a result for each picture: by its stem, and by something longer where that is taken.

    Names that differ only in case count as one, since some disks cannot hold both.

    Args:
        paths: the pictures.
        taken: names that are none of theirs.

    Returns:
        One name for each path, in order, all different.
    """
    known, found = {name.casefold() for name in taken}, []
    for path in paths:
        stem = path.stem
        short = (stem, path.name.replace(".", "_"), f"{stem}_sketch")
        names = chain(short, (f"{stem}_sketch_{number}" for number in count(2)))
        found.append(next(name for name in names if name.casefold() not in known))
        known.add(found[-1].casefold())
    return found


def keep_apart(inputs: Iterable[Path], targets: Iterable[Path]) -> None:
    """Refuse results that would replace a file that they are made of.

    Args:
        inputs: files that are read.
        targets: files that are going to be written.

    Raises:
        ConfigError: a target is one of the inputs, by whatever name.
    """
    given = {_identity(one) for one in inputs if one.exists()}
    for target in targets:
        if target.exists() and _identity(target) in given:
            raise ConfigError(
                f"out must be a folder where no result replaces what it is made of, but "
                f"{str(target)!r} is one of the given files; choose another out"
            )


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
