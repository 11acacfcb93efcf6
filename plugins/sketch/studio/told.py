"""What the page is told of the styles, and what it may do to them."""

from collections.abc import Sequence
from pathlib import Path

from featurekit.core.errors import ConfigError
from featurekit.images.io import image_to_pil
from featurekit.web.asked import Asked
from featurekit.web.desk import Desk
from featurekit.web.pictures import encode
from featurekit.web.tab import Json
from featurekit_sketch.studio.batches import Batches
from featurekit_sketch.studio.drawing import Drawing
from featurekit_sketch.studio.learning import Learning
from featurekit_sketch.studio.pairs import OVERLAY, THUMB, THUMB_PX, Pairs, example, ink_image
from featurekit_sketch.studio.shelf import Shelf, Shelved
from featurekit_sketch.studio.words import in_words
from featurekit_sketch.training.style_file import check_model, digest


class Telling:
    """Actions ``told``, ``rename`` and ``remove``."""

    def __init__(self, desk: Desk, shelf: Shelf) -> None:
        """Tell nothing yet."""
        self._desk, self._shelf = desk, shelf
        self._thumbs: dict[str, str] = {}

    def styles(self) -> Sequence[Json]:
        """Every style; waits for the model.

        Raises:
            FeatureKitError: the model cannot be loaded.
        """
        return [self._style(one) for one in self._shelf.all()]

    def rename(self, asked: Asked) -> Json:
        """Call a style of the person's own otherwise.

        Raises:
            UnknownNameError, ConfigError: there is no such style, or it is a bundled one.
        """
        self._shelf.rename(asked.text("style"), asked.text("title"))
        return {"styles": self.styles()}

    def remove(self, asked: Asked) -> Json:
        """Remove a style of the person's own.

        Raises:
            UnknownNameError, ConfigError: there is no such style, it is a bundled one, or it is
                being learnt.
        """
        self._shelf.remove(asked.text("style"))
        return {"styles": self.styles()}

    def _style(self, style: Shelved) -> Json:
        why = self._hindrance(style)
        own = style.folder
        return {
            "id": style.id,
            "title": style.title,
            "state": self._shelf.state_of(style),
            "bundled": own is None,
            "thumb": self._thumb(style),
            "overlay": None if own is None else self._kept(own / OVERLAY),
            "fits": why is None,
            "why": why,
            "student": style.has_student,
            "ink": style.facts.get("ink", "lines"),
            "done": style.done,
            "of": style.of,
            "mended": list(style.facts.get("mended", ())),
        }

    def _hindrance(self, style: Shelved) -> str | None:
        """Why a style cannot be used on the studio's model; None if it can."""
        if style.is_learnt:
            backbone = self._desk.backbone()
            try:
                check_model(style.file, backbone.name, digest(backbone.weights))
            except ConfigError as error:
                return in_words(str(error), {style.file: style.title})
            return None
        model = style.facts.get("model", "")
        if style.folder is None:
            return f"the bundled style {style.title!r} is missing; install featurekit again"
        if model != self._desk.model_name:
            return f"it is being learnt on {model!r}; open the studio with backbone={model}"
        return None

    def _thumb(self, style: Shelved) -> str:
        if style.folder is not None:
            return self._kept(style.folder / THUMB)
        if style.id not in self._thumbs:
            drawing = image_to_pil(ink_image(example(style.id, THUMB_PX).ink))
            self._thumbs[style.id] = self._desk.keep(*encode(drawing), "drawing.png")
        return self._thumbs[style.id]

    def _kept(self, path: Path) -> str:
        if str(path) not in self._thumbs:
            self._thumbs[str(path)] = self._desk.keep(path.read_bytes(), "image/png", path.name)
        return self._thumbs[str(path)]


class Overview:
    """The action ``told``: all that the page shows."""

    def __init__(
        self, telling: Telling, learning: Learning, pairs: Pairs, drawing: Drawing, batches: Batches
    ) -> None:
        """Tell nothing yet."""
        self._telling, self._learning = telling, learning
        self._pairs, self._drawing, self._batches = pairs, drawing, batches

    def told(self, asked: Asked) -> Json:
        """Styles, the latest sketch, the dropped drawing, the folder to draw, usual amounts.

        Raises:
            FeatureKitError: the model cannot be loaded.
        """
        return {
            "styles": self._telling.styles(),
            "drawn": self._drawing.told,
            "pair": self._pairs.told,
            "batch": self._batches.told,
            "amounts": self._learning.amounts,
        }
