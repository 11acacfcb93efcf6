"""The session of the picture on the desk: opened when it is first needed, kept in a file."""

import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from torch import Tensor

from featurekit.core.atomic import make_folder
from featurekit.core.errors import ConfigError, FeatureKitError
from featurekit.core.json_files import read_json, write_json
from featurekit.images.io import image_to_pil, write_image
from featurekit.web.desk import Desk
from featurekit.web.pictures import Picture
from featurekit_drag.presets import own_settings
from featurekit_drag.session.asking import Asking
from featurekit_drag.session.events import Event
from featurekit_drag.session.session import Session
from featurekit_drag.studio.drags import Drags
from featurekit_drag.studio.keeping import Keeper
from featurekit_drag.studio.masks import Masks

MOST_BYTES = 512 << 20  # of the pictures of a history
KEPT = 24  # sessions, as many as pictures on the shelf
LIVE_PX = 768  # of the longer side of pictures while an edit goes on
LIVE_S, LIVE_SHARE = 0.12, 4.0  # between two of them at least; times what one took
Show = Callable[[str, Tensor], object]


@dataclass(frozen=True)
class Opened:
    """A picture with its session."""

    picture: Picture
    session: Session


class Place:
    """Keeps the session of one picture at a time; every method may be called from any thread."""

    def __init__(self, desk: Desk) -> None:
        """Open nothing yet.

        Raises:
            OutputError: the tab's folder cannot be written to.
        """
        self.desk = desk
        self.masks = Masks(desk.folder / "masks")
        self.keeper = Keeper(self._write)
        self.show: Show | None = None  # who looks on at the edit that goes on
        self._sessions = make_folder(desk.folder / "sessions")
        self._edits = make_folder(desk.folder / "edits")
        self._pictures = make_folder(desk.folder / "pictures")
        self._lock = threading.RLock()
        self._opened: Opened | None = None
        self._sources: dict[int, tuple[Tensor, Path]] = {}
        self._last_look, self._next_look = "", 0.0

    def open(self) -> Opened:
        """The picture on the desk and its session; waits for the model.

        Raises:
            ConfigError: no picture is on the desk.
            FeatureKitError: the model cannot be loaded or used.
        """
        picture = self.desk.picture(None)
        with self._lock:
            if self._opened is None or self._opened.picture.id != picture.id:
                self.close()
                self._opened = Opened(picture, self._session(picture))
                self._sources.clear()
                self._sweep()
            return self._opened

    def close(self) -> None:
        """Keep the session that is open, and end its work."""
        with self._lock:
            if self._opened is not None:
                self.keeper.ask()
                self.keeper.flush()
                self._opened.session.close()
                self._opened = None

    def opened(self, picture: Picture) -> Opened | None:
        """A picture with its session where that is open already."""
        opened = self._opened
        return opened if opened is not None and opened.picture.id == picture.id else None

    def is_open(self, opened: Opened) -> bool:
        """Whether a session is still that of the picture on the desk."""
        return self._opened is opened

    def folder_of(self, opened: Opened, number: int) -> Path:
        """Where the run of an edit lies, by the number of its step."""
        return self._edits / f"{opened.picture.id}-{number}"

    def file_of(self, opened: Opened, image: Tensor) -> Path:
        """The file that holds a picture (1 3 h w) of the history, as it was given or written anew.

        Raises:
            OutputError: it cannot be written.
        """
        known = self._sources.get(id(image))
        if known is not None and known[0] is image:
            return known[1]
        steps, _ = opened.session.history()
        path = opened.picture.path
        if not any(one.number == 0 and one.moment.image is image for one in steps):
            levels = image_to_pil(image)
            path = self._pictures / f"{sha256(levels.tobytes()).hexdigest()[:24]}.png"
            if not path.exists():
                write_image(levels, path)
        self._sources[id(image)] = (image, path)
        return path

    # an edit that was stopped: what it was asked, for the next server as well

    def going(self, opened: Opened) -> Drags | None:
        """What the edit that goes on, or was stopped, was asked to do."""
        if not opened.session.is_going:
            return None
        with suppress(ConfigError, LookupError, TypeError):
            return Drags.of_run(read_json(self._going(opened)), self.masks)
        return None

    def begins(self, opened: Opened, drags: Drags) -> None:
        """Note what an edit is asked to do.

        Raises:
            OutputError: it cannot be written.
        """
        config = {
            "plugin": drags.settings(self.masks), "prompt": drags.prompt, "seed": drags.seed,
        }  # fmt: skip
        write_json(config, self._going(opened))

    def _going(self, opened: Opened) -> Path:
        return self._sessions / f"{opened.picture.id}.json"

    def _session(self, picture: Picture) -> Session:
        backbone = self.desk.backbone()
        path = self._sessions / f"{picture.id}.safetensors"
        session = None
        if path.exists():
            try:
                session = Session.load(path, backbone)
            except FeatureKitError as error:
                aside = path.with_suffix(".before")
                path.replace(aside)
                told = f"what was kept of this picture cannot be gone on with: {error}"
                self.desk.publish("note", {"line": f"{told}; it lies beside, as {aside.name}"})
        if session is None:
            frames = own_settings(backbone.settings_of).animation_frames
            settings = replace(Asking.settings_of(backbone), animation_frames=frames)
            session = Session.open(backbone, picture.path, settings=settings)
        session.watch(self._hear)
        session.look(self._look)
        return session

    def _hear(self, event: Event) -> None:
        values = {"stage": event.stage, "done": event.done, "of": event.total}
        self.desk.publish("reading", values)

    def _look(self, name: str, make: Callable[[], Tensor]) -> None:
        """Show how an edit looks: each stage once, then as often as slows it by a quarter."""
        show, began = self.show, perf_counter()
        if show is None or (name == self._last_look and began < self._next_look):
            return
        self._last_look = name
        show(name, make())
        ended = perf_counter()
        self._next_look = ended + max(LIVE_S, LIVE_SHARE * (ended - began))

    def _write(self) -> None:
        opened = self._opened
        if opened is None:
            return
        opened.session.trim(MOST_BYTES)
        opened.session.save(self._sessions / f"{opened.picture.id}.safetensors")

    def _sweep(self) -> None:
        """Remove the sessions, and their edits, that were unused for longest."""
        kept = sorted(self._sessions.iterdir(), key=lambda one: one.stat().st_mtime)
        keys = list(dict.fromkeys(one.name.partition(".")[0] for one in reversed(kept)))
        for key in keys[KEPT:]:
            for path in (*self._sessions.glob(f"{key}.*"), *self._edits.glob(f"{key}-*")):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
