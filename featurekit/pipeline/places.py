"""Where results of a run may go: never onto a file that is the user's own."""

from collections.abc import Iterable
from glob import escape
from pathlib import Path

from featurekit.core.errors import ConfigError

RECORD = "run.json"


def check_apart(image: str | None, out: str) -> None:
    """Refuse results beside the picture, which one of the same name would replace.

    Args:
        image: file or folder of pictures, or None.
        out: folder of the results, which exists or not.

    Raises:
        ConfigError: they are one folder.
    """
    if image is None:
        return
    given, folder = Path(image).expanduser(), Path(out).expanduser()
    pictures = given if given.is_dir() else given.parent
    if pictures.is_dir() and folder.is_dir() and pictures.samefile(folder):
        raise ConfigError(
            f"out must be another folder than the one of the image, whose files results of the "
            f"same name would replace, got out={out!r} for image={image!r}; choose another out"
        )


def check_free(written: Iterable[str], image: str | None, out: Path) -> None:
    """Refuse to replace files of a folder that no run has written into: they are the user's.

    A given picture that lies there itself is the plugin's to refuse.

    Args:
        written: what the task writes; see ``Plugin.writes``.
        image: as for ``check_apart``.
        out: likewise.

    Raises:
        ConfigError: there is such a file, and no record.
    """
    if not out.is_dir() or (out / RECORD).exists():
        return
    given = Path(image or "").expanduser()
    pictures = list(given.iterdir()) if image and given.is_dir() else [given]
    stems = [escape(path.stem) for path in pictures]
    names = {name.replace("{image}", stem) for name in written for stem in stems}
    found = sorted(path for name in names for path in out.glob(name) if path.is_file())
    own = [one for one in pictures if one.is_file()]
    found = [path for path in found if not any(path.samefile(one) for one in own)]
    if found:
        raise ConfigError(
            f"out must be a folder where results replace no file that is not theirs, but "
            f"{str(found[0])!r} exists and there is no {RECORD} of an earlier run beside it; "
            f"choose another out, or move the file"
        )
