"""A log of lines that outlives its writers: a file that grows, at an address an object a line.

An object's name begins with the number of its line and ends with a hash of it. Who adds a line
takes the number after the last; two who do so at once have two objects, of one number, in the order
of their hashes. What the objects hold, in the order of their names, is what the file would.
"""

import os
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from featurekit.core.atomic import replacing, unwritable
from featurekit.store.places.address import Address
from featurekit.store.places.place import Place, read_each

LINE = ".line"  # ending of an object that is a line


def read_logs(folders: Sequence[Place], name: str) -> list[bytes]:
    """Read the logs of several folders; nothing of one that has none.

    Args:
        folders: of one kind.
        name: of the file; at an address, its stem is where the lines lie.
    """
    entries: list[list[Place]] = [
        list(_lines(folder, name)) if isinstance(folder, Address) else [folder / name]
        for folder in folders
    ]
    contents = read_each([one for some in entries for one in some])
    return [b"".join(next(contents) or b"" for _ in some) for some in entries]


def append_line(folder: Place, name: str, line: bytes) -> None:
    """Add a line, on the disk or at the address when this returns.

    A torn last line of a file is cut off first. At an address a line that is there stays alone:
    two who do the same work have it once.

    Args:
        folder: of the log; one of this machine must be held.
        name: of the log.
        line: with its end.

    Raises:
        OutputError: it cannot be written.
    """
    if isinstance(folder, Address):
        if not any(one.stem.endswith(_hash(line)) for one in _lines(folder, name)):
            _put_lines(folder, name, [line])
        return
    path = folder / name
    try:
        whole = path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0
        sync_folder(folder)  # the names of files before the line that promises them
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.ftruncate(descriptor, whole)
            os.pwrite(descriptor, line, whole)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not whole:
            sync_folder(folder)
    except OSError as error:
        raise unwritable(path, error) from error


def replace_lines(folder: Place, name: str, lines: Iterable[bytes]) -> None:
    """Write a log anew, as a whole; at an address the new lines first, then the old ones go.

    Args:
        folder: of the log; one of this machine must be held.
        name: of the log.
        lines: each with its end.

    Raises:
        OutputError: it cannot be written; the old one stays, at an address before the new one.
    """
    if isinstance(folder, Address):
        before = _lines(folder, name)
        _put_lines(folder, name, list(lines))
        for one in before:
            one.unlink(missing_ok=True)
        return
    with replacing(folder / name) as temporary:
        temporary.write_bytes(b"".join(lines))
    sync_folder(folder)


def changed_ns(folder: Place, name: str) -> int:
    """Tell when a log was last written; 0 if there is none."""
    if isinstance(folder, Address):
        return max((one.stat().st_mtime_ns for one in _lines(folder, name)), default=0)
    path = folder / name
    return path.stat().st_mtime_ns if path.exists() else 0


def sync_folder(folder: Path) -> None:
    """Bring the names of a folder's files to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lines(folder: Address, name: str) -> list[Address]:
    """The objects of a log, in its order."""
    found = (folder / Path(name).stem).iterdir()
    return sorted((one for one in found if one.suffix == LINE), key=lambda one: one.name)


def _hash(line: bytes) -> str:
    return sha256(line).hexdigest()[:16]


def _put_lines(folder: Address, name: str, lines: Sequence[bytes]) -> None:
    there = _lines(folder, name)
    first = 1 + int(there[-1].name.partition("-")[0]) if there else 0
    for number, text in enumerate(lines, start=first):
        at = f"{number:06d}-{_hash(text)}{LINE}"
        (folder / Path(name).stem / at).put(text)
