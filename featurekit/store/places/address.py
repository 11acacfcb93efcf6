"""Folders and objects at an address, by fsspec, with as much of ``pathlib.Path`` as a store needs.

An object is put as a whole, and there is no rename and no lock. Settings and keys of a service come
from the environment or from fsspec's own settings, so that an address holds none.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from featurekit.core.errors import ConfigError, FeatureKitError, OutputError
from featurekit.store.places.seen import Listing, Seen, seen
from featurekit.store.places.services import BUCKETS, reached, refused, shown
from featurekit.store.places.silence import AT_ONCE, bounded


@dataclass(frozen=True)
class Address:
    """A folder or an object of a service; its text shows no password."""

    root: str  # the address of the whole store
    inner: str = ""  # from there
    listing: Listing | None = field(default=None, compare=False)  # looked at once, not again

    def __str__(self) -> str:
        """The address without what nobody should read."""
        return shown(self._url)

    __repr__ = __str__

    def __truediv__(self, name: str) -> "Address":
        """What lies in it."""
        return Address(self.root, "/".join(filter(None, (self.inner, name))), self.listing)

    @property
    def name(self) -> str:
        """Its last part."""
        return PurePosixPath(self.inner).name

    @property
    def stem(self) -> str:
        """Its last part without the ending."""
        return PurePosixPath(self.inner).stem

    @property
    def suffix(self) -> str:
        """Its ending."""
        return PurePosixPath(self.inner).suffix

    @property
    def parent(self) -> "Address":
        """What it lies in, up to the root."""
        above = PurePosixPath(self.inner).parent.as_posix()
        return Address(self.root, "" if above == "." else above, self.listing)

    def with_suffix(self, ending: str) -> "Address":
        """Another one beside it."""
        return self.parent / f"{self.stem}{ending}"

    def exists(self) -> bool:
        """Whether an object or a folder is there."""
        return self._seen() is not None

    def is_file(self) -> bool:
        """Whether an object is there."""
        found = self._seen()
        return found is not None and not found.folder

    def is_dir(self) -> bool:
        """Whether something lies in it."""
        found = self._seen()
        return found is not None and found.folder

    def stat(self) -> Seen:
        """What is said of it.

        Raises:
            FileNotFoundError: it is not there.
        """
        found = self._seen()
        if found is None:
            raise FileNotFoundError(str(self))
        return found

    def children(self) -> dict[str, Seen]:
        """What lies in it, by name; one question to the service, for each thousand of them."""
        if self.listing is not None:
            return self.listing.get(self.inner, {})
        try:
            with self._reading():
                entries = self._service.ls(self.key, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        found = {PurePosixPath(one["name"]).name: seen(one) for one in entries
                 if one["name"].strip("/") != self.key.strip("/")}  # fmt: skip
        return dict(sorted(found.items()))

    def iterdir(self) -> Iterator["Address"]:
        """What lies in it; its objects are not asked for again."""
        found = self.children()
        for name, one in found.items():
            at_once = self.listing
            if not (at_once or one.folder):
                at_once = {self.inner: found}
            yield Address(self.root, (self / name).inner, at_once)

    def listed(self) -> "Address":
        """The same root with all that lies below it, looked at once, so that nothing moves."""
        try:
            with self._reading():
                found = self._service.find(self.key, detail=True)
        except FileNotFoundError:
            found = {}
        listing: Listing = {}
        for key, said in found.items():
            inner = key.strip("/").removeprefix(self.key.strip("/")).strip("/")
            above, _, name = inner.rpartition("/")
            listing.setdefault(above, {})[name] = seen(said)
            while above:
                folder, (above, _, name) = above, above.rpartition("/")
                listing.setdefault(above, {}).setdefault(name, Seen(0, 0, folder != ""))
        return Address(self.root, "", {at: dict(sorted(on.items())) for at, on in listing.items()})

    def read_bytes(self) -> bytes:
        """All of an object.

        Raises:
            FileNotFoundError: it is not there.
            ConfigError: the service does not give it.
        """
        with self._reading():
            return bytes(self._service.cat_file(self.key))

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Parts of an object, each from its first byte to that before its last, many at once.

        Raises:
            FileNotFoundError: it is not there.
            ConfigError: the service does not give them.
        """
        found: list[bytes] = []
        for first in range(0, len(ranges), AT_ONCE):
            starts, ends = zip(*ranges[first : first + AT_ONCE], strict=True)
            keys = [self.key] * len(starts)
            with self._reading():
                found += self._service.cat_ranges(keys, list(starts), list(ends), on_error="raise")
        return [bytes(one) for one in found]

    def read_together(self, several: Sequence["Address"]) -> list[bytes | None]:
        """All of several objects that are not empty, asked at once; of what is not there None.

        Raises:
            ConfigError: the service does not give one.
        """
        keys = [one.key for one in several]
        with self._reading():
            found = self._service.cat_ranges(keys, 0, None, on_error="return")
            for one in found:
                if isinstance(one, Exception) and not isinstance(one, FileNotFoundError):
                    raise one
        return [None if isinstance(one, Exception) else bytes(one) for one in found]

    def put(self, content: bytes) -> None:
        """Put an object as a whole, in the place of one that is there.

        Raises:
            OutputError: the service does not take it.
        """
        with self._writing():
            try:
                self._service.pipe_file(self.key, content)
            except FileNotFoundError:
                if self.root.partition(":")[0] in BUCKETS:  # whose folders need not be made
                    raise
                self._service.makedirs(self.key.rpartition("/")[0], exist_ok=True)
                self._service.pipe_file(self.key, content)

    def put_new(self, content: bytes) -> bool:
        """Put an object where none is; of several who do so at once one alone does it.

        Returns:
            Whether it was put; False where there is one.

        Raises:
            OutputError: the service does not take it.
        """
        if self.exists():
            return False
        with self._writing():
            try:
                self._service.pipe_file(self.key, content, mode="create")
            except FileExistsError:
                return False
            except (NotImplementedError, TypeError, ValueError):  # it knows no such condition
                self._service.pipe_file(self.key, content)
        return True

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove an object.

        Args:
            missing_ok: that it is not there is no mistake.

        Raises:
            OutputError: the service does not let it go.
        """
        with self._writing():
            try:
                self._service.rm_file(self.key)
            except FileNotFoundError:
                if not missing_ok:
                    raise

    @property
    def key(self) -> str:
        """Its name with its service, without a protocol."""
        return "/".join(filter(None, (reached(self.root, os.getpid()).key, self.inner)))

    @property
    def _url(self) -> str:
        return "/".join(filter(None, (self.root, self.inner)))

    @property
    def _service(self) -> Any:  # noqa: ANN401  # fsspec has no types
        return reached(self.root, os.getpid()).filesystem

    def _seen(self) -> Seen | None:
        if self.listing is not None:
            if not self.inner:
                return Seen(0, 0, True) if self.listing else None
            return self.listing.get(self.parent.inner, {}).get(self.name)
        try:
            with self._reading():
                return seen(self._service.info(self.key))
        except FileNotFoundError:
            return None

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Word what a service refuses to give; that something is not there is not worded here."""
        try:
            with bounded():
                yield
        except (FileNotFoundError, NotADirectoryError, FeatureKitError):
            raise
        except Exception as error:  # each service has errors of its own
            raise ConfigError(f"a store at {refused(self._url, 'be readable', error)}") from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Word what a service refuses to take."""
        try:
            with bounded():
                yield
        except FeatureKitError:
            raise
        except Exception as error:
            raise OutputError(f"results at {refused(self._url, 'be writable', error)}") from error


def found(url: str) -> Address:
    """An address whose service answers.

    Args:
        url: as it was given.

    Raises:
        FeatureKitError: no store can be there, or nothing answers.
    """
    protocol, mark, rest = url.partition("://")
    root = f"{protocol}{mark}{rest.rstrip('/')}"
    reached(root, os.getpid())
    return Address(root)
