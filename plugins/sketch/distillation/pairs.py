"""Pairs by a teacher: it draws every picture once, whatever stops it in between."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

from torch import Tensor

from featurekit.core.atomic import make_folder
from featurekit.core.errors import ImageError, OutputError
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.types import Progress, silent
from featurekit_sketch.distillation.pair_shards import (
    Pair,
    Pairs,
    free_numbers,
    places_in,
    shard_in,
    write_shard,
)
from featurekit_sketch.distillation.sources import Pictures

SHARD = 32  # pairs that are written at once

Teacher: TypeAlias = Callable[[Tensor], Tensor]
"""A picture (1 3 h w) in [-1, 1] to its ink (1 1 h w) in [0, 1], white paper is 1."""

Shards: TypeAlias = Mapping[int, Sequence[str]]
"""Names of pictures by the number of the shard that they lie in."""

Draw: TypeAlias = Callable[[Shards, Progress], Mapping[str, str]]
"""Draws shards, and gives reasons by name of what cannot be read."""


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
        pictures: to draw.
        teacher: that draws.
        folder: for the shards; made if it is not there.
        key: that tells teachers and settings apart.
        progress: told after each picture, of all that are asked for.

    Returns:
        As ``gathered_pairs``.

    Raises:
        FeatureKitError: as ``gathered_pairs`` and ``draw_shards``.
        KeyboardInterrupt: after Ctrl-C, with all that was drawn written and how to go on.
    """

    def draw(shards: Shards, told: Progress) -> dict[str, str]:
        return draw_shards(shards, pictures, teacher, into=(folder, key), progress=told)

    return gathered_pairs(pictures, folder, key=key, draw=draw, progress=progress)


def gathered_pairs(
    pictures: Pictures, folder: Path, *, key: str, draw: Draw, progress: Progress = silent
) -> Made:
    """Have every picture drawn that is not in the folder yet, whoever draws.

    Which pictures lie together in a shard follows from what is missing alone, so that any number of
    workers write the files of one, and what was lost is made again as it was.

    Args:
        pictures: to draw. Of those of an earlier run only what is asked for now is given back.
        folder: for the shards; made if it is not there.
        key: that tells teachers and settings apart.
        draw: given names of pictures by the number of their shard, writes the shards, and says
            which pictures are broken; told how many of the missing ones are done.
        progress: told after each picture, of all that are asked for.

    Returns:
        The pairs, in the order of the pictures; broken pictures are left out and named, and tried
        again in the next run.

    Raises:
        ConfigError: the folder's pairs were made with another key, or are damaged.
        ImageError: not one picture can be read.
        FeatureKitError: as ``draw``; the shards before it stay.
        KeyboardInterrupt: after Ctrl-C, with how to go on.
    """
    there = places_in(make_folder(folder), key=key)
    missing = [name for name in pictures.names if name not in there]
    total = len(pictures.names)

    def told(done: int, _: int) -> None:
        progress(total - len(missing) + done, total)

    skipped = dict(pictures.unreadable)
    with tells_how_to_go_on(lambda: _how_to_go_on(pictures, folder, key)):
        if missing:
            skipped |= draw(_in_shards(missing, folder), told)
    there = places_in(folder, key=key)
    asked = {name: there[name] for name in pictures.names if name in there}
    if not asked:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:3])
        raise ImageError(f"a teacher needs a picture that can be read, got none ({reasons})")
    return Made(Pairs(asked), skipped, new=sum(name in there for name in missing))


def draw_shards(
    shards: Shards,
    pictures: Pictures,
    teacher: Teacher,
    *,
    into: tuple[Path, str],
    progress: Progress = silent,
) -> dict[str, str]:
    """Draw some shards; one that is there already, of a worker that was killed, stays.

    Args:
        shards: names of pictures by the number of their shard.
        pictures: which have these names.
        teacher: that draws.
        into: the folder of the shards, and their key.
        progress: told after each picture, of those of these shards.

    Returns:
        Reasons by name of the pictures that cannot be read.

    Raises:
        OutputError: a shard cannot be written; all before it stay.
        Exception: as the teacher raises it; what it has drawn is written before.
    """
    skipped: dict[str, str] = {}
    done, total = 0, sum(map(len, shards.values()))
    for number, names in shards.items():
        if shard_in(into[0], number).exists():
            done += len(names)
            progress(done, total)
            continue
        with _Shard(number, *into) as shard:
            for name in names:
                try:
                    picture = pictures.read(name)
                except ImageError as error:
                    skipped[name] = str(error)
                else:
                    shard.pairs.append(Pair(name, picture, teacher(picture)))
                done += 1
                progress(done, total)
    return skipped


def _in_shards(missing: Sequence[str], folder: Path) -> dict[int, tuple[str, ...]]:
    numbers = free_numbers(folder)
    firsts = range(0, len(missing), SHARD)
    return {next(numbers): tuple(missing[first : first + SHARD]) for first in firsts}


class _Shard:
    """Writes its pairs on the way out of the block, whatever ends it."""

    def __init__(self, number: int, folder: Path, key: str) -> None:
        self.number, self.folder, self.key = number, folder, key
        self.pairs: list[Pair] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.pairs:
            return
        try:
            write_shard(self.pairs, self.folder, self.number, key=self.key)
        except OutputError as error:
            kept = len(places_in(self.folder, key=self.key))
            raise OutputError(
                f"{error}; the {kept} pairs before are kept, and the same command goes on from them"
            ) from error


def _how_to_go_on(pictures: Pictures, folder: Path, key: str) -> str:
    kept = len(places_in(folder, key=key))
    return (
        f"{kept} of {len(pictures.names)} pairs are kept; run the same command with "
        f"out={folder.parent} to go on"
    )
