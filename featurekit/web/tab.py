"""What a tab of the studio is: its files for the page, its actions and its jobs. No torch."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import Any, Protocol, TypeAlias

from featurekit.core.types import Progress
from featurekit.web.asked import Asked

Json: TypeAlias = Mapping[str, Any]
"""What ``json_files.plain`` takes: numbers, texts, lists, mappings, None."""


@dataclass(frozen=True)
class Reply:
    """An answer with bytes: ``studio.act`` of the page gives the values, and ``parts`` by name."""

    values: Json = field(default_factory=dict)
    parts: Mapping[str, bytes] = field(default_factory=dict)


class Work(Protocol):
    """What a job is given beside what was asked; see ``jobs.Job``."""

    @property
    def is_stopped(self) -> bool:
        """Whether somebody asked the job to stop."""
        ...

    def check(self) -> None:
        """Leave the job here if it is to stop.

        Raises:
            KeyboardInterrupt: it is.
        """
        ...

    def stage(self, name: str) -> AbstractContextManager[Progress]:
        """Name what is done now; gives a ``progress(done, of)``, as ``Job.stage`` of a run does."""
        ...

    def progress(self, done: int, of: int) -> None:
        """Say how far it is, and leave the job here if it is to stop."""
        ...

    def say(self, line: str) -> None:
        """Tell the person a line."""
        ...

    def picture(self, name: str, image: Any) -> str:  # noqa: ANN401 - a tensor or a Pillow image
        """Show how it looks now: (1 3 h w) in [-1, 1], or a Pillow image; gives its address."""
        ...

    def tell(self, values: Json) -> None:
        """Send numbers to the page, where ``studio.on("told", ...)`` hears them."""
        ...


Action: TypeAlias = Callable[[Asked], Json | Reply]
"""Quick: answers a click. Runs under the tab's lock; a FeatureKitError is the user's mistake."""

JobCall: TypeAlias = Callable[[Asked, Work], Json | None]
"""Long: one at a time for the whole studio; what it returns is the job's ``result``."""


@dataclass(frozen=True)
class Tab:
    """One tab. ``Plugin.studio`` names a callable that takes a ``Desk`` and returns this."""

    name: str  # a word: part of addresses and of a folder's name
    title: str  # what the page shows
    files: Traversable  # folder of static files; its tab.js exports mount(root, studio)
    actions: Mapping[str, Action] = field(default_factory=dict)
    jobs: Mapping[str, JobCall] = field(default_factory=dict)
    seen: Callable[[Json], Json] = lambda saved: saved
    """What a notebook sees of the tab, of what its page saved: JSON. Runs under the tab's lock."""
