"""What a person takes along: the picture, the session, the animation, the record, the Python."""

import json
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from featurekit.core.errors import ConfigError
from featurekit.images.colour_profiles import srgb_chunk
from featurekit.images.io import image_to_pil
from featurekit.web.asked import Asked
from featurekit.web.tab import Json
from featurekit_drag.studio.drags import Drags
from featurekit_drag.studio.place import Opened, Place
from featurekit_drag.studio.told import Telling, edit_of

KINDS = ("picture", "session", "animation", "record")


class Exporting:
    """Actions ``export`` and ``python``."""

    def __init__(self, place: Place, telling: Telling) -> None:
        """Export nothing yet."""
        self._place, self._telling = place, telling

    def export(self, asked: Asked) -> Json:
        """Make a file of the session as it is now; gives its address and its name.

        Raises:
            UnknownNameError: there is no such kind of file.
            ConfigError: there is no edit whose animation or record could be given.
        """
        kind = asked.choice("kind", KINDS)
        opened = self._place.open()
        stem = Path(opened.picture.name).stem[:60] or "picture"
        content, media_type, name = {
            "picture": self._picture,
            "session": self._session,
            "animation": self._animation,
            "record": self._record,
        }[kind](opened)
        name = f"{stem}-{name}"
        return {"address": self._place.desk.keep(content, media_type, name), "name": name}

    def python(self, asked: Asked) -> Json:
        """The lines that give what the page shows: an edit of the history, or what is asked for.

        Raises:
            FeatureKitError: what is asked for cannot be read.
        """
        opened = self._place.open()
        steps, now = opened.session.history()
        known = {one.number: one for one in steps}
        moment = known[now].moment
        file = self._place.file_of(opened, moment.image)
        if asked.has("points") or asked.has("regions"):
            return {"text": self._lines(file, Drags.read(asked), 0, 0)}
        if not moment.candidates:
            return {"text": _opening(self._place.desk.model_name, file)}
        made = edit_of(known, now)
        record = self._telling.record(opened, made)
        if not record:
            raise ConfigError("the record of this edit is gone; apply it again")
        drags = Drags.of_run(record["config"], self._place.masks)
        return {"text": self._lines(file, drags, moment.chosen, known[made].moment.chosen)}

    def _lines(self, file: Path, drags: Drags, chosen: int, first: int) -> str:
        settings, model = drags.settings(self._place.masks), self._place.desk.model_name
        opening = [json.dumps(model).join(("fk.load_backbone(", ")")), _text(file)]
        opening += [_text(drags.prompt)] * bool(drags.prompt)
        opening += [f"mask={_text(settings['mask'])}"] * (settings["mask"] is not None)
        opening += [f"seed={drags.seed}"] * bool(drags.seed)
        what = [str(settings["points"])] * bool(drags.points)
        rows = {name: settings[name] for name in ("pins", "regions") if settings[name]}
        what += [f"{name}={json.dumps(found)}" for name, found in rows.items()]
        what += [f"mode={_text(drags.mode)}"] * (drags.mode != "auto")
        chooses = [f"    session.choose({chosen})"] * (chosen != first)
        return "\n".join(
            [
                "import featurekit as fk",
                "from featurekit_drag import Session",
                "",
                f"with Session.open({', '.join(opening)}) as session:",
                f"    session.start({', '.join(what)})",
                "    session.resume()",
                "    session.wait()",
                *chooses,
                "    edit = session.result()  # (1 3 h w) in [-1, 1]",
            ]
        )

    def _picture(self, opened: Opened) -> tuple[bytes, str, str]:
        file = BytesIO()
        image_to_pil(opened.session.result()).save(file, "PNG", pnginfo=srgb_chunk())
        return file.getvalue(), "image/png", "dragged.png"

    def _session(self, opened: Opened) -> tuple[bytes, str, str]:
        with TemporaryDirectory() as folder:
            path = opened.session.save(Path(folder) / "session.safetensors")
            return path.read_bytes(), "application/octet-stream", "session.safetensors"

    def _animation(self, opened: Opened) -> tuple[bytes, str, str]:
        return self._of_run(opened, "animation.gif"), "image/gif", "dragged.gif"

    def _record(self, opened: Opened) -> tuple[bytes, str, str]:
        return self._of_run(opened, "run.json"), "application/json", "run.json"

    def _of_run(self, opened: Opened, name: str) -> bytes:
        steps, now = opened.session.history()
        known = {one.number: one for one in steps}
        number: int | None = now
        while number is not None and not known[number].moment.candidates:
            number = known[number].before
        if number is None:
            raise ConfigError(f"there must be an edit to give its {name}, got none; apply one")
        path = self._place.folder_of(opened, edit_of(known, number)) / name
        if not path.is_file():
            raise ConfigError(f"this edit has left no {name}; apply it again")
        return path.read_bytes()


def _opening(model: str, file: Path) -> str:
    return "\n".join(
        [
            "import featurekit as fk",
            "from featurekit_drag import Session",
            "",
            f"session = Session.open(fk.load_backbone({_text(model)}), {_text(file)})",
        ]
    )


def _text(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)
