"""Which files of a folder are pictures, and what is said of those that were left out."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from featurekit.core.errors import ImageError
from featurekit.pipeline.run import RECORD

LISTED = 8  # left-out files that a report names


class Skipped(NamedTuple):
    """A file that was left out."""

    path: Path
    reason: str


def pictures_in(path: Path | str) -> tuple[list[Path], list[Skipped]]:
    """List the pictures of a folder; a file is its own list.

    Whether a picture is whole shows when it is opened. Hidden files, sub-folders and the record
    of a run are passed over and not reported.

    Args:
        path: picture, or folder of pictures.

    Returns:
        Files whose ending is that of a picture, numbers in their names in the order of their
        value; and the other files with the reason.

    Raises:
        ImageError: there is no such path, it cannot be listed, or has no picture.
    """
    folder = Path(path).expanduser()
    try:
        if not folder.exists():
            raise ImageError(
                f"image must be a picture or a folder, but there is no {str(path)!r}; check it"
            )
        if not folder.is_dir():
            return [folder], []
        files = sorted((one for one in folder.iterdir() if _counts(one)), key=_natural)
    except OSError as error:
        raise ImageError(
            f"image must be a picture or a folder that can be read, but {str(path)!r} gave: "
            f"{error.strerror}; check it"
        ) from error
    pictures, skipped = [], []
    for file in files:
        reason = _unfit(file)
        if reason is None:
            pictures.append(file)
        else:
            skipped.append(Skipped(file, reason))
    if not pictures:
        found = f"has none; {report(skipped)}" if skipped else "is empty; check it"
        raise ImageError(f"a folder must hold a picture, but {str(path)!r} {found}")
    return pictures, skipped


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


def _counts(file: Path) -> bool:
    return not (file.is_dir() or file.name.startswith(".") or file.name == RECORD)


def _unfit(file: Path) -> str | None:
    """Why a file is no picture by its nature and name, or None."""
    if not file.is_file():
        return "it is no ordinary file, or a link that leads nowhere"
    ending = file.suffix.lower()
    if Image.registered_extensions().get(ending) in Image.OPEN:
        return None
    named = f"the ending {ending}" if ending else "a name without ending"
    return f"{named} is of no picture format that can be read; save it as PNG or JPEG if it is one"


def _natural(file: Path) -> tuple[list[str | int], str]:
    """Sort 2 before 10 and a beside A."""
    parts = re.split(r"([0-9]+)", file.name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], file.name
