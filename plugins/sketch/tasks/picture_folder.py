"""In which order the pictures of a folder are drawn, and what is said of those left out."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

LISTED = 8  # left-out files that a report names


class Skipped(NamedTuple):
    """A file that was left out."""

    path: Path
    reason: str


def in_order(pictures: Sequence[Path]) -> list[Path]:
    """Sort files by name, numbers in their names by their value."""
    return sorted(pictures, key=_natural)


def report(skipped: Sequence[tuple[Path, str]]) -> str:
    """Say in a few lines what was left out and why; empty if nothing was."""
    if not skipped:
        return ""
    count = len(skipped)
    lines = [f"{count} file{'s were' if count > 1 else ' was'} skipped:"]
    lines += [f"  {path.name}: {reason}" for path, reason in skipped[:LISTED]]
    if count > LISTED:
        lines.append(f"  and {count - LISTED} more")
    return "\n".join(lines)


def _natural(file: Path) -> tuple[list[str | int], str]:
    """Sort 2 before 10 and a beside A."""
    parts = re.split(r"([0-9]+)", file.name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], file.name
