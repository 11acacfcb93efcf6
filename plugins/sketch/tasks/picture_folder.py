"""In which order the pictures of a folder are drawn, and what is said of those left out."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from featurekit.images.packed import NamedFile, PictureFile

LISTED = 8  # left-out files that a report names

File = TypeVar("File", bound=PictureFile)


class Skipped(NamedTuple):
    """A file that was left out."""

    path: PictureFile
    reason: str


def files_of(pictures: Iterable[PictureFile]) -> list[Path]:
    """Those that are files of their own, which a result might replace."""
    named = [one.path if isinstance(one, NamedFile) else one for one in pictures]
    return [one for one in named if isinstance(one, Path)]


def in_order(pictures: Sequence[File]) -> list[File]:
    """Sort files by name, numbers in their names by their value."""
    return sorted(pictures, key=_natural)


def report(skipped: Sequence[tuple[PictureFile, str]]) -> str:
    """Say in a few lines what was left out and why; empty if nothing was."""
    if not skipped:
        return ""
    count = len(skipped)
    lines = [f"{count} file{'s were' if count > 1 else ' was'} skipped:"]
    lines += [f"  {path.name}: {reason}" for path, reason in skipped[:LISTED]]
    if count > LISTED:
        lines.append(f"  and {count - LISTED} more")
    return "\n".join(lines)


def _natural(file: PictureFile) -> tuple[list[str | int], str]:
    """Sort 2 before 10 and a beside A."""
    parts = re.split(r"([0-9]+)", file.name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], file.name
