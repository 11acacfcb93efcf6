"""Features by number: made when first asked for, kept as long as there is room."""

from collections.abc import Callable

from featurekit_sketch.network.features import Features

ROOM = 2 << 30  # bytes; what does not fit is read again each time


class FeatureCache:
    """Gives features by number."""

    def __init__(self, make: Callable[[int], Features], *, room: int = ROOM) -> None:
        """Start empty.

        Args:
            make: reads the features of a number.
            room: bytes to fill.
        """
        self._make, self._left = make, room
        self._kept: dict[int, Features] = {}

    def __call__(self, number: int) -> Features:
        """The features of a number, read anew unless they are kept."""
        if number in self._kept:
            return self._kept[number]
        found = self._make(number)
        if found.bytes <= self._left:
            self._kept[number] = found
            self._left -= found.bytes
        return found
