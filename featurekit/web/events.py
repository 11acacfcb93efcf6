"""What happens in the studio, told to every page that is open: a ring of the latest events."""

import asyncio
import secrets
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from featurekit.web.framing import dump

KEPT = 512  # events that a page which comes back can catch up on
QUIET_S = 15.0  # after which a page hears that the studio is still there
MOST_PAGES = 32  # that listen at once


@dataclass(frozen=True)
class Event:
    """One event, as it is sent."""

    number: int
    data: bytes


class Hub:
    """Publishes from any thread to any number of pages."""

    def __init__(self) -> None:
        """Begin with nothing that happened; the mark tells the events of two servers apart."""
        self.mark = secrets.token_hex(4)
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._number = 0
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._closed = False
        self._watching: list[Callable[[str], object]] = []
        self.was_heard = threading.Event()  # a page listens, hence is up

    def publish(self, kind: str, values: Mapping[str, Any]) -> None:
        """Tell every page.

        Args:
            kind: what happened.
            values: JSON-able.
        """
        data = dump({**values, "kind": kind})
        with self._lock:
            self._number += 1
            self._events.append(Event(self._number, data))
        self._wake()
        for hear in tuple(self._watching):
            hear(kind)

    def watch(self, hear: Callable[[str], object]) -> None:
        """Have a function called with the kind of each event, by the thread that publishes it."""
        self._watching.append(hear)

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        self._wake()

    @property
    def last(self) -> str:
        """Name of the latest event, from which a page that has the state listens on."""
        with self._lock:
            return f"{self.mark}-{self._number}"

    @property
    def is_full(self) -> bool:
        """Whether as many pages listen as may."""
        return len(self._waiting) >= MOST_PAGES

    def since(self, name: str) -> tuple[list[Event], bool]:
        """Events after a named one, and whether some between were lost."""
        mark, _, count = name.partition("-")
        known = mark == self.mark and count.isascii() and count.isdigit() and len(count) < 16
        with self._lock:
            first = self._events[0].number if self._events else self._number + 1
            after = int(count) if known else -1
            if not first - 1 <= after <= self._number:
                return [], True
            return [event for event in self._events if event.number > after], False

    async def stream(self, name: str, *, follow: bool = True) -> AsyncIterator[bytes]:
        """Give events as server-sent ones, for as long as the page listens.

        Args:
            name: last event that the page has, or nothing.
            follow: whether to wait for what happens next.
        """
        happened = asyncio.Event()
        with self._lock:
            self._waiting[happened] = asyncio.get_running_loop()
        said = [b"retry: 1000\n\n"]
        try:
            while True:
                happened.clear()
                events, lost = self.since(name)
                if lost:
                    name = self.last
                    said.append(b'id: %s\ndata: {"kind":"reset"}\n\n' % name.encode("ascii"))
                for event in events:
                    name = f"{self.mark}-{event.number}"
                    said.append(b"id: %s\ndata: %s\n\n" % (name.encode("ascii"), event.data))
                if said:
                    yield b"".join(said)
                    said.clear()
                    self.was_heard.set()
                if self._closed or not follow:
                    return
                try:
                    await asyncio.wait_for(happened.wait(), QUIET_S)
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            with self._lock:
                self._waiting.pop(happened, None)

    def _wake(self) -> None:
        with self._lock:
            waiting = tuple(self._waiting.items())
        for happened, loop in waiting:
            try:
                loop.call_soon_threadsafe(happened.set)
            except RuntimeError:  # its loop has ended, and so has its page
                continue
