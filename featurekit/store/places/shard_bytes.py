"""A safetensors file in any place: all of its tensors, what stands before them, or rows alone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from pathlib import Path

import numpy as np

from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import (
    ITEM_BYTES,
    LENGTH_BYTES,
    WORDS,
    RawTensor,
    head_sha256_of,
    not_whole,
    read_metadata,
    read_raw,
    stacked,
    write_stacked,
)
from featurekit.core.types import Shape
from featurekit.store.places.address import Address
from featurekit.store.places.place import Place

FIRST_BYTES = 2**16  # asked for at first, which mostly holds all that stands before the tensors


@dataclass(frozen=True)
class Column:
    """Where a tensor with a sample axis lies in its file."""

    dtype: str  # as the file has it
    shape: Shape
    first: int  # byte, from the beginning of the file
    last: int  # byte after it

    def of_row(self, index: int) -> tuple[int, int]:
        """Bytes of a row, the first and that after the last."""
        size = (self.last - self.first) // self.shape[0]
        return self.first + index * size, self.first + (index + 1) * size


class RemoteShard:
    """A file at an address of which parts are read; what stands before the tensors is kept."""

    def __init__(self, path: Address) -> None:
        """Read what stands before the tensors, in one or two questions.

        Raises:
            ConfigError: it is not there, is no whole file, or the service does not give it.
        """
        self._path = path
        try:
            size = path.stat().st_size
            start = path.read_ranges([(0, min(size, FIRST_BYTES))])[0]
            length = LENGTH_BYTES + int.from_bytes(start[:LENGTH_BYTES], "little")
            if len(start) < length <= size:
                start += path.read_ranges([(len(start), length)])[0]
        except FileNotFoundError as error:
            raise not_whole(str(path), FileNotFoundError("it is not there")) from error
        self.head = start[: min(length, size)]
        self.metadata, self.columns = _parsed(self.head, size, path)

    def rows(self, names: Sequence[str], index: int) -> dict[str, RawTensor]:
        """One row of some tensors, asked for together."""
        columns = [self.columns[name] for name in names]
        parts = self._path.read_ranges([one.of_row(index) for one in columns])
        return {
            name: _raw(column.dtype, column.shape[1:], part)
            for name, column, part in zip(names, columns, parts, strict=True)
        }

    def whole(self, names: Sequence[str]) -> dict[str, RawTensor]:
        """Some tensors, asked for together; what lies side by side is one question."""
        columns = [self.columns[name] for name in names]
        spans: list[tuple[int, int]] = []
        for one in sorted(columns, key=lambda one: one.first):
            beside = bool(spans) and spans[-1][1] == one.first
            spans.append((spans.pop()[0] if beside else one.first, one.last))
        found: dict[str, RawTensor] = {}
        for (first, last), part in zip(spans, self._path.read_ranges(spans), strict=True):
            for name, one in zip(names, columns, strict=True):
                if first <= one.first and one.last <= last:
                    data = memoryview(part)[one.first - first : one.last - first]
                    found[name] = _raw(one.dtype, one.shape, data)
        return found


def raw_in(path: Place) -> dict[str, RawTensor]:
    """Read the tensors of a file as bytes; see ``read_raw``.

    Raises:
        ConfigError: there is no such file, or it is no whole safetensors file.
    """
    if isinstance(path, Path):
        return read_raw(path)
    shard = RemoteShard(path)
    return shard.whole(list(shard.columns))


def metadata_in(path: Place) -> dict[str, str]:
    """Read the words that stand in a file beside the tensors.

    Raises:
        ConfigError: there is no such file, or it is no whole safetensors file.
    """
    return read_metadata(path) if isinstance(path, Path) else RemoteShard(path).metadata


def head_sha256_in(path: Place) -> str:
    """Hash what stands in a file before the tensors; see ``head_sha256_of``.

    Raises:
        ConfigError: at an address, there is no such file, or it is no whole safetensors file.
    """
    if isinstance(path, Path):
        return head_sha256_of(path)
    return sha256(RemoteShard(path).head).hexdigest()


def write_shard(
    columns: Mapping[str, Sequence[RawTensor]], path: Place, metadata: Mapping[str, str]
) -> tuple[str, int]:
    """Write tensors as a safetensors file in any place; see ``stacked``.

    Returns:
        Hash of what stands before the tensors, and the bytes of the whole.

    Raises:
        OutputError: it cannot be written.
    """
    if isinstance(path, Path):
        return write_stacked(columns, path, metadata), path.stat().st_size
    head, parts = stacked(columns, metadata)
    content = b"".join((head, *parts))
    path.put(content)
    return sha256(head).hexdigest(), len(content)


def _raw(dtype: str, shape: Shape, part: bytes | memoryview) -> RawTensor:
    return RawTensor(dtype, shape, np.frombuffer(part, np.uint8))


def _parsed(head: bytes, size: int, path: Address) -> tuple[dict[str, str], dict[str, Column]]:
    """What stands before the tensors, each of which must lie in the file where it says."""
    try:
        said = json.loads(head[LENGTH_BYTES:])
        words = said.pop(WORDS, {})
        columns = {
            name: Column(
                one["dtype"], tuple(one["shape"]), *(len(head) + at for at in one["data_offsets"])
            )
            for name, one in said.items()
        }
        ends = sorted((one.first, one.last) for one in columns.values())
        edges = [len(head), *(last for _, last in ends)]
        lie = all(
            one.last - one.first == prod(one.shape) * ITEM_BYTES[one.dtype]
            for one in columns.values()
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise not_whole(str(path), error) from error
    if not lie or [first for first, _ in ends] != edges[:-1] or edges[-1] != size:
        raise not_whole(str(path), ConfigError("its tensors do not fill it"))
    return words, columns
