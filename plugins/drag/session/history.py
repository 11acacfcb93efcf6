"""What was done to a picture, step by step, back, and on another way."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import Tensor

from featurekit.core.errors import ConfigError
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


@dataclass(frozen=True, eq=False)
class Step:
    """A moment in its place: what was done to the one before."""

    number: int  # in the order in which they were made
    moment: Moment
    before: int | None  # number of the step that it came from; None: there was nothing before


class History:
    """A tree of moments, and which of them is now. Threads may share it.

    Who goes back and then does something else begins a branch; what was there stays.
    """

    def __init__(self, steps: tuple[Step, ...], now: int = 0) -> None:
        """Begin with at least one step.

        Args:
            steps: in the order of their numbers.
            now: number of the present one.
        """
        self._lock = threading.Lock()
        self._steps = {one.number: one for one in steps}
        self._now = now
        self._forth: dict[int, int] = {}  # by number of a step: the one after it that was seen last
        for one in steps:
            if one.before is not None:
                self._forth[one.before] = one.number
        self._lead_to(now)

    @property
    def now(self) -> Moment:
        """The present moment."""
        with self._lock:
            return self._steps[self._now].moment

    @property
    def all(self) -> tuple[tuple[Step, ...], int]:
        """All steps in the order of their numbers, and the number of the present one."""
        with self._lock:
            return tuple(self._steps.values()), self._now

    def push(self, moment: Moment) -> None:
        """Go on to a new moment, beside whatever was after the present one."""
        with self._lock:
            number = max(self._steps) + 1
            self._steps[number] = Step(number, moment, self._now)
            self._forth[self._now] = number
            self._now = number

    def go(self, by: int) -> bool:
        """Go back (-1), or forth (1) to where one was last; whether there was such a moment."""
        with self._lock:
            now = self._steps[self._now]
            to = now.before if by < 0 else self._forth.get(self._now)
            if to is None:
                return False
            self._now = to
            if by < 0:
                self._forth[to] = now.number
            return True

    def go_to(self, number: int) -> None:
        """Go to any step.

        Raises:
            ConfigError: there is none of that number.
        """
        with self._lock:
            if number not in self._steps:
                raise ConfigError(f"a step must be one of the history, got number {number}")
            self._now = number
            self._lead_to(number)

    def trim(self, most_bytes: int) -> None:
        """Forget the oldest steps, never the present one, until the pictures take no more.

        Args:
            most_bytes: of all pictures and masks; the present step alone may take more.
        """
        with self._lock:
            while len(self._steps) > 1 and _bytes(self._steps.values()) > most_bytes:
                oldest = next(one for one in self._steps.values() if one.number != self._now)
                del self._steps[oldest.number]
                self._forth.pop(oldest.number, None)
                self._forth = {a: b for a, b in self._forth.items() if b != oldest.number}
                for one in [one for one in self._steps.values() if one.before == oldest.number]:
                    self._steps[one.number] = replace(one, before=oldest.before)

    def _lead_to(self, number: int) -> None:
        """Let the way forth lead to a step from all that are before it."""
        before = self._steps[number].before
        while before is not None:
            self._forth[before] = number
            number, before = before, self._steps[before].before


def _bytes(steps: Iterable[Step]) -> int:
    """What the pictures and masks of steps take, each counted once."""
    held: dict[int, Tensor] = {}
    for moment in (one.moment for one in steps):
        regions = moment.asked.regions if moment.asked else ()
        mask = () if moment.mask is None else (moment.mask,)
        kept = (moment.image, *mask, *moment.candidates, *(region.mask for region in regions))
        held |= {id(one): one for one in kept}
    return sum(one.nbytes for one in held.values())
