"""How a training looks while it goes on: pictures drawn now, the loss, the time that is left."""

from collections.abc import Callable, Mapping
from time import monotonic

from torch import Tensor

from featurekit.web.tab import Work
from featurekit_sketch.studio.pairs import ink_image
from featurekit_sketch.watching import Glimpse

PICTURE_S, PICTURE_SHARE = 0.5, 6.0  # between two looks at least; times what one took
NUMBERS_S = 0.25


class LiveSketches:
    """A watcher of a training: looks as often as that slows it by a sixth at most."""

    def __init__(
        self, work: Work, pictures: Mapping[str, Tensor], told: Callable[[], None] = lambda: None
    ) -> None:
        """See nothing yet.

        Args:
            work: that is told.
            pictures: to draw at every look, by name, (1 3 h w) each.
            told: called before the first look, for what is shown once.
        """
        self._work, self._pictures, self._told = work, pictures, told
        self._first: tuple[int, float] | None = None
        self._next_look = self._next_numbers = 0.0

    def __call__(self, glimpse: Glimpse) -> None:
        """Look, if it is time."""
        now, last = monotonic(), glimpse.done == glimpse.of
        if self._first is None:
            self._first = (glimpse.done, now)
            self._told()
        if now >= self._next_numbers or last:
            self._work.tell({
                "iteration": glimpse.done, "of": glimpse.of, "loss": glimpse.loss,
                "left_s": self._left_s(glimpse, now),
            })  # fmt: skip
            self._next_numbers = now + NUMBERS_S
        if now >= self._next_look or last:
            began = monotonic()
            for name, picture in self._pictures.items():
                self._work.picture(name, ink_image(glimpse.draw(picture)))
            ended = monotonic()
            self._next_look = ended + max(PICTURE_S, PICTURE_SHARE * (ended - began))

    def _left_s(self, glimpse: Glimpse, now: float) -> float | None:
        """Seconds that are left, at the pace so far; None before there is one."""
        done, began = self._first or (glimpse.done, now)
        if glimpse.done == done:
            return None
        return (now - began) / (glimpse.done - done) * (glimpse.of - glimpse.done)
