"""A folder of pictures that are all drawn: its files come from the page one by one."""

import re
import shutil
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from torch import Tensor

from featurekit.core.atomic import make_folder, replacing
from featurekit.core.errors import ConfigError, ImageError
from featurekit.images.photo import open_photo
from featurekit.pipeline.places import RECORD as RUN_RECORD
from featurekit.web.asked import Asked
from featurekit.web.desk import Desk
from featurekit.web.tab import Json, Work
from featurekit_sketch.studio.choice import Choice
from featurekit_sketch.studio.drawing import can_trace
from featurekit_sketch.studio.pairs import thumb_of
from featurekit_sketch.studio.runs import run_for_page, settings_for
from featurekit_sketch.studio.shelf import Shelf
from featurekit_sketch.studio.state import State
from featurekit_sketch.studio.words import in_words, spoken
from featurekit_sketch.tasks.picture_folder import in_order
from featurekit_sketch.watching import Watcher

MOST, MOST_BYTES = 1000, 1 << 30  # pictures; more are refused
LONGEST = 80  # letters of a name
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
SKETCHES = (".png", ".svg")  # what a ZIP has
ODD = re.compile(r"[^\w .()+,-]+")
DEVICES = re.compile(
    r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE
)  # no names of files on Windows


class Batches:
    """Actions ``batch`` and ``unbatch``, and the job ``batch``."""

    def __init__(self, desk: Desk, shelf: Shelf, state: State) -> None:
        """Take up the pictures that came before.

        Raises:
            OutputError: the tab's folder cannot be written to.
        """
        self._desk, self._shelf, self._state = desk, shelf, state
        self._pictures = make_folder(desk.folder / "batch" / "pictures")
        self._drawn = desk.folder / "batch" / "drawn"
        self._is_drawn = False

    def add(self, asked: Asked) -> Json:
        """Take a picture into the folder; gives all of them, and why this one was refused."""
        content = asked.part("file")
        name = name_of(asked.text("name", "picture"))
        refused = self._refused(name, content)
        return {"files": self._names(), "refused": refused}

    def empty(self, asked: Asked) -> Json:
        """Take all pictures out of the folder, and forget what was drawn of them.

        Raises:
            ConfigError: they are being drawn.
        """
        if self._is_drawn:
            raise ConfigError("the folder must stay while it is drawn; stop that first")
        for folder in (self._pictures, self._drawn):
            if folder.exists():
                gone = folder.with_name(f".{folder.name}.gone")
                shutil.rmtree(gone, ignore_errors=True)
                folder.rename(gone)  # at once, whatever stops the removal
                shutil.rmtree(gone, ignore_errors=True)
        make_folder(self._pictures)
        self._state.set("zip", None)
        return self.told

    def draw(self, asked: Asked, work: Work) -> Json:
        """Draw all pictures; gives a ZIP of their sketches.

        Raises:
            FeatureKitError: there are none, or they cannot be drawn so.
            KeyboardInterrupt: it was stopped; what was drawn stays until the next time.
        """
        choice, svg = Choice.read(asked, self._shelf), asked.flag("svg", False)
        if not self._names():
            raise ConfigError("there must be pictures to draw, got none; choose a folder of them")
        if svg and not can_trace():
            raise ConfigError("SVG needs vtracer: pip install 'featurekit[svg]'; draw without it")
        shutil.rmtree(self._drawn, ignore_errors=True)
        self._state.set("zip", None)
        cfg = settings_for("extract", self._desk)
        cfg.image, cfg.out = str(self._pictures), str(self._drawn)
        choice.into(cfg, self._shelf)
        cfg.plugin.svg = svg

        def show(name: str, ink: Tensor) -> None:
            work.picture(name, thumb_of(ink))

        self._is_drawn = True
        try:
            with spoken(self._said):
                record = run_for_page(cfg, self._desk, work, Watcher(drawn=show))
        finally:
            self._is_drawn = False
        address = self._desk.keep(self._zipped(record), "application/zip", "sketches.zip")
        self._state.set("zip", address)
        skipped = [in_words(one, self._said) for one in record["skipped"]]
        return {"zip": address, "count": record["metrics"]["pictures"], "skipped": skipped}

    @property
    def told(self) -> Json:
        """What the page is told of the folder."""
        names = self._names()
        sketches = self._drawn.glob("*.png") if self._drawn.is_dir() else ()
        done = sum(one.stem != "sheet" for one in sketches)
        return {"files": names, "done": min(done, len(names)), "zip": self._state.get("zip")}

    @property
    def zip(self) -> str:
        """Where the sketches of the last time are.

        Raises:
            ConfigError: there are none.
        """
        found = self._state.get("zip")
        if not found:
            raise ConfigError("there must be a folder that was drawn, got none; draw it first")
        return str(found)

    @property
    def _said(self) -> Mapping[Path, str]:
        return {self._pictures / name: name for name in self._names()} | {
            self._pictures: "the folder"
        }

    def _names(self) -> list[str]:
        return [one.name for one in in_order(list(self._pictures.iterdir()))
                if not one.name.startswith(".")]  # fmt: skip

    def _refused(self, name: str, content: bytes) -> str | None:
        """Take a picture, or say why not."""
        held = list(self._pictures.iterdir())
        if len(held) >= MOST:
            return f"{name}: a folder may have {MOST} pictures, and so many are there"
        if sum(one.stat().st_size for one in held) + len(content) > MOST_BYTES:
            return f"{name}: a folder may have {MOST_BYTES >> 30} GiB, and this would be more"
        known = {one.name.casefold(): one for one in held}
        if name.casefold() in known and known[name.casefold()].read_bytes() == content:
            return None
        free, number = name, 2
        while free.casefold() in known:
            path = Path(name)
            free, number = f"{path.stem}-{number}{path.suffix}", number + 1
        try:
            with replacing(self._pictures / free) as temporary:
                temporary.write_bytes(content)
                open_photo(temporary, of="picture", background="white")
        except ImageError as error:
            return f"{name}: {error}".replace(str(temporary), name)
        return None

    def _zipped(self, record: Mapping[str, Any]) -> bytes:
        """The sketches and the record of the run, as one file."""
        file = BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
            for name in record["outputs"].values():
                path = self._drawn / name
                if path.suffix in SKETCHES and path.stem != "sheet":
                    packed.write(path, path.name)
            packed.writestr("run.json", (self._drawn / RUN_RECORD).read_bytes())
        return file.getvalue()


def name_of(given: str) -> str:
    """The name of a file as it is kept: the last part of a path, of letters that any disk takes."""
    last = PureWindowsPath(PurePosixPath(given).name).name
    plain = ODD.sub("_", last).strip(" .")
    stem, dot, ending = plain.rpartition(".")
    if not dot or f".{ending.lower()}" not in ENDINGS:
        stem, ending = plain, "png"
    ending = f".{ending.lower()}"
    stem = stem.strip(" .")[: LONGEST - len(ending)].strip(" .") or "picture"
    if DEVICES.fullmatch(stem.partition(".")[0].strip()):
        stem = f"_{stem}"
    return stem + ending
