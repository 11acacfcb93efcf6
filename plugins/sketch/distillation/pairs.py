"""Pairs by a teacher: it draws every picture once, whatever stops it in between."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from featurekit.core.atomic import make_folder
from featurekit.core.errors import ImageError, OutputError
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.types import Progress, silent
from featurekit_sketch.distillation.pair_shards import (
    Pair,
    Pairs,
    next_number,
    places_in,
    write_shard,
)
from featurekit_sketch.distillation.sources import Pictures

SHARD = 32  # pairs that are written at once

Teacher: TypeAlias = Callable[[Tensor], Tensor]
"""A picture (1 3 h w) in [-1, 1] to its ink (1 1 h w) in [0, 1], white paper is 1."""


@dataclass(frozen=True, eq=False)
class Made:
    """The pairs of all pictures that could be read."""

    pairs: Pairs
    skipped: dict[str, str]  # reasons by name
    new: int  # pairs that were not there before


def make_pairs(
    pictures: Pictures, teacher: Teacher, folder: Path, *, key: str, progress: Progress = silent
) -> Made:
    """Let a teacher draw every picture that is not in the folder yet.

    Args:
        pictures: to draw. Of those of an earlier run only what is asked for now is given back.
        teacher: that draws.
        folder: for the shards; made if it is not there.
        key: that tells teachers and settings apart.
        progress: told after each picture, of all that are asked for.

    Returns:
        The pairs, in the order of the pictures; broken pictures are left out and named, and tried
        again in the next run.

    Raises:
        ConfigError: the folder's pairs were made with another key, or are damaged.
        ImageError: not one picture can be read.
        OutputError: a shard cannot be written; all before it stay.
        KeyboardInterrupt: after Ctrl-C, with all that was drawn written and how to go on.
    """
    shards = _Shards(make_folder(folder), key)
    there = places_in(folder, key=key)
    missing = [name for name in pictures.names if name not in there]
    skipped, total = dict(pictures.unreadable), len(pictures.names)
    with tells_how_to_go_on(lambda: _how_to_go_on(pictures, folder, key)), shards:
        for done, name in enumerate(missing, total - len(missing) + 1):
            try:
                picture = pictures.read(name)
            except ImageError as error:
                skipped[name] = str(error)
            else:
                shards.add(Pair(name, picture, teacher(picture)))
            progress(done, total)
    there = places_in(folder, key=key)
    asked = {name: there[name] for name in pictures.names if name in there}
    if not asked:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:3])
        raise ImageError(f"a teacher needs a picture that can be read, got none ({reasons})")
    return Made(Pairs(asked), skipped, new=sum(name in there for name in missing))


class _Shards:
    """Writes pairs by the shard, and on the way out of the block what is left."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.waiting: list[Pair] = []

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not issubclass(kind, OutputError):
            self._write()

    def add(self, pair: Pair) -> None:
        self.waiting.append(pair)
        if len(self.waiting) == SHARD:
            self._write()

    def _write(self) -> None:
        if not self.waiting:
            return
        try:
            write_shard(self.waiting, self.folder, next_number(self.folder), key=self.key)
        except OutputError as error:
            kept = len(places_in(self.folder, key=self.key))
            raise OutputError(
                f"{error}; the {kept} pairs before are kept, and the same command goes on from them"
            ) from error
        self.waiting = []


def _how_to_go_on(pictures: Pictures, folder: Path, key: str) -> str:
    kept = len(places_in(folder, key=key))
    return (
        f"{kept} of {len(pictures.names)} pairs are kept; run the same command with "
        f"out={folder.parent} to go on"
    )
