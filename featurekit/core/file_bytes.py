"""Files as their bytes: a file's hash, and the tensors of a safetensors file without arithmetic.

Importing this imports numpy, not torch. What computes with tensors reads them by ``images/io.py``.
"""

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest, sha256
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, TensorSpec, safe_open, serialize

from featurekit.core.atomic import replacing
from featurekit.core.errors import ConfigError, OutputError
from featurekit.core.types import Shape

WORDS = "__metadata__"  # the words' place among the tensors of a header
_PARTS = 1024  # that a system takes at once: IOV_MAX
_GATHERS = hasattr(os, "writev")
LENGTH_BYTES = 8  # before the header of a safetensors file, which says where each tensor lies


@dataclass(frozen=True, eq=False)
class RawTensor:
    """A tensor that is only kept, copied or compared."""

    dtype: str  # as a safetensors file has it: "F32", "BF16"
    shape: Shape
    data: NDArray[np.uint8]  # flat, in the order of the axes, little-endian

    @property
    def rows(self) -> int:
        """Length of the first axis; 0 if there is none."""
        return self.shape[0] if self.shape else 0

    def row(self, index: int) -> "RawTensor":
        """One row of the first axis; its bytes are a view.

        Raises:
            IndexError: there is no such row.
        """
        if not 0 <= index < self.rows:
            raise IndexError(f"a row must be one of {self.rows}, got {index}")
        size = len(self.data) // self.rows
        return RawTensor(self.dtype, self.shape[1:], self.data[index * size : (index + 1) * size])


def dtype_code(name: str) -> str:
    """Say how a safetensors file calls a dtype of torch or numpy: "F32" for "float32".

    Raises:
        OutputError: such files have no such dtype.
    """
    try:
        code: str = TensorSpec(dtype=name, shape=(), data_ptr=0, data_len=0).dtype
    except SafetensorError as error:
        raise OutputError(f"a tensor must have a dtype that can be stored, but {error}") from error
    return code


NAMES = {  # what ``TensorSpec`` takes, by what a file then has; those that torch can have as well
    dtype_code(name): name
    for name in (
        *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
        *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz"),
        *("float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "complex64"),
    )
}
ITEM_BYTES: Mapping[str, int] = {  # of one number, by what a file has
    code: max(1, int("".join(filter(str.isdigit, code.partition("_")[0])) or 8) // 8)
    for code in NAMES
}


def sha256_of(path: Path | str) -> str:
    """Hash a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def head_sha256_of(path: Path | str) -> str:
    """Hash what stands in a safetensors file before the tensors, in hexadecimal.

    That is the length of the header and the header: the words, and where which tensor lies.
    """
    with Path(path).open("rb") as stream:
        length = stream.read(LENGTH_BYTES)
        left = Path(path).stat().st_size - LENGTH_BYTES  # of a damaged file, less than it says
        head = stream.read(min(int.from_bytes(length, "little"), max(left, 0)))
    return sha256(length + head).hexdigest()


def read_metadata(path: Path | str) -> dict[str, str]:
    """Read the words that stand in a safetensors file beside the tensors.

    Raises:
        ConfigError: there is no such file, or it is no whole safetensors file.
    """
    try:
        with safe_open(path, "np") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise not_whole(path, error) from error


def read_raw(path: Path | str) -> dict[str, RawTensor]:
    """Read the tensors of a safetensors file as bytes, of which the file's are the only copy.

    Raises:
        ConfigError: there is no such file, or it is no whole safetensors file.
    """
    try:
        with safe_open(path, "np"):  # refuses what is not whole
            content = np.fromfile(path, np.uint8)
    except (OSError, SafetensorError) as error:
        raise not_whole(path, error) from error
    start = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES].tobytes(), "little")
    header = json.loads(content[LENGTH_BYTES:start].tobytes())
    header.pop(WORDS, None)
    found = {}
    for name, said in header.items():
        first, last = said["data_offsets"]
        data = content[start + first : start + last]
        found[name] = RawTensor(said["dtype"], tuple(said["shape"]), data)
    return found


def stacked(
    columns: Mapping[str, Sequence[RawTensor]], metadata: Mapping[str, str]
) -> tuple[bytes, Iterator[memoryview]]:
    """Word tensors as a safetensors file, each the rows of a column behind each other.

    The bytes are those of ``write_tensors`` of stacked tensors, which are never made: what is
    copied is copied by the system, into the file.

    Args:
        columns: by name; the rows of each, at least one, have one shape and dtype.
        metadata: words to store beside them.

    Returns:
        What stands before the tensors, and the bytes of these in their order.
    """
    head, order = _head(columns, metadata)
    return head, (row.data.data for name in order for row in columns[name])


def _head(
    columns: Mapping[str, Sequence[RawTensor]], metadata: Mapping[str, str]
) -> tuple[bytes, list[str]]:
    """What the library writes before such tensors, and in which order it writes them."""
    empty = {
        name: TensorSpec(dtype=NAMES[rows[0].dtype], shape=(0,), data_ptr=0, data_len=0)
        for name, rows in columns.items()
    }
    said = json.loads(serialize(empty, metadata=dict(metadata) or None)[LENGTH_BYTES:])
    order = [name for name in said if name != WORDS]
    if WORDS in said:
        said[WORDS] = dict(sorted(said[WORDS].items()))
    start = 0
    for name in order:
        rows = columns[name]
        stop = start + sum(row.data.nbytes for row in rows)
        said[name]["shape"] = [len(rows), *rows[0].shape]
        said[name]["data_offsets"] = [start, stop]
        start = stop
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text, order


def write_stacked(
    columns: Mapping[str, Sequence[RawTensor]], path: Path | str, metadata: Mapping[str, str]
) -> str:
    """Write tensors as a safetensors file; see ``stacked``.

    Args:
        columns: as there.
        path: target; its folder must exist.
        metadata: as there.

    Returns:
        Hash of what stands before the tensors, as ``head_sha256_of`` reads it.

    Raises:
        OutputError: the file cannot be written.
    """
    head, parts = stacked(columns, metadata)
    with replacing(path) as temporary, temporary.open("wb", buffering=0) as stream:
        _write_together(stream.fileno(), [head, *parts])
    return sha256(head).hexdigest()


def _write_together(descriptor: int, parts: Iterable[bytes | memoryview]) -> None:
    """Write parts behind each other, of which the system takes many at once, uncopied."""
    waiting = deque(memoryview(part) for part in parts)
    while waiting:
        some = list(islice(waiting, _PARTS))
        # Windows takes them one by one
        taken = os.writev(descriptor, some) if _GATHERS else os.write(descriptor, some[0])
        while waiting and taken >= len(waiting[0]):
            taken -= len(waiting.popleft())
        if taken:  # no more than a part of one
            waiting[0] = waiting[0][taken:]


@contextmanager
def replacing_tensors(path: Path | str) -> Iterator[Path]:
    """Lend the name of a safetensors file that replaces ``path`` if the block succeeds.

    Its words come to stand in the order of their names, so that equal contents are equal bytes.

    Raises:
        OutputError: the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # as umask has it; safetensors makes files 0600
        try:
            yield temporary
        except SafetensorError as error:
            raise OutputError(f"tensors must be writable to {str(path)!r}, but {error}") from error
        _put_words_in_order(temporary)
        temporary.chmod(mode)


def _put_words_in_order(path: Path) -> None:
    """Sort the words before the tensors, which the library writes in an order of chance."""
    with path.open("rb+") as stream:
        length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
        text = stream.read(length)
        said = json.loads(text or b"{}")
        if WORDS not in said or _as_written(said, length) != text:
            return
        said[WORDS] = dict(sorted(said[WORDS].items()))
        stream.seek(LENGTH_BYTES)
        stream.write(_as_written(said, length))


def _as_written(said: Mapping[str, object], length: int) -> bytes:
    """A header as the library writes it, filled up with spaces."""
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode().ljust(length)


def not_whole(path: Path | str, error: Exception) -> ConfigError:
    """Word the error for a file that is no whole safetensors file."""
    return ConfigError(
        f"tensors must be in a whole .safetensors file, but {str(path)!r} gave: {error}"
    )
