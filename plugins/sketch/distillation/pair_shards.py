"""Pairs on disk: pictures and their sketches in 8 bits, some to a safetensors file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.images.io import write_tensors

FORMAT = "featurekit.sketch-pairs/1"
PATTERN = "pairs-*.safetensors"
PICTURE, INK = "picture", "ink"


@dataclass(frozen=True, eq=False)
class Pair:
    """A picture and what a teacher drew of it."""

    name: str
    picture: Tensor  # (1 3 h w) in [-1, 1]
    ink: Tensor  # (1 1 h w) in [0, 1], white paper is 1


@dataclass(frozen=True)
class Place:
    """Where a pair lies."""

    shard: Path
    index: int  # in the shard


def write_shard(pairs: Sequence[Pair], folder: Path, number: int, *, key: str) -> Path:
    """Write some pairs as one file, which is there as a whole or not at all.

    Args:
        pairs: at least one.
        folder: that exists.
        number: of the shard; one that is there is replaced.
        key: what the pairs of one folder must agree in.

    Returns:
        The path.

    Raises:
        OutputError: it cannot be written.
    """
    tensors = {}
    for index, pair in enumerate(pairs):
        tensors[f"{PICTURE}.{index}"] = _in_bytes((pair.picture + 1) / 2)
        tensors[f"{INK}.{index}"] = _in_bytes(pair.ink)
    words = {"format": FORMAT, "key": key, "names": json.dumps([one.name for one in pairs])}
    return write_tensors(tensors, shard_in(folder, number), words)


def free_numbers(folder: Path) -> Iterator[int]:
    """Numbers of shards that a folder does not have, rising, without an end."""
    taken = {path.name for path in folder.glob(PATTERN)}
    return (number for number in count() if shard_in(folder, number).name not in taken)


def shard_in(folder: Path, number: int) -> Path:
    """Where a shard lies."""
    return folder / f"pairs-{number:05d}.safetensors"


def places_in(folder: Path, *, key: str) -> dict[str, Place]:
    """Where each pair of a folder lies, by its name.

    Args:
        folder: that exists or not.
        key: that its pairs were made with.

    Raises:
        ConfigError: a shard is damaged, of another version, or of another key.
    """
    found: dict[str, Place] = {}
    for path in sorted(folder.glob(PATTERN)):
        for index, name in enumerate(_names(path, key)):
            found.setdefault(name, Place(path, index))
    return found


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs that are read from disk when they are asked for, so that any number fits."""

    places: Mapping[str, Place]

    @property
    def names(self) -> tuple[str, ...]:
        """Of all pairs, in the order of their shards."""
        return tuple(self.places)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.places)

    def __getitem__(self, name: str) -> Pair:
        """Read one pair.

        Raises:
            ConfigError: its shard is damaged or gone.
        """
        place = self.places[name]
        with _opened(place.shard) as stored:
            return _pair(stored, name, place.index)

    def __iter__(self) -> Iterator[Pair]:
        """Read all, each shard opened once."""
        shards: dict[Path, list[tuple[str, int]]] = {}
        for name, place in self.places.items():
            shards.setdefault(place.shard, []).append((name, place.index))
        for shard, rows in shards.items():
            with _opened(shard) as stored:
                for name, index in rows:
                    yield _pair(stored, name, index)

    def only(self, names: Sequence[str]) -> "Pairs":
        """Some of them, in the given order."""
        return Pairs({name: self.places[name] for name in names})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a shard; its damage is told in one sentence."""
    try:
        with safe_open(path, framework="pt") as stored:
            yield stored
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"pairs must be whole .safetensors files, but {str(path)!r} is damaged or gone "
            f"({error}); delete it, and the same command makes its pairs again"
        ) from error


def _names(path: Path, key: str) -> list[str]:
    with _opened(path) as stored:
        words = stored.metadata() or {}
    if words.get("format") != FORMAT or words.get("key") != key:
        raise ConfigError(
            f"out must be a new folder, or one whose pairs were made with this style and these "
            f"settings, but {str(path)!r} was made with others; choose another out, or delete "
            f"{str(path.parent)!r}"
        )
    names: list[str] = json.loads(words["names"])
    return names


def _pair(stored: Any, name: str, index: int) -> Pair:  # noqa: ANN401
    picture, ink = (stored.get_tensor(f"{what}.{index}").float() / 255 for what in (PICTURE, INK))
    return Pair(name, 2 * picture[None] - 1, ink[None])


def _in_bytes(share: Tensor) -> Tensor:
    """Numbers (1 c h w) in [0, 1] as (c h w) in 8 bits."""
    return (255 * share[0]).round().clamp(0, 255).to(torch.uint8)
