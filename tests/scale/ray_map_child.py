"""Features by ``fk.ray_map`` within Ray Data, beside those of an Extractor; says so as JSON.

``python ray_map_child.py FOLDER REPORT`` runs what docs/scale.md prints, with the model and the
folders of the tests.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import ray.data

import featurekit as fk
from featurekit.scale.ray_engine import _connected

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


def printed(folder, out):
    """The page's pipeline on other pictures, to another place."""
    (text,) = re.findall(
        r"```text\n(import featurekit as fk\nimport ray\n.*?)```", PAGE.read_text(), re.S
    )
    for theirs, ours in {
        '"photos/"': repr(str(folder)),
        '"features/"': repr(str(out)),
        'ray_map("embedded", fk.Recipe(["up1"], [261]))':
            'ray_map("random", fk.Recipe(["mid"], [261]), batch=2, device="cpu")',
    }.items():  # fmt: skip
        assert theirs in text
        text = text.replace(theirs, ours)
    return text


if __name__ == "__main__":
    folder, report = Path(sys.argv[1]), Path(sys.argv[2])
    out = report.parent / "features"
    with _connected():
        ray.data.DataContext.get_current().enable_progress_bars = False
        exec(printed(folder, out))
    found = pyarrow.parquet.read_table(out).to_pylist()
    recipe = fk.Recipe(["mid"], [261])
    extractor = fk.Extractor(fk.load_backbone("random", device="cpu"), recipe, batch=2)
    alone = {name: maps[0].tensor[0].numpy() for name, maps in extractor(sorted(folder.iterdir()))}
    near = [float(np.abs(np.array(row["mid/261"]) - alone[row["id"]]).max()) for row in found]
    said = {"columns": sorted(found[0]), "ids": sorted(row["id"] for row in found), "far": near}
    report.write_text(json.dumps(said))
