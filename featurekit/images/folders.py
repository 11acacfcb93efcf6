"""Which files of a folder are pictures, and why the others are not."""

from pathlib import Path

from PIL import Image

from featurekit.core.errors import ImageError


def pictures_in(path: Path | str) -> tuple[list[Path], dict[Path, str]]:
    """List the pictures of a folder; a file is its own list.

    Whether a picture is whole shows when it is opened. Hidden files and sub-folders are passed
    over and not reported.

    Args:
        path: picture, or folder of pictures.

    Returns:
        Files whose ending is that of a picture, by name; and the reason for each other file.

    Raises:
        ImageError: the folder cannot be listed, or has no picture.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return [folder], {}
    try:
        files = sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    except OSError as error:
        raise ImageError(
            f"a folder of pictures must be readable, but {str(path)!r} gave: {error.strerror}"
        ) from error
    readable = {
        ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN
    }
    found = [one for one in files if not one.is_dir()]
    pictures = [one for one in found if one.suffix.lower() in readable]
    others = {one: "its ending is of no picture format" for one in found if one not in pictures}
    if not pictures:
        raise ImageError(f"a folder must hold a picture, but {str(path)!r} has none; check it")
    return pictures, others
