"""A tab that is on the page at once, whatever it stands on takes seconds to import."""

import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.resources.abc import Traversable
from typing import TypeVar

from featurekit.web.tab import Json, Tab

Value = TypeVar("Value")


def late(name: str, title: str, files: Traversable, whole: Callable[[], Tab]) -> Tab:
    """A tab whose page is shown now, and whose actions and jobs are made when first asked for.

    Args:
        name: see ``Tab``; that of the whole tab, too.
        title: see ``Tab``.
        files: see ``Tab``.
        whole: makes the tab with its actions and jobs; called once, by the thread that asks.

    Returns:
        The tab. What ``whole`` raises is raised to each who asks, until it succeeds.
    """
    lock = threading.Lock()
    made: list[Tab] = []

    def found() -> Tab:
        with lock:
            if not made:
                made.append(whole())
            return made[0]

    def seen(saved: Json) -> Json:
        return found().seen(saved)

    actions = Late(lambda: found().actions)
    return Tab(name, title, files, actions, Late(lambda: found().jobs), seen)


class Late(Mapping[str, Value]):
    """A mapping that is made when it is first looked into."""

    def __init__(self, made: Callable[[], Mapping[str, Value]]) -> None:
        """Name what makes it."""
        self._made = made

    def __getitem__(self, name: str) -> Value:
        """The value of a name."""
        return self._made()[name]

    def __iter__(self) -> Iterator[str]:
        """Its names."""
        return iter(self._made())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._made())
