"""Work in a thread of its own that can be made step by step, paused, resumed and stopped."""

import atexit
import threading
import time
from collections.abc import Callable
from math import inf
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from featurekit_drag.session.network import Turn

S = TypeVar("S")
T = TypeVar("T")
LOOK_S = 0.05  # between two looks at whether a wait is over
_ALL: "WeakSet[Worker[Any]]" = WeakSet()


class Stopped(BaseException):  # no Exception: foreign code must not catch this way out
    """Carries control out of work that nobody wants any more."""


class Worker(Generic[T]):
    """Runs ``work`` in a thread; between two calls of the network it passes a gate.

    A gate opens once for each step that is asked for, always while the work is resumed, and never
    while it is paused. The network is taken at a gate, and left while waiting there, unless the
    work changes it.
    """

    def __init__(
        self, work: Callable[["Worker[T]"], T], turn: Turn, *, changes_network: bool = False
    ) -> None:
        """Begin, paused before the work.

        Args:
            work: is given this worker, and calls ``gate`` before every call of the network.
            turn: of the network.
            changes_network: nobody else may use the network until the work has ended.
        """
        self.result: T | None = None
        self.failure: BaseException | None = None
        self.is_told = False  # the failure was raised where somebody sees it
        self.paused_s = 0.0  # spent waiting at gates
        self._work, self._turn, self._changes = work, turn, changes_network
        self._changed = threading.Condition()
        self._allowed: float = 0  # gates that may be passed
        self._waits, self._stopped, self._ended = False, False, False
        self._thread = threading.Thread(target=self._run, name="featurekit drag", daemon=True)
        _ALL.add(self)
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether the work is over, however it ended."""
        return self._ended

    @property
    def is_running(self) -> bool:
        """Whether the work goes on by itself."""
        return not self._ended and self._allowed > 0

    @property
    def waits(self) -> bool:
        """Whether the work is paused."""
        return self._waits and self._allowed <= 0

    def gate(self) -> None:
        """Wait until the next call of the network may be made; called by the work itself."""
        self._admitted()
        self._turn.take(self)

    def step(self) -> bool:
        """Let the work pass one gate and wait until it is at the next; whether there is one."""
        with self._changed:
            self._allowed += 1
            self._changed.notify_all()
        return self.wait()

    def resume(self) -> None:
        """Let the work go on by itself."""
        with self._changed:
            self._allowed = inf
            self._changed.notify_all()

    def pause(self) -> None:
        """Stop the work at its next gate and, but for the work's own thread, wait until then."""
        with self._changed:
            self._allowed = 0
        if threading.current_thread() is not self._thread:
            self.wait()

    def wait(self, timeout_s: float = inf) -> bool:
        """Wait until the work is paused or over; whether it has more to do."""
        until = time.monotonic() + timeout_s
        with self._changed:
            while not self._ended and not self.waits:
                if time.monotonic() >= until:
                    break
                self._changed.wait(LOOK_S)  # Ctrl-C is heard between two looks on every system
            return not self._ended

    def stop(self) -> None:
        """End the work at its next gate and wait until then."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def result_of(self, other: "Worker[S]") -> S:
        """Wait within the work for that of another worker; while that one is paused, this one is.

        Raises:
            Exception: what the other one failed with.
        """
        while not other.has_ended:
            with self._changed:
                self._waits = other.waits
                self._changed.notify_all()
                self._changed.wait(LOOK_S)
                self._waits = False
                if self._stopped:
                    raise Stopped
        if other.failure is not None:
            other.is_told = True
            raise other.failure
        if other.result is None:
            raise Stopped
        return other.result

    def _admitted(self) -> None:
        with self._changed:
            if self._allowed <= 0 and not self._stopped:
                began = time.perf_counter()
                (self._turn.rest if self._changes else self._turn.leave)(self)
                self._waits = True
                self._changed.notify_all()
                while self._allowed <= 0 and not self._stopped:
                    self._changed.wait()
                self._waits = False
                self.paused_s += time.perf_counter() - began
            if self._stopped:
                raise Stopped
            self._allowed -= 1

    def _run(self) -> None:
        try:
            self._admitted()
            self.result = self._work(self)
        except Stopped:
            pass
        except BaseException as failure:  # told to whoever asks next
            self.failure = failure
        finally:
            self._turn.leave(self)
            with self._changed:
                self._ended = True
                self._changed.notify_all()


@atexit.register
def _stop_all() -> None:
    """End all work before the interpreter ends: a thread inside a network would abort it."""
    for worker in tuple(_ALL):
        worker.stop()
