"""Replacing a file as a whole: whoever looks sees the old one or the new one, never a half."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryFile

from featurekit.core.errors import OutputError

_ADVICE = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EFBIG: "raise the limit on file sizes or choose another folder",
    errno.ENOENT: "make its folder first",
    errno.EEXIST: "choose a path that is a folder or does not exist",
    errno.ENOTDIR: "choose a path whose parents are folders",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "choose a path whose links lead somewhere",
}
_OF_A_PLACE = _ADVICE.keys() - {errno.ENOENT, errno.EEXIST}  # never a mistake of the program's own
_SHOWN_LETTERS = 120  # of a path, at its beginning and its end


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Lend the name of a new file beside ``path`` and, if the block succeeds, put it in its place.

    Args:
        path: a file that exists or not; its folder must exist.

    Yields:
        Path to write to. It is flushed to the disk before it replaces ``path``, and removed if
        the block or the replacing fails, which leaves what was at ``path`` as it was.

    Raises:
        OutputError: no permission, no space, no such folder, or ``path`` is no ordinary file.
    """
    target = Path(path)
    temporary = target.with_name(f".{secrets.token_hex(6)}.part")
    try:
        if target.exists() and not target.is_file():
            raise OutputError(f"a result must replace an ordinary file, got {str(target)!r}")
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OutputError:
        raise
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path | str) -> Iterator[Path]:
    """Lend a new folder beside ``path`` and, if the block succeeds, put it in its place.

    Args:
        path: a folder that exists or not; the folder it lies in must exist.

    Yields:
        Empty folder to write into; removed if the block fails, which leaves ``path`` as it was.

    Raises:
        OutputError: no permission, no space, or ``path`` is no folder.
    """
    target = Path(path)
    mark = secrets.token_hex(6)
    fresh, stale = (target.with_name(f".{mark}.{end}") for end in ("part", "old"))
    try:
        if target.exists() and not target.is_dir():
            raise OutputError(f"a folder of results must replace a folder, got {str(target)!r}")
        fresh.mkdir()
        yield fresh
        if target.exists():
            target.rename(stale)
        fresh.rename(target)
    except OutputError:
        raise
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        rmtree(fresh, ignore_errors=True)
        rmtree(stale, ignore_errors=True)


def make_folder(path: Path | str) -> Path:
    """Make a folder, with its parents, and try that files can be written into it.

    Args:
        path: folder that exists or not.

    Returns:
        The folder.

    Raises:
        OutputError: it cannot be made, is no folder, or cannot be written to.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except FileNotFoundError as error:  # its parents are made, so it is somewhere like /proc
        raise OutputError(
            f"results must be writable to {str(folder)!r}, but nothing can be made there; "
            f"choose another place"
        ) from error
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


@contextmanager
def folder_for_results(path: Path | str) -> Iterator[Path]:
    """Make a folder before the work that fills it; gone again if nothing comes to lie in it.

    Args:
        path: folder that exists or not.

    Yields:
        The folder, with its parents, of which those that were made and are empty go at the end.

    Raises:
        OutputError: as ``make_folder``, before the block.
    """
    folder = Path(path)
    fresh = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        yield make_folder(folder)
    finally:
        with suppress(OSError):
            for one in fresh:
                one.rmdir()  # refuses a folder that holds something


def is_of_a_place(error: OSError) -> bool:
    """Tell whether the system refused a path for what it is: its name, its rights, its disk."""
    return error.filename is not None and error.errno in _OF_A_PLACE


def unusable(error: OSError) -> OutputError:
    """Word the error for a file or folder, of whatever use, that the operating system refused.

    Args:
        error: names its path.
    """
    path = str(error.filename)
    if len(path) > 2 * _SHOWN_LETTERS:
        path = f"{path[:_SHOWN_LETTERS]}...{path[-_SHOWN_LETTERS:]}"
    reason = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0, "choose another place")
    return OutputError(f"a file or folder must be usable, but {path!r} is not: {reason}; {advice}")


def unwritable(path: Path | str, error: OSError) -> OutputError:
    """Word the error for a result that the operating system refused to take."""
    reason = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0, "choose another place")
    return OutputError(f"results must be writable to {str(path)!r}, but {reason}; {advice}")
