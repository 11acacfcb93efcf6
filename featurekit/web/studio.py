"""The studio itself: its folder, model, pictures, tabs, jobs and events. Knows no HTTP."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from featurekit.core.atomic import make_folder
from featurekit.core.errors import (
    FeatureKitError,
    ImageError,
    PluginError,
    UnknownNameError,
)
from featurekit.pipeline.registry import load_plugin, plugins
from featurekit.web import opening
from featurekit.web.asked import Asked
from featurekit.web.blobs import Blobs
from featurekit.web.desk import Desk
from featurekit.web.events import Hub
from featurekit.web.job_queue import LOG, JobQueue, QueueFullError
from featurekit.web.jobs import Job
from featurekit.web.late import IMPORTS, imported
from featurekit.web.model import Model
from featurekit.web.pictures import Picture, Shelf, encode
from featurekit.web.placed import Placed
from featurekit.web.tab import Json, Reply, Tab

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
FIRST_LOOK_S = 3.0  # that loading waits for a page to be up
PLANNED_TABS = ("drag", "sketch")  # their order on the page, before those of others
MakeTab = Callable[[Desk], Tab]


class Studio:
    """Everything that is kept while the page is open, and after."""

    def __init__(
        self, folder: Path | str = "", backbone: str = "embedded", *,
        bench: Callable[[], opening.Bench] = opening.workbench,
        tabs: Callable[[], Iterator[tuple[str, MakeTab | FeatureKitError]]] | None = None,
    ) -> None:  # fmt: skip
        """Open the folder; nothing that takes long happens yet.

        Args:
            folder: where the studio keeps what it knows; the user's cache folder if empty.
            backbone: as ``fk.load_backbone`` takes it.
            bench: what needs torch, called when it is first needed.
            tabs: names of tabs and what makes each; those of the plugins and our own if None.

        Raises:
            OutputError: the folder cannot be written to.
        """
        self.folder = studio_folder(folder)
        self.hub = Hub()
        self.blobs = Blobs(self.folder / "results")
        self.shelf = Shelf(self.folder / "pictures")
        self.jobs = JobQueue(self.folder / "jobs.json", self.hub.publish, self._show)
        self.model = Model(backbone, self._load, self.hub.publish)
        self.placed: dict[str, Placed] = {}
        self.faults: dict[str, str] = {}
        self.is_complete = False  # every tab is there, or known to be broken
        self._bench, self._makers = bench, tabs or self._announced
        self._own: dict[str, Any] = {}
        self._lending = threading.Lock()
        self._saving = threading.Lock()

    def warm_up(self) -> None:
        """Load tabs and model in the background, once a page is up or does not come."""

        def work() -> None:
            self.hub.was_heard.wait(FIRST_LOOK_S)
            self.load_tabs()
            try:
                self.model.get()
            except FeatureKitError:
                LOG.info("the model cannot be loaded; the page says why")

        threading.Thread(target=work, name="studio loading", daemon=True).start()

    def load_tabs(self) -> None:
        """Make every tab; one that fails is named, and leaves the others as they are."""
        for name, made in self._makers():
            try:
                if isinstance(made, FeatureKitError):
                    raise made
                self._place(name, made)
            except FeatureKitError as error:
                self.faults[name] = str(error)
            except Exception as error:
                LOG.exception("the tab %s cannot be made", name)
                self.faults[name] = f"its tab failed with {type(error).__name__}: {error}"
            self.hub.publish("tabs", self.tabs_told)
        self.is_complete = True
        self.hub.publish("tabs", self.tabs_told)

    def _announced(self) -> Iterator[tuple[str, MakeTab | FeatureKitError]]:
        """The tabs that plugins announce, then the core's own."""
        order = {name: place for place, name in enumerate(PLANNED_TABS)}
        names = sorted({one.name for one in plugins()}, key=lambda one: (order.get(one, 9), one))
        for name in names:
            try:
                target = load_plugin(name).studio
                if target is not None:
                    yield name, imported(target, of=f"studio of plugin {name!r}")
            except FeatureKitError as error:
                yield name, error
        yield "look", opening.own_tab

    def _place(self, name: str, make: MakeTab) -> None:
        desk = Desk(
            folder=make_folder(self.folder / "tabs" / _word(name)),
            model_name=self.model.name,
            backbone=partial(self._lent, name),
            picture=self.shelf.get,
            publish=partial(self._from_tab, name),
            keep=self.blobs.keep,
            show=self.blobs.show,
        )
        tab = make(desk)
        if not isinstance(tab, Tab) or tab.name != name:
            raise PluginError(
                f"the studio of {name!r} must make a Tab of that name, got "
                f"{getattr(tab, 'name', type(tab).__name__)!r}; mend the plugin"
            )
        placed = Placed(tab, desk)
        if "tab.js" not in placed.files:
            raise PluginError(f"the files of tab {name!r} must hold a tab.js; mend the plugin")
        self.placed[name] = placed

    def _lent(self, name: str) -> Any:  # noqa: ANN401 - a Backbone, whose type needs torch
        """The model with modules of the tab's own."""
        whole = self.model.get()
        with self._lending:
            if name not in self._own:
                self._own[name] = self._bench().sharing(whole)
            return self._own[name]

    def _load(self) -> Any:  # noqa: ANN401 - a Backbone, whose type needs torch
        with IMPORTS:  # which loading goes on with
            return self._bench().load_backbone(self.model.name)

    def _from_tab(self, tab: str, name: str, values: Mapping[str, Any]) -> None:
        self.hub.publish("tab", {"tab": tab, "name": name, "values": dict(values)})

    def _show(self, image: Any) -> str:  # noqa: ANN401 - a tensor or a Pillow image
        return self.blobs.show(*encode(self._bench().shown(image)))

    # what pages ask

    def tab(self, name: str) -> Placed:
        """A tab by name.

        Raises:
            UnknownNameError: there is none.
        """
        if name not in self.placed:
            raise UnknownNameError("tab", name[:40], self.placed)
        return self.placed[name]

    def act(self, tab: str, action: str, asked: Asked) -> Json | Reply:
        """Carry out an action, one at a time in each tab.

        Raises:
            UnknownNameError: there is no such tab or action.
            QueueFullError: too many wait for the tab.
            FeatureKitError: the tab refused.
        """
        placed = self.tab(tab)
        if action not in placed.tab.actions:
            raise UnknownNameError("action", action[:40], placed.tab.actions)
        if not placed.room.acquire(blocking=False):
            raise QueueFullError(f"{placed.tab.title} is busy; ask again in a moment")
        try:
            with placed.lock:
                return placed.tab.actions[action](asked)
        finally:
            placed.room.release()

    def start(self, tab: str, job: str, asked: Asked) -> Job:
        """Put long work into the queue.

        Raises:
            UnknownNameError: there is no such tab or job.
            QueueFullError: too much waits.
        """
        placed = self.tab(tab)
        if job not in placed.tab.jobs:
            raise UnknownNameError("job", job[:40], placed.tab.jobs)
        return self.jobs.submit(tab, job, placed.tab.jobs[job], asked)

    def put_picture(self, content: bytes, name: str, *, select: bool) -> Picture:
        """Take a picture; see ``Shelf.put``."""
        picture = self.shelf.put(content, name, select=select)
        self.hub.publish("pictures", self.shelf.told)
        return picture

    def put_file(self, path: Path) -> Picture:
        """Take a picture of this machine.

        Raises:
            ImageError: it is none.
        """
        if not path.is_file():
            raise ImageError(f"image must be a picture file, but {str(path)!r} is none; check it")
        return self.put_picture(path.read_bytes(), path.name, select=True)

    def put_example(self) -> Picture:
        """Take a picture to begin with."""
        content, _ = encode(self._bench().example())
        return self.put_picture(content, "example.png", select=True)

    def select(self, key: str) -> Picture:
        """Put one of the pictures on the desk."""
        picture = self.shelf.select(key)
        self.hub.publish("pictures", self.shelf.told)
        return picture

    def save_page(self, tab: str, state: Mapping[str, Any]) -> None:
        """Keep what the page wants to find again.

        Raises:
            UnknownNameError: there is no such tab.
            OutputError: it cannot be written.
        """
        placed = self.tab(tab)
        with self._saving:
            placed.save(state)
        self.hub.publish("saved", {"tab": tab})

    @property
    def tabs_told(self) -> dict[str, Any]:
        """Tabs, with what their pages saved; and those that cannot be shown."""
        tabs = [
            {"name": name, "title": one.tab.title, "saved": one.saved}
            for name, one in tuple(self.placed.items())
        ]
        return {"tabs": tabs, "faults": dict(self.faults), "is_complete": self.is_complete}

    @property
    def seen(self) -> dict[str, Any]:
        """What the page of each tab asks for now, for a program beside it."""
        return {name: one.seen for name, one in tuple(self.placed.items())}

    @property
    def told(self) -> dict[str, Any]:
        """All that a page needs to begin with."""
        after = self.hub.last  # first: what happens meanwhile is heard twice, never missed
        return {
            "event": after, "model": self.model.told, "jobs": self.jobs.told,
            **self.shelf.told, **self.tabs_told,
        }  # fmt: skip

    def close(self) -> None:
        """End the jobs and the streams of events."""
        self.jobs.close()
        self.hub.close()


def studio_folder(folder: Path | str = "") -> Path:
    """Make the folder of a studio; the one in the user's cache folder if none is named.

    Raises:
        OutputError: it cannot be written to.
    """
    return make_folder(
        Path(folder).expanduser() if folder else user_cache_path("featurekit") / "studio"
    )


def _word(name: str) -> str:
    if not NAME.fullmatch(name):
        raise PluginError(f"a tab's name must be a word in small letters, got {name!r}")
    return name
