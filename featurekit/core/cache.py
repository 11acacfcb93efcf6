"""Results that took long, kept on disk by what they were made of; the longest unused go first."""

import json
import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Generic, TypeVar

from platformdirs import user_cache_path

from featurekit.core.atomic import make_folder
from featurekit.core.errors import ConfigError, OutputError

T = TypeVar("T")

LIMIT_BYTES = 2 << 30
SUFFIX = ".safetensors"


class Cache:
    """A folder of results. Several processes may use it; each file is replaced as a whole."""

    def __init__(self, folder: Path | None, limit_bytes: int = LIMIT_BYTES) -> None:
        """Name the folder, which is made when the first result comes; without one nothing is kept.

        Args:
            folder: where results lie; no other files of that ending should.
            limit_bytes: most that they may take together; the longest unused are removed above it.
        """
        self.folder, self.limit_bytes = folder, limit_bytes

    def slot(
        self,
        name: str,
        made_of: Mapping[str, object],
        *,
        write: Callable[[T, Path], object],
        read: Callable[[Path], T],
    ) -> "Slot[T]":
        """Name the place of one result.

        Args:
            name: what it is, such as ``lora``.
            made_of: all that it depends on, as JSON-able values; another value, another place.
            write: puts a result into a file as a whole; may raise OutputError.
            read: takes it out again; raises ConfigError where the file is damaged.
        """
        digest = sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]
        path = None if self.folder is None else self.folder / f"{name}-{digest}{SUFFIX}"
        return Slot(self, path, write, read)

    def make_room(self) -> None:
        """Remove results, the longest unused first, until the others are within the limit."""
        if self.folder is None:
            return
        found = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            with suppress(OSError):  # another process removed it
                state = path.stat()
                found.append((state.st_mtime_ns, state.st_size, path))
        held = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if held <= self.limit_bytes:
                return
            path.unlink(missing_ok=True)
            held -= size


class Slot(Generic[T]):
    """The place of one result in a cache."""

    def __init__(
        self,
        cache: Cache,
        path: Path | None,
        write: Callable[[T, Path], object],
        read: Callable[[Path], T],
    ) -> None:
        """Made by ``Cache.slot``; ``path`` is None where nothing is kept."""
        self._cache, self.path, self._write, self._read = cache, path, write, read

    @property
    def is_held(self) -> bool:
        """Whether a result is kept here, whole or not."""
        return self.path is not None and self.path.is_file()

    def get(self) -> T | None:
        """Read the result, and count it as used; None where none is kept, or a damaged one."""
        if self.path is None or not self.is_held:
            return None
        try:
            found = self._read(self.path)
            os.utime(self.path)
        except (ConfigError, OSError):
            self.drop()  # it would be made again and replaced anyway
            return None
        return found

    def put(self, result: T) -> None:
        """Keep a result; where that fails, as on a full disk, a warning says so and no more."""
        if self.path is None:
            return
        try:
            make_folder(self.path.parent)
            self._write(result, self.path)
            self._cache.make_room()
        except (OutputError, OSError) as error:
            warnings.warn(
                f"what took long could not be kept for the next time: {error}; "
                f"choose another folder with cache=FOLDER, or cache=none",
                stacklevel=2,
            )

    def drop(self) -> None:
        """Remove what is kept, if anything."""
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)


NO_CACHE = Cache(None)
"""Keeps nothing."""


def cache_at(word: str) -> Cache:
    """Name a cache by a word of the settings.

    Args:
        word: a folder; ``auto``, the folder that the system has for such files of this user;
            or ``none``, which keeps nothing.
    """
    if word == "none":
        return NO_CACHE
    return Cache(user_cache_path("featurekit") if word == "auto" else Path(word).expanduser())
