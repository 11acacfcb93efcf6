"""Features: made when first asked for, kept as long as there is room."""

from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar
from weakref import finalize

from featurekit.core.types import Progress, silent


class Room:
    """Memory that several caches share; each gives its part back when it goes."""

    def __init__(self, size: int) -> None:
        """Begin with all of it free.

        Args:
            size: bytes.
        """
        self.left = size

    def take(self, size: int) -> bool:
        """Take some bytes, if that many are left."""
        if size > self.left:
            return False
        self.left -= size
        return True


ROOM = Room(2 << 30)  # of this process; what does not fit is read again each time


class Weighed(Protocol):
    """Something that knows how much memory it takes."""

    @property
    def bytes(self) -> int:
        """Memory that it takes."""


T = TypeVar("T", bound=Weighed)
K = TypeVar("K", bound=Hashable)


class Kept(Generic[K, T]):
    """What was made by name, as long as there is room; the rest is made anew each time."""

    def __init__(self, room: Room | None = None) -> None:
        """Start empty.

        Args:
            room: to fill, with other caches; the default is that of the process.
        """
        self.room = ROOM if room is None else room
        self._kept: dict[K, T] = {}
        finalize(self, _emptied, self._kept, self.room)

    def get(self, name: K, make: Callable[[], T]) -> T:
        """What is kept by a name, or what is made now, and kept if there is room."""
        if name in self._kept:
            return self._kept[name]
        found = make()
        if self.room.take(found.bytes):
            self._kept[name] = found
        return found


class FeatureCache(Generic[T]):
    """Gives features by number."""

    def __init__(self, make: Callable[[int], T], *, room: Room | None = None) -> None:
        """Start empty.

        Args:
            make: reads the features of a number.
            room: to fill, with other caches; the default is that of the process.
        """
        self._make = make
        self._kept: Kept[int, T] = Kept(room)

    def __call__(self, number: int) -> T:
        """The features of a number, read anew unless they are kept."""
        return self._kept.get(number, lambda: self._make(number))

    def fill(self, count: int, progress: Progress = silent) -> None:
        """Read the features of the first numbers, as long as there is room for more like them."""
        for number in range(count):
            found = self(number)
            progress(number + 1, count)
            if found.bytes > self._kept.room.left:
                return


def _emptied(kept: dict[K, T], room: Room) -> None:
    """Give back what a cache took that is no more."""
    room.left += sum(one.bytes for one in kept.values())
    kept.clear()
