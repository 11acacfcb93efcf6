"""A worker's share of ``workers.py``, which both ways run.

No command of its own: that script beside it starts it with pictures, a store and a share. It
imports nothing that the work does not need, since starting is timed, too.
"""

import json
import sys
import time
from pathlib import Path
from typing import TypeAlias

from featurekit import backbones
from featurekit.core.sharding import Share, parse_share
from featurekit.core.types import Progress, silent
from featurekit.features.recipes import Recipe
from featurekit.images.folders import pictures_in
from featurekit.store.export import store_pictures
from featurekit.store.picture_reader import PictureReader

Row: TypeAlias = tuple[int, float, float]  # samples, seconds, processor seconds of one worker

REDUCE = ("pool:2", "fp16")


def worked(album: Path, store: Path, share: Share, progress: Progress) -> Row:
    """Bring a share into a store; what both ways run."""
    backbone = backbones.load("random", device="cpu")
    reader = PictureReader(backbone, Recipe(("up1",), (261,)), batch=4)
    files = pictures_in(album).pictures
    start, spent = time.perf_counter(), time.process_time()
    written, _ = store_pictures(
        store, files, reader=reader, reduce=REDUCE, share=share, progress=progress
    )
    return written.samples, time.perf_counter() - start, time.process_time() - spent


if __name__ == "__main__":
    row = worked(Path(sys.argv[1]), Path(sys.argv[2]), parse_share(sys.argv[3]), silent)
    print(json.dumps(row))
