"""Which files of a folder are pictures, which of them cannot be read, and which are others."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Generic, TypeVar

from PIL import Image

from featurekit.core.errors import ImageError
from featurekit.images.packed import PictureFile

File = TypeVar("File", bound=PictureFile)

LISTED = 8  # names of other files in a sentence
DATA = {"BUFR", "GRIB", "HDF5", "MPEG"}  # formats that Pillow knows by name alone
# of pictures that Pillow may not read: who has them in a folder wants them to be read
PHOTO_ENDINGS = {
    *(".avif", ".exr", ".hdr", ".heic", ".heif", ".hif", ".jp2", ".jxl", ".svg", ".webp"),
    *(".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".raw", ".rw2"),
}


@dataclass(frozen=True)
class Listing(Generic[File]):
    """The files of a folder, by name, or what larger files hold."""

    pictures: tuple[File, ...]  # whose ending is of a format that can be read
    unreadable: dict[File, str]  # those of pictures too, each with the reason
    others: tuple[File, ...] = ()  # of no picture: captions, records, what systems leave

    @property
    def told(self) -> str:
        """A sentence about the others, empty where there are none."""
        if not self.others:
            return ""
        names = [path.name for path in self.others[:LISTED]]
        more = len(self.others) - len(names)
        listed = ", ".join(names) + (f" and {more} more" if more else "")
        return f"passed over, no pictures: {listed}"


def pictures_in(path: Path | str) -> Listing[Path]:
    """List a folder of pictures; a file is its own list.

    Whether a picture is whole shows when it is opened. Hidden files, among them the ``._`` files
    of macOS, and sub-folders are passed over and not named.

    Args:
        path: picture, or folder of pictures.

    Returns:
        At least one picture.

    Raises:
        ImageError: there is no such path, it cannot be listed, or has no picture.
    """
    folder = Path(path).expanduser()
    try:
        if not folder.exists():
            raise ImageError(
                f"image must be a picture or a folder, but there is no such file or folder as "
                f"{str(path)!r}; check it"
            )
        if not folder.is_dir():
            return Listing((folder,), {})
        files = sorted(_visible(folder))
    except OSError as error:
        raise ImageError(
            f"image must be a picture or a folder that can be read, but {str(path)!r} gave: "
            f"{error.strerror}; check it"
        ) from error
    listing = _sorted_out(files)
    if not listing.pictures:
        raise ImageError(f"a folder must hold a picture, but {str(path)!r} {_found(listing)}")
    return listing


def _visible(folder: Path) -> Sequence[Path]:
    return [one for one in folder.iterdir() if not hidden(one.name) and not one.is_dir()]


def hidden(name: str) -> bool:
    """Tell whether a file is hidden, or in a hidden folder, wherever it is packed: by a dot.

    Args:
        name: with the names of its folders, if it lies in any.
    """
    return any(part.startswith(".") and part.strip(".") for part in name.split("/"))


def readable_endings() -> frozenset[str]:
    """Endings of the pictures that can be read, in lower case with the dot."""
    kinds = Image.registered_extensions().items()
    return frozenset(ending for ending, kind in kinds if kind in Image.OPEN and kind not in DATA)


def refused(name: str) -> str:
    """Say why pictures of a file's ending cannot be read; empty for a file that is no picture."""
    ending = PurePath(name).suffix.lower()
    if ending not in PHOTO_ENDINGS:
        return ""
    return f"pictures {ending} cannot be read here; save it as PNG or JPEG"


def _sorted_out(files: Sequence[Path]) -> Listing[Path]:
    readable = readable_endings()
    pictures, unreadable, others = [], {}, []
    for file in files:
        ending = file.suffix.lower()
        if ending not in readable | PHOTO_ENDINGS:
            others.append(file)
        elif not file.is_file():
            unreadable[file] = "it is no ordinary file, or a link that leads nowhere"
        elif ending in readable:
            pictures.append(file)
        else:
            unreadable[file] = refused(file.name)
    return Listing(tuple(pictures), unreadable, tuple(others))


def _found(listing: Listing[Path]) -> str:
    reasons = [f"{path.name}: {why}" for path, why in list(listing.unreadable.items())[:LISTED]]
    found = "; ".join([*reasons, listing.told] if listing.told else reasons)
    return f"has none that can be read; {found}" if found else "is empty; check it"
