"""The styles that are shipped, ready to draw with, each with its student; and their names.

They are three of the world's drawing styles, learnt on the embedded model from one bundled scene.
``styles/README.md`` has the commands that made them, and how well they draw.
"""

from pathlib import Path

NAMES = ("brush", "hatching", "inline")
FOLDER = Path(__file__).parent / "styles"


def style_file(given: str) -> Path:
    """The file, or the folder, that ``plugin.style`` names.

    Args:
        given: a path; or, where there is no such file, the name of a bundled style.
    """
    return _file(given, FOLDER / f"{given}.safetensors")


def student_file(given: str) -> Path:
    """The file that ``plugin.student`` names: a path, or a bundled style's student by its name."""
    return _file(given, FOLDER / f"{given}-student.safetensors")


def _file(given: str, bundled: Path) -> Path:
    path = Path(given).expanduser()
    return bundled if given in NAMES and not path.exists() else path
