"""A driver of a cluster whose workers work, err and are killed; says as JSON what came of it.

``python ray_children.py all FOLDER`` goes through everything, ``slow FOLDER`` writes one store
until it is killed, ``all_of FOLDER`` finishes it. A process of its own, because Ray does not leave
one as it was.
"""

import json
import sys
import warnings
from functools import partial
from pathlib import Path

import small_features

from featurekit.core.errors import FeatureKitError, FeatureKitWarning
from featurekit.core.sharding import Share
from featurekit.core.types import silent
from featurekit.scale import ray_crew
from featurekit.scale.ray_engine import Placing, placed
from featurekit.store.upkeep import stat_store, verify_store


def refused(work, workers=1):
    """The class and the sentence of the error that a call ends with."""
    try:
        placed(work, Placing(workers, "cpu"))
    except FeatureKitError as error:
        return [type(error).__name__, str(error)]
    return None


def through_everything(root):
    told = []
    small_features.stored(root / "one", Share(), silent)
    counts = placed(partial(small_features.stored, root / "two"), Placing(2, "cpu"),
                    progress=lambda done, total: told.append((done, total)))  # fmt: skip
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        dying = placed(partial(small_features.stored_dying, root / "dying"), Placing(2, "cpu"))
    full = refused(partial(small_features.stored_on_full_disk, root / "full"))
    kept = stat_store(root / "full").samples
    placed(partial(small_features.stored, root / "full"), Placing(1, "cpu"))
    report = {
        "full": full,
        "kept": kept,
        "counts": counts,
        "told": told,
        "dying": dying,
        "warned": [str(one.message) for one in warned if one.category is FeatureKitWarning],
        "damages": [str(one) for one in verify_store(root / "dying")],
        "loose": stat_store(root / "dying").loose,
        "refusing": refused(small_features.refusing),
        "many": refused(small_features.refusing, 64),
    }
    ray_crew.DEATHS = 2
    report["dead"] = refused(small_features.always_dying)
    ray_crew.made_of = lambda: {"featurekit": "9.9.9", "torch": "?", "diffusers": "?"}
    report["versions"] = refused(small_features.refusing)
    (root / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    if sys.argv[1] == "all":
        through_everything(Path(sys.argv[2]))
    elif sys.argv[1] == "all_of":
        placed(partial(small_features.stored, Path(sys.argv[2])), Placing(1, "cpu"))
    else:
        placed(partial(small_features.stored_slowly, Path(sys.argv[2])), Placing(2, "cpu"))
