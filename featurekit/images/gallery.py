"""Pictures of a folder as tensors, those that cannot be read named with the reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from featurekit.core.errors import ImageError
from featurekit.images.folders import pictures_in
from featurekit.images.io import load_image


@dataclass(frozen=True, eq=False)
class Gallery:
    """What was read of a folder, and what was passed over."""

    images: Mapping[str, Tensor]  # (1 3 h w) in [-1, 1] by file name
    skipped: Mapping[Path, str]  # the reason by file
    told: str = ""  # of files that are no pictures


def read_gallery(path: Path | str, *, most: int | None = None) -> Gallery:
    """Read the pictures of a folder, by name; a picture alone is its own folder.

    Args:
        path: folder, or picture.
        most: pictures to read, the first that can be; None reads all.

    Returns:
        Pictures of any sizes, at least one. A broken one is passed over, but not if it was named
        itself.

    Raises:
        ImageError: there is no such folder, or nothing in it can be read.
    """
    folder = Path(path).expanduser()
    if not folder.exists():
        raise ImageError(
            f"images must be a folder of pictures or one of them, but {str(path)!r} does not "
            f"exist; check it"
        )
    listing = pictures_in(folder)
    images: dict[str, Tensor] = {}
    skipped = dict(listing.unreadable)
    for one in listing.pictures:
        if len(images) == most:
            break
        try:
            images[one.name] = load_image(one)
        except ImageError as error:
            if not folder.is_dir():
                raise
            skipped[one] = str(error)
    if not images:
        raise ImageError(
            f"a folder must hold a picture that can be read, but {str(path)!r} has none; check it"
        )
    return Gallery(images, skipped, listing.told)
