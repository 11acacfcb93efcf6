"""A tab that is on the page at once, whatever it stands on takes seconds to import."""

import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.resources.abc import Traversable
from typing import Any, TypeVar

from featurekit.pipeline.registry import resolve
from featurekit.web.desk import Desk
from featurekit.web.tab import Json, Tab

Value = TypeVar("Value")
IMPORTS = threading.RLock()
"""Held by who imports what is large: two threads that import torch at once see halves of it."""


def imported(target: str, *, of: str) -> Callable[..., Any]:
    """Import a callable as ``registry.resolve`` does, one thread at a time.

    Raises:
        PluginError: it cannot be imported.
    """
    with IMPORTS:
        return resolve(target, of=of)


def late(name: str, title: str, files: Traversable, target: str, desk: Desk) -> Tab:
    """A tab whose page is shown now, and whose actions and jobs are made when first asked for.

    Args:
        name: see ``Tab``; that of the whole tab, too.
        title: see ``Tab``.
        files: see ``Tab``.
        target: ``"module:callable"``, which makes the tab with its actions and jobs of a desk;
            imported and called once, by the thread that asks.
        desk: what the callable is given.

    Returns:
        The tab. What the callable raises is raised to each who asks, until it succeeds.
    """
    lock = threading.Lock()
    made: list[Tab] = []

    def found() -> Tab:
        with lock:
            if not made:
                made.append(imported(target, of=f"the tab {title}")(desk))
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
