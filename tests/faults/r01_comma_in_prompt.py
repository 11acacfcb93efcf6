"""A comma in a value of a subcommand becomes the text of a Python object.

Expected: the prompt is the words that were given, or the command refuses them and says to quote
them. Seen with extract, invert, analyse, pck and store: exit code 0; the network is conditioned on
"ChoiceSweep(tags=set(), list=['a house', 'red roof'], ...)", the record notes that as the prompt,
and out=a,b makes a folder of such a name.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from featurekit.scenes import scene

with tempfile.TemporaryDirectory() as folder:
    place = Path(folder)
    scene(7, "building").image(64).save(place / "me.png")
    words = ["image=me.png", "prompt=a house, red roof", "steps=2", "method=ddim", "out=found"]
    done = subprocess.run([sys.executable, "-m", "featurekit", "invert", *words], cwd=place)
    record = place / "found" / "run.json"
    told = json.loads(record.read_text())["config"]["prompt"] if record.is_file() else None
    print("exit code", done.returncode, "- prompt used:", told)
    subprocess.run(
        [sys.executable, "-m", "featurekit", "extract", "image=me.png", "out=a,b"], cwd=place
    )
    made = sorted(path.name for path in place.iterdir() if path.is_dir())
    print("folders made:", made)
    sys.exit(1 if any("Sweep" in text for text in (told or "", *made)) else 0)
