"""The tab Sketch with which actions and jobs there are; stands on torch."""

from importlib.resources import files

from featurekit.web.desk import Desk
from featurekit.web.tab import Tab
from featurekit_sketch.studio.batches import Batches
from featurekit_sketch.studio.drawing import Drawing
from featurekit_sketch.studio.exports import Exporting
from featurekit_sketch.studio.learning import Learning
from featurekit_sketch.studio.pairs import Pairs
from featurekit_sketch.studio.shelf import Shelf
from featurekit_sketch.studio.state import State
from featurekit_sketch.studio.told import Overview, Telling


def whole_tab(desk: Desk) -> Tab:
    """Make the tab."""
    state, shelf = State(desk.folder / "state.json"), Shelf(desk)
    pairs = Pairs(desk, state)
    learns, draws = Learning(desk, shelf, pairs), Drawing(desk, shelf, state)
    batches, tells = Batches(desk, shelf, state), Telling(desk, shelf)
    exports = Exporting(desk, shelf, draws, batches)
    return Tab(
        name="sketch",
        title="Sketch",
        files=files("featurekit_sketch") / "studio" / "page",
        actions={
            "told": Overview(tells, learns, pairs, draws, batches).told,
            "check": pairs.check,
            "unpair": pairs.unpair,
            "scene": pairs.scene,
            "rename": tells.rename,
            "remove": tells.remove,
            "lens": draws.lens,
            "export": exports.export,
            "python": exports.python,
            "batch": batches.add,
            "unbatch": batches.empty,
        },
        jobs={
            "learn": learns.learn,
            "draw": draws.draw,
            "batch": batches.draw,
            "distil": learns.distil,
        },
    )
