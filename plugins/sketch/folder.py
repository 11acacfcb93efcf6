"""The pictures of a folder, in the order people expect, and what had to be left out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from featurekit.errors import ImageError


@dataclass(frozen=True)
class Skipped:
    """A file that was not used, and why."""

    path: Path
    reason: str


def pictures_in(path: Path) -> tuple[list[Path], list[Skipped]]:
    """List what is to be drawn.

    Args:
        path: a file, which is taken as it is, or a folder.

    Returns:
        Files that are named like pictures, numbers in their names counted as numbers, and the
        others. Hidden files and folders in the folder are passed over.

    Raises:
        ImageError: a folder holds no file that is named like a picture.
    """
    if not path.is_dir():
        return [path], []
    files = sorted(
        (one for one in path.iterdir() if _counts(one)), key=lambda one: (_natural(one), one.name)
    )
    known = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    pictures = [one for one in files if one.suffix.lower() in known]
    others = [Skipped(one, "it is not named like a picture") for one in files]
    if not pictures:
        raise ImageError(
            f"a folder must hold pictures to be sketched, {str(path)!r} has none among its "
            f"{len(files)} files; give another folder"
        )
    return pictures, [one for one in others if one.path not in pictures]


def report(skipped: Sequence[Skipped]) -> str:
    """Say what was left out, a line each; nothing where nothing was."""
    return "\n".join(f"left out {one.path.name}: {one.reason}" for one in skipped)


def _counts(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
