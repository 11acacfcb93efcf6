"""A style learnt with other steps than the default cannot be drawn in with the documented command.

Expected: `task=extract` draws with the steps that the style was learnt with, as the plugin's README
says; where a third number is given, the sentence "a style must be drawn in as it was learnt".
Seen: exit code 2, "the settings must fit together, but globalHydra is already initialized, call
GlobalHydra.instance().clear() ..." in both cases. Repeating plugin.steps=16 worked, and
fk.run(fk.compose(...)).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from featurekit.scenes import scene

SMALL = ["plugin.iterations=1", "plugin.samples=1", "plugin.tests=1", "plugin.views=1"]

with tempfile.TemporaryDirectory() as folder:
    place = Path(folder)
    face = scene(0, "face")
    face.image(64).save(place / "me.png")
    face.drawing(64, "brush").convert("L").save(place / "mine.png")

    def run(*words):
        call = [sys.executable, "-m", "featurekit", "run", "plugin=sketch", *words]
        done = subprocess.run(call, cwd=place, capture_output=True, text=True)
        said = (done.stdout + done.stderr).strip()
        print("exit code", done.returncode, said.splitlines()[-1:])
        return done.returncode, said

    learnt, _ = run("image=me.png", "plugin.drawing=mine.png", "plugin.steps=16", *SMALL, "out=a")
    use = ["task=extract", "image=me.png", "plugin.style=a/style.safetensors"]
    plain, _ = run(*use, "out=drawn")
    other, said = run(*use, "out=drawn_wrong", "plugin.steps=30")
    again, _ = run(*use, "out=drawn_again", "plugin.steps=16")
    refused = other == 2 and "drawn in as it was learnt" in " ".join(said.split())
    sys.exit(1 if learnt or plain or again or not refused else 0)
