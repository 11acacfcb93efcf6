"""The tab Drag with which actions and jobs there are; stands on torch."""

from importlib.resources import files

import numpy as np

from featurekit.scenes import held_out_moves
from featurekit.web.asked import Asked
from featurekit.web.desk import Desk
from featurekit.web.pictures import encode
from featurekit.web.tab import Json, Reply, Tab
from featurekit_drag.studio.apply import Applying
from featurekit_drag.studio.exports import Exporting
from featurekit_drag.studio.masks import LARGEST_PX, Masks, runs_of
from featurekit_drag.studio.place import Place
from featurekit_drag.studio.preview import Following
from featurekit_drag.studio.seen import Seeing
from featurekit_drag.studio.told import Telling

SCENE, SCENE_PX = 7, 512  # a dog with a ball, as large as a page shows it


def whole_tab(desk: Desk) -> Tab:
    """Make the tab."""
    place = Place(desk)
    follows, tells = Following(place), Telling(place)
    exports = Exporting(place, tells)
    applies = Applying(place, lambda: desk.publish("history", {}))
    brushes = Brushing(place.masks, desk)
    return Tab(
        name="drag",
        title="Drag",
        files=files("featurekit_drag") / "studio" / "page",
        actions={
            "mask": brushes.mask,
            "brushed": brushes.brushed,
            "scene": scene,
            "follow": follows.follow,
            "exact": follows.exact,
            "told": tells.told,
            "picture": tells.picture,
            "go": tells.go,
            "choose": tells.choose,
            "accept": tells.accept,
            "discard": tells.discard,
            "export": exports.export,
            "python": exports.python,
        },
        jobs={"apply": applies.apply, "resume": applies.resume},
        seen=Seeing(place).seen,
    )


def scene(asked: Asked) -> Reply:
    """A bundled scene to begin with: its picture, its drag, and runs of its mask."""
    move = held_out_moves(SCENE + 1, deforms=False)[SCENE]
    mask = move.mask(SCENE_PX)
    content, _ = encode(move.before.image(SCENE_PX))
    points = [[*handle, *target] for handle, target in move.drags_px(SCENE_PX)]
    values = {"points": points, "prompt": move.before.caption(), "side": SCENE_PX}
    return Reply(values, {"picture": content, "runs": runs_of(np.asarray(mask) > 0)})


class Brushing:
    """Actions ``mask`` and ``brushed``, which need no model."""

    def __init__(self, masks: Masks, desk: Desk) -> None:
        """Brush nothing yet."""
        self._masks, self._desk = masks, desk

    def mask(self, asked: Asked) -> Json:
        """Keep a mask of the picture on the desk; gives its key.

        Raises:
            MaskError: it is none.
        """
        picture = self._desk.picture(None)
        size = (picture.height, picture.width)
        return {"mask": self._masks.put(asked.part("runs"), _raster(asked), size)}

    def brushed(self, asked: Asked) -> Reply:
        """Give a mask that was kept.

        Raises:
            UnknownNameError: there is none of that key.
        """
        runs = self._masks.runs(asked.text("mask", longest=40), _raster(asked))
        return Reply({}, {"runs": runs})


def _raster(asked: Asked) -> tuple[int, int]:
    sides = (asked.whole(name, low=1, high=LARGEST_PX) for name in ("height", "width"))
    return next(sides), next(sides)
