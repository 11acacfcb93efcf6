"""The job ``draw`` and the action ``lens``: the picture on the desk, whole or a window of it."""

import shutil
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import Any

from featurekit.core.atomic import make_folder
from featurekit.core.errors import ConfigError, FeatureKitError
from featurekit.core.json_files import read_json
from featurekit.images.io import image_to_pil, load_image
from featurekit.pipeline.places import RECORD as RUN_RECORD
from featurekit.web.asked import Asked
from featurekit.web.desk import Desk
from featurekit.web.pictures import Picture
from featurekit.web.tab import Json, Reply, Work
from featurekit.web.workbench import Workbench
from featurekit_sketch.config import tiling_of
from featurekit_sketch.distillation.student_drawer import student_drawer
from featurekit_sketch.drawer import Drawer
from featurekit_sketch.settings import Tiling
from featurekit_sketch.studio.choice import Choice
from featurekit_sketch.studio.pairs import ink_image
from featurekit_sketch.studio.runs import run_for_page, settings_for
from featurekit_sketch.studio.shelf import Shelf
from featurekit_sketch.studio.state import State
from featurekit_sketch.studio.words import spoken
from featurekit_sketch.tasks.drawers import drawer_of, mixed
from featurekit_sketch.training.style_file import digest, load_style
from featurekit_sketch.vector.svg import check_tracer

KEPT = 24  # sketches, of which the page shows one
READY = 4  # what draws, kept in memory for the lens
LENS_PX = (64, 1024)  # side of its window
SMALLEST_PX = 8  # of a picture that can be drawn


@dataclass(frozen=True)
class Drawn:
    """A sketch of a picture, in a run's folder."""

    folder: Path
    choice: Choice
    picture: str  # its id

    @property
    def file(self) -> Path:
        """The sketch."""
        return self.folder / f"{self.picture}.png"


class Drawing:
    """Draws the picture on the desk."""

    def __init__(self, desk: Desk, shelf: Shelf, state: State) -> None:
        """Draw nothing yet.

        Raises:
            OutputError: the tab's folder cannot be written to.
        """
        self._desk, self._shelf, self._state = desk, shelf, state
        self._folder = make_folder(desk.folder / "drawn")
        self._ready: OrderedDict[str, Drawer] = OrderedDict()
        self._own: Any = None
        self._tiling: Tiling | None = None

    def draw(self, asked: Asked, work: Work) -> Json:
        """Draw the picture on the desk; what was drawn before is given at once.

        Raises:
            FeatureKitError: no picture is there, or it cannot be drawn so.
            KeyboardInterrupt: it was stopped.
        """
        picture, choice = self._desk.picture(None), Choice.read(asked, self._shelf)
        drawn = Drawn(self._folder / f"{picture.id}-{choice.key}", choice, picture.id)
        if not _is_done(drawn):
            cfg = settings_for("extract", self._desk)
            cfg.image, cfg.out = str(picture.path), str(drawn.folder)
            choice.into(cfg, self._shelf)
            with spoken({picture.path: picture.name}):
                run_for_page(cfg, self._desk, work, names={Path(picture.path.name): picture.name})
        drawn.folder.touch()
        self._state.set("drawn", {"picture": picture.id, **choice.told})
        self._make_room(drawn.folder)
        return {"picture": self.address(drawn, picture)}

    def latest(self) -> tuple[Drawn, Picture] | None:
        """The latest sketch and its picture, if that is the one on the desk."""
        kept = self._state.get("drawn")
        with suppress(FeatureKitError):
            picture = self._desk.picture(None)
            if kept and kept["picture"] == picture.id:
                named = kept["styles"], kept["shares"], kept["student"]
                choice = Choice.of(*named, self._shelf)
                folder = self._folder / f"{picture.id}-{choice.key}"
                drawn = Drawn(folder, choice, picture.id)
                return (drawn, picture) if _is_done(drawn) else None
        return None

    @property
    def told(self) -> Json | None:
        """What the page is told of the latest sketch."""
        found = self.latest()
        if found is None:
            return None
        drawn, picture = found
        is_traced = can_trace() and all(
            one.facts.get("ink") != "colour" for one in drawn.choice.styles
        )
        return {**drawn.choice.told, "picture": self.address(drawn, picture), "svg": is_traced}

    def address(self, drawn: Drawn, picture: Picture) -> str:
        """Where the page finds a sketch."""
        name = f"{stem_of(picture.name)}-sketch.png"
        return self._desk.keep(drawn.file.read_bytes(), "image/png", name)

    def lens(self, asked: Asked) -> Reply:
        """Draw a window of the picture on the desk, at its own resolution.

        Raises:
            FeatureKitError: no picture is there, or it cannot be drawn so.
        """
        picture, choice = self._desk.picture(None), Choice.read(asked, self._shelf)
        x, y = (asked.number(name, low=-1e5, high=1e5) for name in ("x", "y"))
        box = _box(picture, (x, y), asked.whole("side", 256, low=LENS_PX[0], high=LENS_PX[1]))
        fast = len(choice.styles) == 1 and choice.styles[0].has_student and asked.flag("fast", True)
        began = perf_counter()
        with spoken():
            drawer = self._drawer(replace(choice, student=fast))
            window = load_image(picture.image.crop(box))
            sketch = image_to_pil(ink_image(drawer(window)))
        file = BytesIO()
        sketch.save(file, "PNG", compress_level=1)
        left, top, right, bottom = box
        values = {
            "box": [left, top, right - left, bottom - top],
            "by": "student" if fast else "style",
            "ms": 1000 * (perf_counter() - began),
        }
        return Reply(values, {"picture": file.getvalue()})

    def _drawer(self, choice: Choice) -> Drawer:
        """What draws for the lens, beside whatever a job does with the model."""
        key = choice.key
        if key not in self._ready:
            self._ready[key] = self._made(choice)
            while len(self._ready) > READY:
                self._ready.popitem(last=False)
        self._ready.move_to_end(key)
        return self._ready[key]

    def _made(self, choice: Choice) -> Drawer:
        if choice.student:
            return student_drawer(choice.styles[0].student)
        backbone = self._beside()
        own = backbone.name, digest(backbone.weights)
        styles = [load_style(one.file, *own) for one in choice.styles]
        if self._tiling is None:
            self._tiling = tiling_of(settings_for("extract", self._desk).plugin)
        if len(styles) == 1:
            return drawer_of(styles[0], backbone, self._tiling)
        return mixed(styles, choice.shares, backbone)

    def _beside(self) -> Any:  # noqa: ANN401 - a Backbone
        """The model with modules of the lens's own, since a job may use the tab's meanwhile."""
        if self._own is None:
            self._own = Workbench().sharing(self._desk.backbone())
        return self._own

    def _make_room(self, latest: Path) -> None:
        kept = [one for one in self._folder.iterdir() if one.is_dir() and one != latest]
        kept.sort(key=lambda one: one.stat().st_mtime)
        for one in kept[: max(0, len(kept) - KEPT + 1)]:
            shutil.rmtree(one, ignore_errors=True)


def stem_of(name: str) -> str:
    """What results that were made of a picture are called by."""
    return Path(name).stem[:60] or "picture"


def can_trace() -> bool:
    """Whether drawings can be saved as SVG here."""
    try:
        check_tracer()
    except ConfigError:
        return False
    return True


def _is_done(drawn: Drawn) -> bool:
    """Whether a sketch is there whole."""
    try:
        return read_json(drawn.folder / RUN_RECORD)["status"] == "done" and drawn.file.is_file()
    except (ConfigError, LookupError):
        return False


def _box(picture: Picture, at: tuple[float, float], side: int) -> tuple[int, int, int, int]:
    """A window of the picture about a point: left, top, right, bottom, px."""
    found = []
    for where, length in zip(at, (picture.width, picture.height), strict=True):
        size = min(length, max(side, SMALLEST_PX))
        found.append((min(max(0, round(where - size / 2)), length - size), size))
    (left, width), (top, height) = found
    return left, top, left + width, top + height
