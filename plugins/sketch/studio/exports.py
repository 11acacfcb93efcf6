"""What a person takes along: the sketch, the style, its student, the record, the Python."""

import json
from pathlib import Path

from featurekit.core.errors import ConfigError
from featurekit.images.io import load_image
from featurekit.pipeline.places import RECORD as RUN_RECORD
from featurekit.web.asked import Asked
from featurekit.web.desk import Desk
from featurekit.web.pictures import Picture
from featurekit.web.tab import Json
from featurekit_sketch.studio.batches import Batches
from featurekit_sketch.studio.choice import Choice
from featurekit_sketch.studio.drawing import Drawing, Drawn, stem_of
from featurekit_sketch.studio.shelf import Shelf, Shelved
from featurekit_sketch.vector.svg import traced

OF_SKETCH, OF_STYLE = ("png", "svg", "record"), ("style", "student")
KINDS = (*OF_SKETCH, *OF_STYLE, "zip")


class Exporting:
    """Actions ``export`` and ``python``."""

    def __init__(self, desk: Desk, shelf: Shelf, drawing: Drawing, batches: Batches) -> None:
        """Export nothing yet."""
        self._desk, self._shelf, self._drawing, self._batches = desk, shelf, drawing, batches

    def export(self, asked: Asked) -> Json:
        """Make a file; gives its address and its name.

        Raises:
            UnknownNameError: there is no such kind of file.
            ConfigError: there is no sketch, style, student or folder that it could be made of.
        """
        what = asked.choice("what", KINDS)
        if what == "zip":
            return {"address": self._batches.zip, "name": "sketches.zip"}
        content, media_type, name = (
            self._of_style(what, asked) if what in OF_STYLE else self._of_sketch(what)
        )
        return {"address": self._desk.keep(content, media_type, name), "name": name}

    def python(self, asked: Asked) -> Json:
        """The lines that give the sketch of the picture on the desk, to the bit.

        Raises:
            FeatureKitError: no picture is there, or what is asked for cannot be drawn.
        """
        picture, choice = self._desk.picture(None), Choice.read(asked, self._shelf)
        out = f"{stem_of(picture.name)}-sketch"
        settings = choice.settings(self._shelf)
        return {
            "text": "\n".join(
                [
                    "import featurekit as fk",
                    "",
                    f'cfg = fk.compose(["plugin=sketch", "task=extract", '
                    f"{_text(f'backbone={self._desk.model_name}')}])",
                    f"cfg.image, cfg.out = {_text(picture.path)}, {_text(out)}",
                    *(f"cfg.plugin.{name} = {_text(one)}" for name, one in settings.items()),
                    "record = fk.run(cfg)",
                    f"sketch = fk.load_image({_text(f'{out}/{picture.path.stem}.png')})"
                    "  # (1 3 h w) in [-1, 1]",
                ]
            )
        }

    def _of_sketch(self, what: str) -> tuple[bytes, str, str]:
        found = self._drawing.latest()
        if found is None:
            raise ConfigError("there must be a sketch to save, got none; draw the picture first")
        drawn, picture = found
        make = {"png": _png, "svg": _svg, "record": _record}[what]
        return make(drawn, picture)

    def _of_style(self, what: str, asked: Asked) -> tuple[bytes, str, str]:
        style = self._shelf.find(self._chosen(asked))
        path = style.file if what == "style" else style.student
        if not path.is_file():
            raise ConfigError(_missing(what, style))
        name = f"{_plain(style.title)}{'-student' * (what == 'student')}.safetensors"
        return path.read_bytes(), "application/octet-stream", name

    def _chosen(self, asked: Asked) -> str:
        if asked.has("style"):
            return asked.text("style")
        found = self._drawing.latest()
        if found is None or len(found[0].choice.styles) != 1:
            raise ConfigError("one style must be chosen to be saved; pick it and draw with it")
        return found[0].choice.styles[0].id


def _png(drawn: Drawn, picture: Picture) -> tuple[bytes, str, str]:
    return drawn.file.read_bytes(), "image/png", f"{stem_of(picture.name)}-sketch.png"


def _svg(drawn: Drawn, picture: Picture) -> tuple[bytes, str, str]:
    sketch = load_image(drawn.file)
    if not bool((sketch[:, :1] == sketch).all()):
        raise ConfigError(
            "an SVG is traced of drawings of one ink, but the style draws in colours; save a PNG"
        )
    text = traced((sketch[:, :1] + 1) / 2)
    return text.encode(), "image/svg+xml", f"{stem_of(picture.name)}-sketch.svg"


def _record(drawn: Drawn, picture: Picture) -> tuple[bytes, str, str]:
    content = (drawn.folder / RUN_RECORD).read_bytes()
    return content, "application/json", f"{stem_of(picture.name)}-run.json"


def _missing(what: str, style: Shelved) -> str:
    if what == "student":
        return f"{style.title!r} has no student yet; make it fast first"
    return f"{style.title!r} is not learnt yet; go on with it first"


def _plain(title: str) -> str:
    """A title as the name of a file."""
    return "".join(one if one.isalnum() else "-" for one in title)[:60].strip("-") or "style"


def _text(value: object) -> str:
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
