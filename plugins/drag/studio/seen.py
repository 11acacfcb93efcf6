"""What a notebook sees of the tab: what its page asks for, as a run takes it, and the edit."""

import math
from typing import Any

import numpy as np

from featurekit.core.errors import ConfigError
from featurekit.web.asked import Asked
from featurekit.web.pictures import Picture
from featurekit.web.tab import Json
from featurekit_drag.engine.settings import MODES
from featurekit_drag.studio.drags import MOST, MOST_REGIONS, Drags, rounded
from featurekit_drag.studio.masks import LARGEST_PX, Masks
from featurekit_drag.studio.place import Place
from featurekit_drag.studio.told import edit_of

MOST_RUNS = 1 << 18


class Seeing:
    """What ``Tab.seen`` gives."""

    def __init__(self, place: Place) -> None:
        """See nothing yet."""
        self._place = place

    def seen(self, saved: Json) -> Json:
        """What the page asks for of the picture on the desk.

        Args:
            saved: what the page saved; its own form.

        Returns:
            ``points``, ``pins``, ``regions``, ``mask`` and ``mode`` as settings of a run below
            ``plugin.``, ``prompt`` and ``seed``; ``step``, the number of the step of the history
            that is shown, and ``run``, the folder of the edit that it shows; both None before the
            model is loaded, the last where no edit is shown.

        Raises:
            ConfigError, MaskError: the page saved what it would not.
        """
        try:
            picture = self._place.desk.picture(None)
        except ConfigError:
            return {}
        pictures = saved.get("pictures")
        doc = pictures.get(picture.id) if isinstance(pictures, dict) else None
        masks = self._place.masks
        drags = _asked_for(Asked(doc if isinstance(doc, dict) else {}), masks, picture)
        settings = {**drags.settings(masks), "prompt": drags.prompt, "seed": drags.seed}
        return {**settings, **self._edit(picture)}

    def _edit(self, picture: Picture) -> dict[str, Any]:
        opened = self._place.opened(picture)
        if opened is None:
            return {"step": None, "run": None}
        steps, now = opened.session.history()
        known = {one.number: one for one in steps}
        if not known[now].moment.candidates:
            return {"step": now, "run": None}
        folder = self._place.folder_of(opened, edit_of(known, now))
        return {"step": now, "run": folder if folder.is_dir() else None}


def _asked_for(doc: Asked, masks: Masks, picture: Picture) -> Drags:
    """What ``apply`` would be asked; regions move in place of drags, as on the page."""
    drags = [tuple(one.number(axis) for axis in "xyuv") for one in doc.records("drags", most=MOST)]
    shifts = [
        (one, one.number("dx"), one.number("dy"))
        for one in doc.records("regions", most=MOST_REGIONS)
    ]
    regions = tuple(
        (_key(one, masks, picture), *rounded((dx, dy))) for one, dx, dy in shifts if dx or dy
    )
    moved = [] if regions else [row for row in drags if math.dist(row[:2], row[2:])]
    pins = [tuple(one.number(axis) for axis in "xy") for one in doc.records("pins", most=MOST)]
    return Drags(
        tuple(map(rounded, moved)),
        tuple(map(rounded, pins)),
        regions,  # type: ignore[arg-type]
        _key(doc, masks, picture) if doc.has("mask") else None,
        doc.choice("mode", MODES, "auto"),
        doc.text("prompt", ""),
        doc.whole("seed", 0, low=0),
    )


def _key(doc: Asked, masks: Masks, picture: Picture) -> str:
    """The key of the mask that a part of the document holds as runs."""
    held = doc.values["mask"] if isinstance(doc.values.get("mask"), dict) else {}
    mask = Asked(held)
    raster = [mask.whole(name, low=1, high=LARGEST_PX) for name in ("height", "width")]
    runs = held.get("runs")
    if not isinstance(runs, list) or len(runs) > MOST_RUNS:
        raise ConfigError(f"runs of a mask must be a list of at most {MOST_RUNS}, got another")
    size = raster[0] * raster[1]
    if any(type(run) is not int or not 0 <= run <= size for run in runs):
        raise ConfigError(f"runs of a mask must be whole numbers up to {size}, got others")
    content = np.asarray(runs, "<u4").tobytes()
    return masks.put(content, (raster[0], raster[1]), (picture.height, picture.width))
