"""The pictures that the pages show, and what draws each; ``evidence.py --pictures`` runs these.

No command. A picture that nothing here draws says by what it was made.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from evidence_tables import ROOT
from PIL import Image

PICTURES = ROOT / "docs" / "pictures"
PAGES = ("README.md", "docs/*.md", "plugins/*/README.md")
SHOWN = re.compile(r"!\[[^\]]*\]\((?:[\w./]*/)?pictures/([\w./]+)\)")
ANALYSES = ("pck", "own_labels", "labels", "timesteps", "positions", "norms")

DRAWN: Mapping[str, str] = {  # commands, of which one may draw several; {out}: of the run before
    "drag_first.png": "benchmarks/drag_pictures.py",
    "drag_plan.png": "benchmarks/drag_pictures.py",
    "sketch_first.jpg": "benchmarks/sketch_pictures.py {sketch-scenes}",
    "sketch_scenes.jpg": "benchmarks/sketch_pictures.py {sketch-scenes}",
    "sketch_scenes_hatching.jpg": "benchmarks/sketch_pictures.py {sketch-scenes}",
    "sketch_scenes_inline.jpg": "benchmarks/sketch_pictures.py {sketch-scenes}",
    "studio.gif": "benchmarks/studio_film.py docs/pictures/studio.gif",
    "studio_sketch.jpg": "benchmarks/studio_sketch.py docs/pictures/studio_sketch.jpg",
    **{f"analyse_{name}.png": f"benchmarks/analyses.py {name}" for name in ANALYSES},
}
REDUCED: Mapping[str, tuple[str, str]] = {  # a run's own picture as a JPEG: the run, the picture
    "drag_scenes.jpg": ("drag-scenes", "sheet_drag_balanced.png"),
}
BY_HAND: Mapping[str, str] = {
    "sketch_photograph.jpg": "task=extract of a photograph, by three styles of a finished run",
    "studio_look.jpg": "a screen of the studio",
    "drag_photographs.jpg": "benchmarks/drag_photographs.py with the photographs of scikit-image",
    **{f"embedded/{name}.png": "featurekit train-embedded --report, docs=docs" for name in (
        "correspondence", "lines", "reconstruction", "samples_guidance_1", "samples_guidance_3",
        "samples_guidance_6", "training_clip", "training_decoder", "training_unet", "training_vae",
    )},
}  # fmt: skip
JPEG_WIDTH, JPEG_QUALITY = 1000, 80


def shown() -> set[str]:
    """Names of the pictures that the pages show, from docs/pictures on."""
    pages = [path for pattern in PAGES for path in ROOT.glob(pattern)]
    return {name for page in pages for name in SHOWN.findall(page.read_text("utf-8"))}


def listed() -> str:
    """What draws each picture, a line for each."""
    made = {name: f"python {command}" for name, command in DRAWN.items()}
    made |= {name: f"{picture} of the run {run}" for name, (run, picture) in REDUCED.items()}
    made |= {name: f"by hand: {how}" for name, how in BY_HAND.items()}
    return "\n".join(f"{name}: {how}" for name, how in sorted(made.items()))


def draw(name: str) -> None:
    """Draw a picture anew.

    Args:
        name: of the picture, such as ``drag_first.png``.

    Raises:
        SystemExit: nothing draws it, the run that it is made of is not there, or the command fails.
    """
    if name in REDUCED:
        run, picture = REDUCED[name]
        with Image.open(_folder(run) / picture) as found:
            image = found.convert("RGB")
        image.thumbnail((JPEG_WIDTH, image.height))
        image.save(PICTURES / name, quality=JPEG_QUALITY)
        return
    if name not in DRAWN:
        raise SystemExit(f"nothing draws {name!r}; of pictures there are:\n{listed()}")
    command = re.sub(r"\{([\w-]+)\}", lambda one: shlex.quote(str(_folder(one[1]))), DRAWN[name])
    print(f"{name}: python {command}", flush=True)
    done = subprocess.run([sys.executable, *shlex.split(command)], cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"what draws {name!r} must succeed, but it ended with {done.returncode}")


def _folder(run: str) -> Path:
    """Where ``evidence.py --run`` leaves a run."""
    folder = ROOT / "runs" / "evidence" / run
    if not (folder / "run.json").exists():
        raise SystemExit(
            f"a picture of the run {run} needs that run; make evidence RUN={run} first"
        )
    return folder
