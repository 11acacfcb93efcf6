"""Pictures as encoded bytes under a name: a file of its own, or a part of a larger file."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol, runtime_checkable

from featurekit.core.file_bytes import sha256_of


@runtime_checkable
class PictureFile(Protocol):
    """A picture as somebody saved it, which can be told from others by a hash; a path is one."""

    @property
    def name(self) -> str:
        """What it is called; in a store that is its id."""
        ...

    def read_bytes(self) -> bytes:
        """Its encoded bytes, read now.

        Raises:
            OSError: they cannot be read.
        """
        ...

    def __hash__(self) -> int:
        """Equal ones alike."""
        ...


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file of another name than the picture's."""

    name: str
    path: Path

    def read_bytes(self) -> bytes:
        """The whole file."""
        return self.path.read_bytes()

    def __str__(self) -> str:
        """For messages."""
        return f"{self.path} as {self.name}"


@dataclass(frozen=True, slots=True)
class TarMember:
    """A picture in a tar that is not compressed, found without reading what lies before it."""

    name: str
    tar: Path
    start: int  # of its bytes in the tar
    length: int

    def read_bytes(self) -> bytes:
        """Its part of the tar, shorter where the tar has become so."""
        with self.tar.open("rb") as stream:
            stream.seek(self.start)
            return stream.read(self.length)

    def __str__(self) -> str:
        """For messages."""
        return f"{self.tar}/{self.name}"


def sha256_of_picture(picture: PictureFile) -> str:
    """Hash a picture's encoded bytes, in hexadecimal."""
    if isinstance(picture, Path):
        return sha256_of(picture)
    return sha256(picture.read_bytes()).hexdigest()
