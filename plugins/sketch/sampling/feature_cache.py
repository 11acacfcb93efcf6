"""Features by number: made when first asked for, kept as long as there is room."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from featurekit.core.types import Progress, silent

ROOM = 2 << 30  # bytes; what does not fit is read again each time


class Weighed(Protocol):
    """Something that knows how much memory it takes."""

    @property
    def bytes(self) -> int:
        """Memory that it takes."""


T = TypeVar("T", bound=Weighed)


class FeatureCache(Generic[T]):
    """Gives features by number."""

    def __init__(self, make: Callable[[int], T], *, room: int = ROOM) -> None:
        """Start empty.

        Args:
            make: reads the features of a number.
            room: bytes to fill.
        """
        self._make, self._left = make, room
        self._kept: dict[int, T] = {}

    def __call__(self, number: int) -> T:
        """The features of a number, read anew unless they are kept."""
        if number in self._kept:
            return self._kept[number]
        found = self._make(number)
        if found.bytes <= self._left:
            self._kept[number] = found
            self._left -= found.bytes
        return found

    def fill(self, count: int, progress: Progress = silent) -> None:
        """Read the features of the first numbers, as long as there is room for more like them."""
        for number in range(count):
            found = self(number)
            progress(number + 1, count)
            if found.bytes > self._left:
                return
