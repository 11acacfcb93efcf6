"""Where a store lies, whichever kind of place that is; this folder alone asks which it is.

A folder has renames, so that a file is replaced as a whole, and locks, so that one process at a
time works on a group. An address has neither and needs neither: objects are put as a whole, under
names that say what is in them, so that whoever puts one again puts the same bytes.
"""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from shutil import disk_usage
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from featurekit.core.atomic import make_folder, replacing
from featurekit.core.errors import ConfigError, OutputError
from featurekit.core.locks import held, held_if_free, is_held
from featurekit.store.places.address import Address, found
from featurekit.store.places.services import in_time, is_address, refused
from featurekit.store.places.silence import AT_ONCE

Place: TypeAlias = Path | Address
"""A folder or file of this machine, or one at an address."""

SETTLED_S = 3600  # age of an object, after which nobody is about to name it
_TRIED = ".tried"  # the object that a place is tried with; it stays where nothing may be removed


def place_at(folder: Place | str) -> Place:
    """Find where a store lies.

    Args:
        folder: a folder, or an address as text: ``s3://bucket/prefix``; ``file://`` is a folder.

    Raises:
        FeatureKitError: it is an address at which no store can be, or that does not answer.
    """
    if isinstance(folder, Address):
        return folder
    text = str(folder)
    if isinstance(folder, Path):
        if re.match(r"\w[\w+.-]+:/[^/]", text) and not folder.exists():
            raise ConfigError(
                f"the address of a store must be text, since a path loses a slash of it, got the "
                f"path {text!r}"
            )
        return folder
    if not is_address(text):
        return Path(text)
    if text.startswith(("file://", "local://")):
        parts = urlsplit(text)
        return Path(unquote(f"{parts.netloc}{parts.path}"))
    return found(text)


def place_to_write(folder: Place | str) -> Place:
    """Find where a store is to lie; an address is tried, before hours of work for it.

    Raises:
        FeatureKitError: as for ``place_at``.
        OutputError: nothing can be written at the address.
    """
    place = place_at(folder)
    return place if isinstance(place, Path) else writable(place)


def in_this_process(place: Place) -> bool:
    """Tell whether a place is memory that no other process sees."""
    return isinstance(place, Address) and place.root.startswith("memory://")


def writable(place: Place) -> Place:
    """Make a folder, or try an address, before work is done for it.

    Raises:
        OutputError: nothing can be written there.
        ConfigError: nothing was taken in time.
    """
    if isinstance(place, Path):
        return make_folder(place)
    in_time(lambda: _try(place / _TRIED), place.root, "take an object")
    return place


def _try(tried: Address) -> None:
    try:
        tried.put(b"")
    except OutputError as error:
        if error.__cause__ is None:
            raise
        told = refused(tried.root, "be writable", error.__cause__)  # of the store, not of the try
        raise OutputError(f"results at {told}") from error
    with suppress(OutputError):  # many may put what they may not remove
        tried.unlink(missing_ok=True)


def prepared(folder: Place) -> Place:
    """Make a folder in a place that is writable; at an address there is nothing to make.

    Raises:
        OutputError: it cannot be made, or nothing can be written into it.
    """
    return make_folder(folder) if isinstance(folder, Path) else folder


def write_whole(path: Place, content: bytes) -> None:
    """Write a file or an object as a whole.

    Raises:
        OutputError: it cannot be written; what was there stays.
    """
    if isinstance(path, Address):
        path.put(content)
        return
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_first(path: Place, content: bytes) -> None:
    """Write what several may write at once, of whom at an address the first alone does it.

    A folder is held meanwhile, so there it is written as a whole.

    Raises:
        OutputError: it cannot be written.
    """
    if isinstance(path, Address):
        path.put_new(content)
    else:
        write_whole(path, content)


def is_near(place: Place) -> bool:
    """Tell whether reading costs no way to a service."""
    return isinstance(place, Path)


def of_content(path: Place, digest: str) -> Place:
    """Name a file; at an address, where several may write it at once, by what is in it as well."""
    if isinstance(path, Path):
        return path
    return path.parent / f"{path.stem}-{digest[:16]}{path.suffix}"


def read_each(paths: Sequence[Place]) -> Iterator[bytes | None]:
    """Read files one by one, objects many at a time; of what is not there None."""
    for start in range(0, len(paths), AT_ONCE):
        some = paths[start : start + AT_ONCE]
        addresses = [one for one in some if isinstance(one, Address)]
        if addresses:
            yield from addresses[0].read_together(addresses)
            continue
        for path in some:
            yield path.read_bytes() if path.exists() else None


def sizes_in(folder: Place) -> dict[str, int]:
    """Bytes of each file of a folder, by name; none where there is no folder."""
    if isinstance(folder, Address):
        return {name: one.st_size for name, one in folder.children().items() if not one.folder}
    if not folder.is_dir():
        return {}
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}


def folders_in(root: Place) -> list[Place]:
    """List the folders in a folder, in order."""
    if isinstance(root, Address):
        return [root / name for name, one in root.children().items() if one.folder]
    folders: list[Place] = [path for path in root.iterdir() if path.is_dir()]
    return sorted(folders, key=lambda path: path.name)


def looked_at(root: Place) -> Place:
    """A root whose names and sizes are those of now, asked for together where each would cost."""
    return root if isinstance(root, Path) else root.listed()


def settled(paths: Sequence[Place]) -> list[Place]:
    """Leave out what another process may be about to name: at an address nobody is kept out."""
    before_ns = time.time_ns() - SETTLED_S * 10**9
    return [one for one in paths if isinstance(one, Path) or one.stat().st_mtime_ns < before_ns]


def free_bytes(place: Place) -> int | None:
    """Bytes that are free; None where nobody can say."""
    if isinstance(place, Address):
        return None
    there = place.absolute()
    while not there.exists():
        there = there.parent
    return disk_usage(there).free


def holding(folder: Place) -> AbstractContextManager[None]:
    """Keep a folder to this process, waiting for others; an address cannot be kept."""
    return held(folder) if isinstance(folder, Path) else nullcontext()


def holding_if_free(folder: Place) -> AbstractContextManager[None]:
    """Keep a folder to this process, or refuse; an address cannot be kept.

    Raises:
        OutputError: another process holds the folder.
    """
    return held_if_free(folder) if isinstance(folder, Path) else nullcontext()


def in_use(folder: Place) -> bool:
    """Tell whether another process holds a folder; nobody holds an address."""
    return isinstance(folder, Path) and is_held(folder)
