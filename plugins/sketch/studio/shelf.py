"""The styles of the tab: those that are shipped, and a person's own, each in a folder of its own.

A folder holds what was given (``picture``, ``drawing``), how a person calls it (``style.json``),
what a card shows, and ``run/``, which is that of ``featurekit run plugin=sketch``. ``student/`` is
that of ``task=distil``.
"""

import re
import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featurekit.core.atomic import make_folder, replacing, replacing_folder
from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.core.json_files import read_json, write_json
from featurekit.web.desk import Desk
from featurekit_sketch.bundled_styles import NAMES, student_file, style_file
from featurekit_sketch.inputs import STYLE
from featurekit_sketch.studio.pairs import DRAWING, OVERLAY, PICTURE, THUMB, Pair
from featurekit_sketch.tasks.distil import STUDENT
from featurekit_sketch.training.style_training import CHECKPOINT
from featurekit_sketch.training.trainer import iterations_in

ID = re.compile(r"s[0-9a-f]{12}")
MOST = 100  # of a person's own; more are refused, none is ever taken away
LONGEST_TITLE = 80
NEEDED = {"title", "prompt", "seed", "iterations", "model", "ink", "fit"}  # facts of a style
RECORD, RUN, TAUGHT = "style.json", "run", "student"


@dataclass(frozen=True)
class Shelved:
    """A style, whether or not it is learnt yet."""

    id: str
    file: Path  # of the style, once it is learnt
    student: Path  # once there is one
    folder: Path | None = None  # of a person's own; None is a bundled one
    facts: Mapping[str, Any] = field(default_factory=dict)  # see ``Shelf.add``

    @property
    def title(self) -> str:
        """How a person calls it."""
        return str(self.facts.get("title", self.id))

    @property
    def is_learnt(self) -> bool:
        """Whether it can be drawn in."""
        return self.file.is_file()

    @property
    def has_student(self) -> bool:
        """Whether a student draws in it."""
        return self.is_learnt and self.student.is_file()

    @property
    def of(self) -> int:
        """Iterations in all."""
        return int(self.facts.get("iterations", 0))

    @property
    def done(self) -> int:
        """Iterations that lie on the disk."""
        if self.is_learnt or self.folder is None:
            return self.of
        return iterations_in(self.folder / RUN / CHECKPOINT)


class Shelf:
    """Finds, adds, renames and removes styles. Any thread may ask."""

    def __init__(self, desk: Desk) -> None:
        """Take up what the tab's folder holds.

        Raises:
            OutputError: it cannot be written to.
        """
        self._desk = desk
        self._folder = make_folder(desk.folder / "styles")
        self._mixes = make_folder(desk.folder / "mixed")
        self._lock = threading.RLock()
        self._at_work: set[str] = set()

    def all(self) -> list[Shelved]:
        """Every style: the bundled ones, then a person's own in the order they were begun."""
        with self._lock:
            own = [self._own(one) for one in self._folder.iterdir() if ID.fullmatch(one.name)]
        found = [one for one in own if one is not None]
        found.sort(key=lambda one: (one.facts.get("number", 0), one.id))
        return [*(_bundled(name) for name in NAMES), *found]

    def find(self, key: str) -> Shelved:
        """A style.

        Raises:
            UnknownNameError: there is none of that id.
        """
        known = {one.id: one for one in self.all()}
        if key not in known:
            raise UnknownNameError("style", key[:40], ())
        return known[key]

    def own(self, key: str) -> tuple[Shelved, Path]:
        """A style of the person's own, and its folder.

        Raises:
            UnknownNameError: there is none of that id.
            ConfigError: it is a bundled one.
        """
        found = self.find(key)
        if found.folder is None:
            raise ConfigError(
                f"only a style of your own can be changed, got the bundled {found.title!r}; learn "
                f"one of your own"
            )
        return found, found.folder

    def add(self, pair: Pair, facts: Mapping[str, Any]) -> Shelved:
        """Begin a style, which nothing is learnt of yet.

        Args:
            pair: what it is to be learnt from; its files are copied.
            facts: title, prompt, seed, iterations, and the model's name.

        Raises:
            ConfigError: there are as many as may be.
            OutputError: it cannot be written.
        """
        with self._lock:
            own = [one for one in self.all() if one.folder is not None]
            if len(own) >= MOST:
                raise ConfigError(
                    f"at most {MOST} styles of your own are kept, and so many are there; remove "
                    f"one that you do not need"
                )
            number = 1 + max((int(one.facts.get("number", 0)) for one in own), default=0)
            key = f"s{secrets.token_hex(6)}"
            with replacing_folder(self._folder / key) as folder:
                for name in (PICTURE, DRAWING, OVERLAY, THUMB):
                    shutil.copyfile(pair.folder / name, folder / name)
                given = {name: pair.facts[name] for name in ("ink", "fit", "mended", "agreement")}
                write_json({**given, **facts, "number": number}, folder / RECORD)
        self._desk.publish("styles", {})
        return self.find(key)

    def rename(self, key: str, title: str) -> None:
        """Call a style otherwise.

        Raises:
            UnknownNameError, ConfigError: as ``own``; or it is called nothing.
        """
        with self._lock:
            found, folder = self.own(key)
            write_json({**found.facts, "title": title_of(title)}, folder / RECORD)
        self._desk.publish("styles", {})

    def remove(self, key: str) -> None:
        """Remove a style, with its student.

        Raises:
            UnknownNameError, ConfigError: as ``own``; or something is learnt of it right now.
        """
        with self._lock:
            found, folder = self.own(key)
            if key in self._at_work:
                raise ConfigError(
                    f"a style that is being learnt must stay, and {found.title!r} is; stop it first"
                )
            gone = folder.with_name(f".{folder.name}.gone")  # at once, whatever stops the removal
            shutil.rmtree(gone, ignore_errors=True)
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
            (self._mixes / f"{key}.safetensors").unlink(missing_ok=True)
        self._desk.publish("styles", {})

    @contextmanager
    def at_work(self, key: str) -> Iterator[None]:
        """Say that a style is learnt in the block, and tell the page before and after."""
        with self._lock:
            self._at_work.add(key)
        self._desk.publish("styles", {})
        try:
            yield
        finally:
            with self._lock:
                self._at_work.discard(key)
            self._desk.publish("styles", {})

    def state_of(self, style: Shelved) -> str:
        """Where a style stands, in a word."""
        if style.id in self._at_work and not style.is_learnt:
            return "learning"
        if style.is_learnt:
            return "ready"
        begun = style.folder is not None and (style.folder / RUN).is_dir()
        return "stopped" if begun else "not learnt"

    def together(self, styles: tuple[Shelved, ...]) -> Path:
        """A folder in which the files of these styles lie under their ids, to be mixed.

        Raises:
            OutputError: it cannot be written.
        """
        for one in styles:
            copy = self._mixes / f"{one.id}.safetensors"
            if not copy.exists():
                with replacing(copy) as temporary:
                    shutil.copyfile(one.file, temporary)
        return self._mixes

    def _own(self, folder: Path) -> Shelved | None:
        """A person's own style; None where its folder was harmed."""
        with suppress(ConfigError):
            facts = read_json(folder / RECORD)
            if not facts.keys() >= NEEDED:
                return None
            return Shelved(
                folder.name,
                folder / RUN / f"{STYLE}.safetensors",
                folder / TAUGHT / STUDENT,
                folder,
                facts,
            )
        return None


def title_of(given: str) -> str:
    """A title as it is kept: one line.

    Raises:
        ConfigError: nothing is left of it.
    """
    found = " ".join("".join(one if one.isprintable() else " " for one in given).split())
    if not found:
        raise ConfigError("a style must have a name of a letter at least, got none; give it one")
    return found[:LONGEST_TITLE]


def _bundled(name: str) -> Shelved:
    return Shelved(name, style_file(name), student_file(name), None, {"title": name.capitalize()})
