"""Drawings that were dropped on the page, each with the picture that it was drawn of."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from featurekit.core.atomic import make_folder, replacing_folder
from featurekit.core.errors import ConfigError, FeatureKitError
from featurekit.core.json_files import read_json, write_json
from featurekit.images.io import image_to_pil, load_image, write_image
from featurekit.web.asked import Asked
from featurekit.web.desk import Desk
from featurekit.web.pictures import encode
from featurekit.web.tab import Json, Reply
from featurekit_sketch.bundled_styles import NAMES
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.drawing.read_drawing import overlay
from featurekit_sketch.drawing.registration import rough_agreement
from featurekit_sketch.inputs import Subject, bundled, drawn_subject, from_scene
from featurekit_sketch.settings import INKS, LINES
from featurekit_sketch.studio.state import State
from featurekit_sketch.studio.words import in_words, spoken
from featurekit_sketch.working_size import Size, resized, resized_ink, size_of

PICTURE, DRAWING, OVERLAY, THUMB, FACTS = (
    *("picture", "drawing", "overlay.png", "thumb.png", "pair.json"),
)
KEPT = 8  # dropped drawings, of which the page shows the latest
LONGEST_NAME = 80
SHOWN_PX, THUMB_PX = 768, 208  # longer sides of an overlay, and of a drawing on a card
COMPARED_PX = 256  # longer side of what agreement is measured on
DOUBTFUL = 0.1  # agreement with the picture's edges below which a person is warned
SCENE_PX = 512  # of the example, as large as a page shows it


@dataclass(frozen=True)
class Pair:
    """A picture and its drawing, in a folder."""

    key: str
    folder: Path
    facts: Mapping[str, Any]  # name, ink, fit, mended, agreement, warning


class Pairs:
    """Actions ``check``, ``unpair`` and ``scene``, which need no model."""

    def __init__(self, desk: Desk, state: State) -> None:
        """Take up the drawing that was dropped last.

        Raises:
            OutputError: the tab's folder cannot be written to.
        """
        self._desk, self._state = desk, state
        self._folder = make_folder(desk.folder / "pairs")

    def check(self, asked: Asked) -> Json:
        """Keep a drawing of the picture on the desk, and show how it lies there.

        Raises:
            ImageError: it is no drawing of it.
            ConfigError: no picture is on the desk, or tones are to be mended.
        """
        picture = self._desk.picture(None)
        name = asked.text("name", "drawing", longest=255)[-LONGEST_NAME:]
        ink, fit = asked.choice("ink", INKS, LINES), asked.flag("fit", False)
        if fit and ink != LINES:
            raise ConfigError(
                "a drawing in greys or colours is learnt as it is and cannot be mended, got both; "
                "turn mending off, or choose lines"
            )
        content, given = asked.part("drawing"), picture.path.read_bytes()
        key = sha256(b"\0".join([given, content, f"{ink} {fit}".encode()])).hexdigest()[:24]
        with replacing_folder(self._folder / key) as folder:
            (folder / PICTURE).write_bytes(given)
            (folder / DRAWING).write_bytes(content)
            config = SketchConfig(ink=ink, fit=fit)
            with spoken({folder / DRAWING: name, folder / PICTURE: picture.name}):
                image = load_image(folder / PICTURE)
                subject = drawn_subject(config, str(folder / DRAWING), image)
            write_pictures(subject, folder)
            facts = {"of": picture.id, "name": name, "ink": ink, "fit": fit, **_told(subject)}
            write_json(facts, folder / FACTS)
        self._state.set("pair", key)
        self._make_room(key)
        return {"pair": self.told}

    def unpair(self, asked: Asked) -> Json:
        """Forget the drawing that was dropped."""
        self._state.set("pair", None)
        return {"pair": None}

    def scene(self, asked: Asked) -> Reply:
        """A bundled face to draw on, and its drawing in a bundled style: a pair to begin with.

        Raises:
            UnknownNameError: there is no such style.
        """
        subject = example(asked.choice("style", NAMES, NAMES[0]), SCENE_PX)
        picture, drawing = (
            encode(image_to_pil(one))[0] for one in (subject.image, ink_image(subject.ink))
        )
        values = {"title": f"{subject.name} by {asked.text('style', NAMES[0])}"}
        return Reply({**values, "prompt": subject.prompt}, {"picture": picture, "drawing": drawing})

    def find(self, key: str) -> Pair:
        """A drawing that was dropped.

        Raises:
            ConfigError: it is there no more.
        """
        if key in self._keys():
            folder = self._folder / key
            return Pair(key, folder, read_json(folder / FACTS))
        raise ConfigError("the drawing must be one that was dropped here, and it is gone; drop it")

    @property
    def told(self) -> Json | None:
        """What the page is told of the drawing that was dropped last, if it is of this picture."""
        key = self._state.get("pair")
        if key not in self._keys():
            return None
        pair = self.find(key)
        with suppress(FeatureKitError):
            if self._desk.picture(None).id != pair.facts["of"]:
                return None
        files = {"overlay": pair.folder / OVERLAY, "drawing": pair.folder / THUMB}
        return {
            "key": key,
            **pair.facts,
            **{name: self._desk.keep(path.read_bytes(), "image/png", path.name)
               for name, path in files.items()},
        }  # fmt: skip

    def _keys(self) -> dict[str, float]:
        """Those that are whole, by when they were dropped."""
        found = [one for one in self._folder.iterdir() if (one / FACTS).is_file()]
        return {one.name: one.stat().st_mtime for one in found if not one.name.startswith(".")}

    def _make_room(self, latest: str) -> None:
        others = {key: time for key, time in self._keys().items() if key != latest}
        for key in sorted(others, key=others.__getitem__)[: max(0, len(others) - KEPT + 1)]:
            shutil.rmtree(self._folder / key, ignore_errors=True)


def example(style: str, size: int) -> Subject:
    """The scene that the bundled styles were learnt from, at a size, drawn in one of them."""
    return from_scene(bundled(0), style, size)


def write_pictures(subject: Subject, folder: Path) -> None:
    """Write how a drawing lies on its picture, and the drawing as a card shows it."""
    image, ink = subject.image, subject.ink
    size = _within(size_of(image), SHOWN_PX)
    if ink.shape[1] == 1:
        shown = overlay(resized(image, size), resized_ink(ink, size).clamp(0, 1))
    else:
        picture, drawn = (image_to_pil(resized(one, size)) for one in (image, ink_image(ink)))
        shown = Image.blend(picture, drawn, 0.7)
    write_image(shown, folder / OVERLAY)
    write_image(thumb_of(ink), folder / THUMB)


def thumb_of(ink: Tensor) -> Image.Image:
    """A drawing (1 c h w) in [0, 1] as a card shows it."""
    size = _within(size_of(ink), THUMB_PX)
    small = resized_ink(ink, size) if ink.shape[1] == 1 else (ink_image(ink) + 1) / 2
    return image_to_pil(resized(ink_image(small), size))


def ink_image(ink: Tensor) -> Tensor:
    """Ink (1 c h w) in [0, 1] as a picture (1 3 h w) in [-1, 1]."""
    return (2 * ink - 1).clamp(-1, 1).expand(-1, 3, -1, -1)


def _told(subject: Subject) -> Json:
    """What was mended, and how well the lines follow the picture's edges."""
    size = _within(size_of(subject.image), COMPARED_PX)
    ink = resized_ink(subject.ink.mean(1, keepdim=True), size)
    agreement = rough_agreement(ink, resized(subject.image, size).to(torch.float64))
    warning = None
    if agreement < DOUBTFUL:
        warning = (
            f"the lines follow hardly any edge of the picture ({agreement:.2f} of 1): look at the "
            f"overlay whether they lie where they belong"
        )
    return {
        "mended": [in_words(one) for one in subject.mended],
        "agreement": round(agreement, 3),
        "warning": warning,
    }


def _within(size: Size, side: int) -> Size:
    """A size whose longer side has so many pixels at most."""
    scale = min(1.0, side / max(size))
    return Size(max(1, round(scale * size.height)), max(1, round(scale * size.width)))
