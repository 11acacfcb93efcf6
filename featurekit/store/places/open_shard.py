"""A shard that stays open, in any place: one row of it as tensors, only that being read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from torch import Tensor

from featurekit.core.file_bytes import NAMES, RawTensor
from featurekit.store.places.place import Place
from featurekit.store.places.shard_bytes import RemoteShard

MANY = 4  # of a shard at an address a quarter and more is fetched as a whole


class OpenShard(Protocol):
    """A file of tensors with a sample axis."""

    def row(self, names: Sequence[str], index: int) -> dict[str, Tensor]:
        """One row of some tensors.

        Raises:
            OSError: the file is gone.
            SafetensorError: it is damaged, or holds no such tensor.
            ConfigError: the same at an address.
        """

    def fetch(self, names: Sequence[str], rows: int) -> None:
        """Bring nearer what so many rows are about to be read of, where each would cost a way."""

    def release(self) -> None:
        """Let go of what was brought nearer."""


class OpenFile:
    """A shard of this machine, mapped by the system."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            OSError: it is not there.
            SafetensorError: it is damaged.
        """
        self._file: Any = safe_open(path, "pt")

    def row(self, names: Sequence[str], index: int) -> dict[str, Tensor]:
        """One row of some tensors."""
        get = self._file.get_slice
        return {name: get(name)[index : index + 1].squeeze(0) for name in names}

    def fetch(self, names: Sequence[str], rows: int) -> None:
        """Nothing: the system reads ahead."""

    def release(self) -> None:
        """Nothing."""


class OpenObject:
    """A shard at an address, of which parts are asked for."""

    def __init__(self, shard: RemoteShard) -> None:
        """Hold what was read of it.

        Args:
            shard: with what stands before its tensors.
        """
        self._shard = shard
        self._near: dict[str, RawTensor] = {}

    def row(self, names: Sequence[str], index: int) -> dict[str, Tensor]:
        """One row of some tensors, asked for together where they are not near."""
        far = [name for name in names if name not in self._near]
        found = self._shard.rows(far, index) if far else {}
        found |= {name: self._near[name].row(index) for name in names if name in self._near}
        return {name: _tensor(found[name]) for name in names}

    def fetch(self, names: Sequence[str], rows: int) -> None:
        """Ask for all rows at once, where many of them are about to be read."""
        if names and rows * MANY >= self._shard.columns[names[0]].shape[0]:
            self._near = self._shard.whole(names)

    def release(self) -> None:
        """Let go of what was asked for at once."""
        self._near = {}


def opened(path: Place) -> OpenShard:
    """Open a shard.

    Raises:
        OSError: it is not there.
        SafetensorError: it is damaged.
        ConfigError: at an address, one of these.
    """
    return OpenFile(path) if isinstance(path, Path) else OpenObject(RemoteShard(path))


def _tensor(raw: RawTensor) -> Tensor:
    dtype = getattr(torch, NAMES[raw.dtype])
    if not len(raw.data):
        return torch.empty(raw.shape, dtype=dtype)
    return torch.frombuffer(bytearray(raw.data.data), dtype=dtype).reshape(raw.shape)
