"""Keeping a folder to one process for the length of a block. POSIX only."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from featurekit.core.atomic import unwritable
from featurekit.core.errors import OutputError

LOCK = ".lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Wait until no other process holds the folder, then hold it.

    The operating system ends the hold when its process ends, however that happens; the empty
    file ``.lock`` stays.

    Args:
        folder: an existing folder that may be written to.

    Raises:
        OutputError: the lock cannot be made there.
    """
    with _locked(folder, fcntl.LOCK_EX):
        yield


@contextmanager
def held_if_free(folder: Path) -> Iterator[None]:
    """Hold a folder that no other process holds; see ``held``.

    Raises:
        OutputError: another process holds it, or the lock cannot be made there.
    """
    with _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
        yield


def is_held(folder: Path) -> bool:
    """Tell whether another process holds a folder now; nothing is made or kept.

    Args:
        folder: an existing folder, also one that cannot be written to.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # nobody ever held it
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _locked(folder: Path, operation: int) -> Iterator[None]:
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError as error:
            raise OutputError(
                f"a store must not be in use, but another process writes to {str(folder)!r}; "
                f"wait until it is done"
            ) from error
        except OSError as error:
            raise unwritable(folder, error) from error
        yield
    finally:
        os.close(descriptor)
