"""A folder saved with DPM-Solver, UniPC, Euler, Heun or DEIS cannot be dragged or sketched with.

Expected: what a sampler would do does not matter to a DDIM run, so such a folder works, as it does
where the spacing is left out; or the advice can be followed, as drag and sketch have a setting for
it. Seen: diffusers writes "timestep_spacing": "linspace" into the file; drag and sketch refuse it
with "use spacing='leading'", which neither of them has ("no setting named 'plugin.spacing'").
`invert ... spacing=leading` works, and so does editing the file.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from diffusers import DPMSolverMultistepScheduler, PNDMScheduler

import featurekit
from featurekit.scenes import scene

shipped = Path(featurekit.__file__).parent / "weights" / "embedded"
first = PNDMScheduler(
    beta_start=0.00085,
    beta_end=0.012,
    beta_schedule="scaled_linear",
    skip_prk_steps=True,
    steps_offset=1,
)
with tempfile.TemporaryDirectory() as folder:
    model = Path(shutil.copytree(shipped, Path(folder) / "model"))
    shutil.rmtree(model / "scheduler")
    DPMSolverMultistepScheduler.from_config(first.config).save_pretrained(model / "scheduler")
    print(json.loads((model / "scheduler/scheduler_config.json").read_text())["timestep_spacing"])
    scene(7, "building").image(64).save(Path(folder) / "me.png")
    words = [
        "run",
        "plugin=drag",
        "experiment=drag_dragdiffusion",
        "backbone=./model",
        "image=me.png",
        "plugin.points=[[30,30,40,30]]",
        "plugin.steps=10",
    ]
    quick = ["plugin.lora_steps=0", "plugin.updates=1", "plugin.animation_frames=0", "out=found"]
    codes = []
    for more in ([], ["plugin.spacing=leading"]):
        call = [sys.executable, "-m", "featurekit", *words, *quick, *more]
        done = subprocess.run(call, cwd=folder, capture_output=True, text=True)
        codes.append(done.returncode)
        print("exit code", done.returncode, done.stderr.strip().splitlines()[-1:])
    sys.exit(1 if all(codes) else 0)
