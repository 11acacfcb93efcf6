"""Boundaries in the .mat files of BSDS500, read without running anything and in bounded memory.

SciPy's reader takes numbers out of a MATLAB 5 container: it knows no code and unpickles nothing.
What a compressed part unpacks to is measured before, so that a small file cannot fill the memory.
"""

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat, whosmat

from featurekit.core.errors import ImageError

VARIABLE, FIELD = "groundTruth", "Boundaries"
LARGEST = 16 * 2**20  # bytes of a file; those of BSDS500 have less than a hundredth of it
LARGEST_UNPACKED = 256 * 2**20  # bytes
MOST_PEOPLE = 64
HEADER, TAG = 128, 8  # bytes before the first element, and of what says its kind and size
COMPRESSED = 15  # kind of an element that is one in zlib's form
MATLAB_5 = b"MATLAB 5.0 MAT-file"


def read_boundaries(path: Path) -> Sequence[np.ndarray[Any, Any]]:
    """Read where each person saw a boundary.

    Args:
        path: .mat of MATLAB 5: ``groundTruth``, cells (1 n) of structures with ``Boundaries``.

    Returns:
        For each person an array (h w) of bools.

    Raises:
        ImageError: it is no such file.
    """
    content = _bounded(path)
    try:
        shapes = {name: shape for name, shape, _ in whosmat(BytesIO(content))}
        if np.prod(shapes.get(VARIABLE, (0,)), dtype=float) > MOST_PEOPLE:
            raise ValueError(f"{VARIABLE} has shape {shapes[VARIABLE]}")
        found = loadmat(BytesIO(content), variable_names=[VARIABLE])
    except Exception as error:  # of a reader of others, on whatever bytes
        raise _refused(path, f"it cannot be read: {error}") from error
    if VARIABLE not in found:
        raise _refused(path, f"it has no {VARIABLE}")
    return [_boundary(path, cell) for cell in np.asarray(found[VARIABLE], dtype=object).flat]


def _boundary(path: Path, cell: Any) -> np.ndarray[Any, Any]:  # noqa: ANN401  # of a file of others
    names = getattr(getattr(cell, "dtype", None), "names", None) or ()
    if FIELD not in names or cell.size != 1:
        raise _refused(path, f"a cell of {VARIABLE} has no {FIELD}")
    (array,) = cell[FIELD].flat
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "biuf":
        raise _refused(path, f"{FIELD} is no array of rows and columns")
    if not array.size:
        raise _refused(path, f"{FIELD} is empty")
    marked: np.ndarray[Any, Any] = array != 0
    return marked


def _bounded(path: Path) -> bytes:
    """Read a file whose parts unpack to no more than they may."""
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from error
    if len(content) > LARGEST:
        raise _refused(path, f"it has more than {LARGEST // 2**20} MB")
    if not content.startswith(MATLAB_5):
        raise _refused(path, "it is none; save it in MATLAB with -v7")
    try:
        _check_unpacked(content)
    except (ValueError, struct.error, zlib.error) as error:
        raise _refused(path, f"it cannot be read: {error}") from error
    return content


def _check_unpacked(content: bytes) -> None:
    """Refuse a container whose elements unpack to more than they may."""
    order = "<" if content[126:128] == b"IM" else ">"
    unpacked, place = 0, HEADER
    while place + TAG <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        part = content[place + TAG : place + TAG + size]
        place += TAG + size
        if kind == COMPRESSED:
            room = LARGEST_UNPACKED + 1 - unpacked
            unpacked += len(zlib.decompressobj().decompress(part, room))
            if unpacked > LARGEST_UNPACKED:
                raise ValueError(f"it unpacks to more than {LARGEST_UNPACKED // 2**20} MB")


def _refused(path: Path, why: str) -> ImageError:
    return ImageError(
        f"true boundaries must be a MATLAB 5 file of {VARIABLE} with {FIELD} (h w), as in BSDS500, "
        f"but {path.name!r} is not: {why}"
    )
