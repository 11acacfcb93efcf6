"""Features by ``fk.ray_map`` within Ray Data, beside those of an Extractor; says so as JSON."""

import json
import sys
from pathlib import Path

import numpy as np
import ray.data

import featurekit as fk
from featurekit.scale.ray_engine import Placing, _connected

if __name__ == "__main__":
    folder, report = Path(sys.argv[1]), Path(sys.argv[2])
    recipe = fk.Recipe(["mid"], [261])
    with _connected(Placing()):
        ray.data.DataContext.get_current().enable_progress_bars = False
        pictures = ray.data.read_images(str(folder), include_paths=True)
        found = pictures.map_batches(
            fk.ray_map("random", recipe, batch=2, device="cpu"), concurrency=1, batch_size=3
        ).take_all()
    extractor = fk.Extractor(fk.load_backbone("random", device="cpu"), recipe, batch=2)
    alone = {name: maps[0].tensor[0].numpy() for name, maps in extractor(sorted(folder.iterdir()))}
    near = [float(np.abs(row["mid/261"] - alone[row["id"]]).max()) for row in found]
    said = {"columns": sorted(found[0]), "ids": sorted(row["id"] for row in found), "far": near}
    report.write_text(json.dumps(said))
