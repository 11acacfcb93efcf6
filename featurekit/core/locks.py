"""Keeping a folder to one process for the length of a block."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout, lock_descriptor

from featurekit.core.atomic import unwritable
from featurekit.core.errors import OutputError

LOCK = ".lock"
MOMENT_S = 0.1  # who asks ``is_held`` holds a free folder, but for less than this
_ASKED = 3  # times within it
_FOREVER_S = -1  # as filelock words it


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Wait until no other process holds the folder, then hold it.

    The operating system ends the hold when its process ends, however that happens; processes
    forked meanwhile have no part in it. The empty file ``.lock`` stays.

    Args:
        folder: an existing folder that may be written to.

    Raises:
        OutputError: the lock cannot be made there.
        RuntimeError: this thread holds the folder already, so the wait would have no end.
    """
    with _locked(folder, _FOREVER_S):
        yield


@contextmanager
def held_if_free(
    folder: Path, *, of: str = "a store", advice: str = "wait until it is done"
) -> Iterator[None]:
    """Hold a folder that no other process holds; see ``held``.

    Args:
        folder: an existing folder that may be written to.
        of: what the folder is, for the message.
        advice: what to do where it is held, for the message.

    Raises:
        OutputError: another process holds it, or the lock cannot be made there.
    """
    with _locked(folder, MOMENT_S, of, advice):
        yield


def is_held(folder: Path) -> bool:
    """Tell whether another process holds a folder now; nothing is made or kept.

    Args:
        folder: an existing folder, also one that cannot be written to.

    Returns:
        True also where the file system does not let a reader find out.
    """
    descriptor = _opened(folder / LOCK)
    if descriptor is None:  # nobody ever held it
        return False
    try:
        for _ in range(_ASKED):
            if lock_descriptor(descriptor, blocking=False):
                return False
            time.sleep(MOMENT_S / _ASKED)  # it may have been another who asks
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return True


def _opened(path: Path) -> int | None:
    """A descriptor of an existing file, for writing if that may be: NFS locks no other."""
    for way in (os.O_RDWR, os.O_RDONLY):
        with suppress(OSError):
            return os.open(path, way)
    return None


@contextmanager
def _locked(
    folder: Path, patience_s: float, of: str = "a store", advice: str = "wait until it is done"
) -> Iterator[None]:
    # kept as a file, the lock is the system's everywhere or refused, never a mark that outlives us
    try:
        lock = FileLock(folder / LOCK, patience_s, thread_local=False, preserve_lock_file=True)
    except ValueError as error:  # filelock has marks alone, where Python lacks fcntl
        raise OutputError(
            f"a store must be locked by the operating system, but this Python cannot ask for "
            f"that ({sys.platform} without fcntl); use a Python that has the module, or write "
            f"files in place of a store, with out=..."
        ) from error
    try:
        folder.stat()  # filelock would make what is missing
        lock.acquire()
    except Timeout as error:
        raise OutputError(
            f"{of} must not be in use, but another process writes to {str(folder)!r}; {advice}"
        ) from error
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield
    finally:
        lock.release()
