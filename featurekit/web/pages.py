"""Static files of the page: read once into a dictionary, which is all that an address reaches."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".gif": "image/gif",
    ".wasm": "application/wasm",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class Static:
    """A file as it is sent."""

    content: bytes
    media_type: str
    mark: str  # of its content, for the browser's cache


def static_files(folder: Traversable) -> dict[str, Static]:
    """Read the files of a folder and the folders in it, those with an ending that pages have.

    Args:
        folder: of a package, say ``importlib.resources.files("package") / "page"``.

    Returns:
        Files by name, such as ``tab.js`` or ``icons/pin.svg``.
    """
    return dict(_walk(folder, ""))


def shell_files() -> dict[str, Static]:
    """The files of the page itself."""
    return static_files(files("featurekit.web") / "page")


def _walk(folder: Traversable, above: str) -> Iterator[tuple[str, Static]]:
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir():
            yield from _walk(entry, f"{above}{entry.name}/")
            continue
        ending = f".{entry.name.rpartition('.')[2]}"
        if ending in MEDIA_TYPES:
            content = entry.read_bytes()
            mark = sha256(content).hexdigest()[:16]
            yield f"{above}{entry.name}", Static(content, MEDIA_TYPES[ending], mark)
