"""A tab in its place: its files, what its page saved, and one action at a time."""

import threading
from collections.abc import Mapping
from typing import Any

from featurekit.core.errors import ConfigError, FeatureKitError
from featurekit.core.json_files import plain, read_json, write_json
from featurekit.web.desk import Desk
from featurekit.web.job_queue import LOG, OURS
from featurekit.web.pages import static_files
from featurekit.web.tab import Tab

MOST_ASKING = 8  # actions of a tab at once, of which one runs
PAGE = "page.json"


class Placed:
    """A tab with what it was given, its files by name, and one action at a time."""

    def __init__(self, tab: Tab, desk: Desk) -> None:
        """Read the tab's files, once."""
        self.tab, self.desk = tab, desk
        self.files = static_files(tab.files)
        self.lock = threading.Lock()
        self.room = threading.BoundedSemaphore(MOST_ASKING)

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep what the page wants to find again.

        Raises:
            OutputError: it cannot be written.
        """
        write_json({"page": state}, self.desk.folder / PAGE)

    @property
    def saved(self) -> Any:  # noqa: ANN401 - whatever the page sent
        """What the page saved; None before it did."""
        try:
            return read_json(self.desk.folder / PAGE).get("page")
        except ConfigError:
            return None

    @property
    def seen(self) -> dict[str, Any]:
        """What the page asks for now, as the tab tells it; where it cannot, an ``error``."""
        saved = self.saved
        try:
            with self.lock:
                found = self.tab.seen(saved if isinstance(saved, dict) else {})
            return dict(plain(found, of=f"what is seen of tab {self.tab.name!r}"))
        except FeatureKitError as error:
            return {"error": str(error)}
        except Exception as error:
            LOG.exception("what is seen of the tab %s cannot be told", self.tab.name)
            return {"error": OURS.format(f"{type(error).__name__}: {error}")}
