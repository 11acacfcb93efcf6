"""What was done to a picture, step by step, and back."""

import threading
from dataclasses import dataclass

from torch import Tensor

from featurekit_drag.engine.request import Region


@dataclass(frozen=True, eq=False)
class Asked:
    """What a person asked for."""

    points: tuple[tuple[float, ...], ...]  # rows [x0, y0, x1, y1], px of the picture
    pins: tuple[tuple[float, ...], ...] = ()  # rows [x, y]
    regions: tuple[Region, ...] = ()
    mode: str | None = None  # None: that of the settings


@dataclass(frozen=True, eq=False)
class Moment:
    """A picture, what may change in it, and what came of a drag."""

    image: Tensor  # (1 3 h w) in [-1, 1]
    mask: Tensor | None  # (1 1 h w)
    asked: Asked | None = None  # None: nothing was dragged yet
    candidates: tuple[Tensor, ...] = ()  # like ``image``
    chosen: int = 0
    remarks: tuple[str, ...] = ()

    @property
    def result(self) -> Tensor:
        """The chosen candidate, or the picture while there is none."""
        return self.candidates[self.chosen] if self.candidates else self.image


class History:
    """Moments in their order, and which of them is now. Threads may share it."""

    def __init__(self, moments: tuple[Moment, ...], now: int = 0) -> None:
        """Begin with at least one moment."""
        self._lock = threading.Lock()
        self._moments, self._now = list(moments), now

    @property
    def now(self) -> Moment:
        """The present moment."""
        with self._lock:
            return self._moments[self._now]

    @property
    def all(self) -> tuple[tuple[Moment, ...], int]:
        """All moments and the number of the present one."""
        with self._lock:
            return tuple(self._moments), self._now

    def push(self, moment: Moment) -> None:
        """Go on to a new moment; what was undone is gone."""
        with self._lock:
            self._moments[self._now + 1 :] = [moment]
            self._now += 1

    def go(self, by: int) -> bool:
        """Go back (-1) or forth (1); whether there was such a moment."""
        with self._lock:
            if not 0 <= self._now + by < len(self._moments):
                return False
            self._now += by
            return True
