"""The tab Look: asks of the page, answered by the features of the studio's model."""

from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.types import Tap
from featurekit.diffusion.backbone import Backbone
from featurekit.features.features import Features
from featurekit.web.asked import Asked
from featurekit.web.desk import Desk
from featurekit.web.look.lines import of_colours, of_match, of_words
from featurekit.web.look.reading import Readings, Where
from featurekit.web.pictures import Picture, encode
from featurekit.web.tab import Json, Reply, Tab

SIDES = (32, 2048)  # px of the longer side that is read, at least and at most
USUAL_TIMESTEP = 101
BLOCKS = ("block", "down", "mid", "up", "double", "single")  # roles that lead the list of taps
USUAL_TAPS = ("up2", "up1", "mid")
WORDS_ROLE = "cross_map"


def look_tab(desk: Desk) -> Tab:
    """Make the tab."""
    look = Look(desk)
    return Tab(
        name="look",
        title="Look",
        files=files("featurekit.web.look") / "page",
        actions={
            "setup": look.setup,
            "match": look.match,
            "colours": look.colours,
            "words": look.words,
        },
    )


class Look:
    """The actions of the tab; points are in pixels of the whole pictures."""

    def __init__(self, desk: Desk) -> None:
        """Nothing is read yet, and the model not asked for."""
        self._desk = desk
        self.readings = Readings(desk.backbone)

    def setup(self, asked: Asked) -> Json:
        """What can be chosen: taps, maps of words, timesteps, sizes."""
        backbone: Backbone = self._desk.backbone()
        known = list(backbone.activations.values())
        maps = [tap for tap in known if _is_read(tap)]
        shown = [tap for tap in maps if tap.role in BLOCKS] or maps
        names = [tap.name for tap in shown]
        attentions = [tap for tap in known if tap.role == WORDS_ROLE]
        usual = next((name for name in USUAL_TAPS if name in names), names[len(names) // 2])
        last = backbone.noise.train_timesteps - 1
        side = max(backbone.sample_size) * backbone.stride
        return {
            "taps": [_told(tap) for tap in maps],
            "blocks": names,
            "tap": usual,
            "words": [_told(tap) for tap in attentions],
            "word": _usual_attention(attentions),
            "timesteps": last + 1,
            "timestep": min(USUAL_TIMESTEP, last),
            "side": side,
            "sides": [factor * side for factor in (1, 2, 3, 4, 6, 8) if factor * side <= SIDES[1]],
        }

    def match(self, asked: Asked) -> Reply:
        """Where else the feature at a point is: cosines of both pictures, and the best match."""
        where = self._where(asked)
        here, there = self._desk.picture(_id(asked, "id")), self._other(asked)
        scale = _scale(here, where)
        x, y = (
            min(max(asked.number(axis), 0.0), float(most)) * scale
            for axis, most in (("x", here.width), ("y", here.height))
        )
        mine = self.readings.features(here, where)
        x, y = (min(one, float(most)) for one, most in zip((x, y), mine.size_px[::-1], strict=True))
        heat = mine.similarity(x, y)
        values: dict[str, Any] = {"here": _grid(heat, scale)}
        parts = {"here": _bytes(heat.tensor)}
        if there is not None:
            other = self.readings.features(there, where)
            theirs = mine.similarity(x, y, other)
            found = mine.correspond(x, y, other)
            factor = _scale(there, where)
            values["there"] = _grid(theirs, factor)
            parts["there"] = _bytes(theirs.tensor)
            u, v = (float(one) / factor for one in found.xy)
            values["match"] = {"x": u, "y": v, "score": found.score}
        values["python"] = of_match(self._desk.model_name, where, here, (x, y), there)
        return Reply(values, parts)

    def colours(self, asked: Asked) -> Reply:
        """The three strongest directions of a tap as colours."""
        where, picture = self._where(asked), self._desk.picture(_id(asked, "id"))
        found = self.readings.features(picture, where)
        shown = found.to_pil()
        values = {
            "grid": _grid(found, _scale(picture, where)),
            "python": of_colours(self._desk.model_name, where, picture),
        }
        content, _ = encode(shown)
        return Reply(values, {"picture": content})

    def words(self, asked: Asked) -> Reply:
        """How much each cell attends to words of a prompt."""
        where, picture = self._where(asked), self._desk.picture(_id(asked, "id"))
        prompt, words = asked.text("prompt").strip(), asked.text("words").strip()
        if not prompt or not words:
            raise ConfigError("words must be some of a prompt, got none; say what is to be seen")
        backbone: Backbone = self._desk.backbone()
        tap = backbone.activations.get(where.tap)
        if tap is None or tap.role != WORDS_ROLE:
            raise ConfigError(f"tap must be an attention to words, got {where.tap!r}; choose one")
        found = self.readings.attention(picture, where, prompt, words)
        heat = Features(found[None, None], where.tap, where.timestep, tap.stride,
                        picture.at_most(where.side).size[::-1])  # fmt: skip
        values = {
            "here": _grid(heat, _scale(picture, where)),
            "python": of_words(self._desk.model_name, where, picture, prompt, words),
        }
        return Reply(values, {"here": _bytes(found)})

    def _where(self, asked: Asked) -> Where:
        return Where(
            asked.text("tap", longest=200),
            asked.whole("timestep", USUAL_TIMESTEP, low=0, high=10**6),
            asked.whole("side", 256, low=SIDES[0], high=SIDES[1]),
        )

    def _other(self, asked: Asked) -> Picture | None:
        return self._desk.picture(asked.text("other", longest=64)) if asked.has("other") else None


def _id(asked: Asked, name: str) -> str | None:
    return asked.text(name, longest=64) if asked.has(name) else None


def _scale(picture: Picture, where: Where) -> float:
    """Pixels that are read, per pixel of the picture."""
    return max(picture.at_most(where.side).size) / max(picture.width, picture.height)


def _grid(found: Features, scale: float) -> dict[str, Any]:
    """Rows and columns of cells, and the pixels of the picture that one covers."""
    rows, columns = found.grid
    return {"rows": rows, "columns": columns, "cell_px": found.stride / scale}


def _bytes(numbers: Tensor) -> bytes:
    return numbers.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()


def _told(tap: Tap) -> dict[str, Any]:
    return {"name": tap.name, "role": tap.role, "channels": tap.channels, "stride": tap.stride}


def _usual_attention(attentions: list[Tap]) -> str | None:
    """The last one but of the finest cells, where words are seen best as a rule."""
    strides = sorted({tap.stride for tap in attentions})
    fine = [tap.name for tap in attentions if tap.stride in strides[:2][-1:]]
    return fine[-1] if fine else None


def _is_read(tap: Tap) -> bool:
    """Whether it can be laid out as a map of the picture and shown in three colours."""
    laid = tap.form in ("map", "tokens") and tap.network == "denoiser"
    return laid and tap.stride > 0 and tap.channels >= 3
