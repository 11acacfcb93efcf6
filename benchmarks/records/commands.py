"""What makes each record and each picture of the pages. No command: ``evidence.py`` runs these.

Words in capitals are folders and files that the one who runs them has: checkouts, photographs.
``{record}`` is where the record goes, ``{out}`` the run's folder, ``{NAME}`` that of another run.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.records.tables import ROOT

FOLDERS = ROOT / "runs" / "evidence"  # of the runs
GIVEN = re.compile(r"\b[A-Z]{4,}\b")

ALL_PRESETS = (
    "drag_balanced,drag_fast,drag_dragdiffusion,drag_gooddrag,drag_dragnoise,drag_freedrag,"
    "drag_fastdrag,drag_sdedrag"
)
RECORDS: Mapping[str, str] = {
    "drag-scenes": "-m featurekit run plugin=drag task=evaluate plugin.scenes=50 "
    "'plugin.presets=[drag_warp,drag_fast,drag_balanced,drag_best]' out={out}",
    "drag-published": "-m featurekit run plugin=drag task=evaluate plugin.scenes=4 "
    f"'plugin.presets=[{ALL_PRESETS}]' out={{out}}",
    "sketch-scenes": "-m featurekit run plugin=sketch task=evaluate out={out}",
    "sketch-ablations": "-m featurekit run -m plugin=sketch '+ablation=glob(*)' out={out}",
    "drag-preview": "-m benchmarks.drag.benches drag-preview --record {record}",
    "sd-shape": "-m benchmarks.drag.benches sd-shape --record {record}",
    "sketch-examples": "-m benchmarks.sketch.examples brush --record {record}",
    "shipped-styles": "-m benchmarks.sketch.shipped_styles --record {record}",
    "student": "-m benchmarks.sketch.student --threads 1 "
    "--style plugins/sketch/styles/brush.safetensors "
    "--student plugins/sketch/styles/brush-student.safetensors --record {record}",
    "drag-beside-published": "-m benchmarks.peers.drag edit --published DRAGDIFFUSION "
    "--lora --updates 40 --rounds 7 --cold --record {record}",
    "sketch-beside-published": "-m benchmarks.peers.sketch --published DIFFSKETCH "
    "--rounds 3 --record {record}",
    "inversion": "-m benchmarks.model.inversion --only denoiser --record {record}",
    "inversion-flow": "-m benchmarks.model.inversion --only flow --record {record}",
    "inversion-embedded": "-m benchmarks.model.inversion --only embedded --embedded 3 "
    "--record {record}",
    "studio": "-m benchmarks.studio.opening --record {record}",
    "studio-preview": "-m benchmarks.studio.preview --record {record}",
    "studio-edits": "-m benchmarks.studio.edits --record {record}",
    "wrap": "-m benchmarks.model.wrap --rounds 31 --calls 6 --record {record}",
    "capture": "-m benchmarks.model.capture_beside_hooks --nnsight --record {record}",
    "compiled": "-m benchmarks.model.compiled --record {record}",
    "extract": "-m benchmarks.model.extract --cells 16 16 32 --batch 16 8 8 --repeats 5 "
    "--record {record}",
    "startup": "-m benchmarks.cli.startup --repeats 3 --record {record}",
    "threads": "-m benchmarks.cli.threads --record {record}",
    "store-recipes": "-m benchmarks.store.recipes --record {record}",
    "store-speed": "-m benchmarks.store.speed --record {record}",
    "store-records": "-m benchmarks.store.speed --records 100000 --record {record}",
    "many-pictures": "-m benchmarks.store.many_pictures --network --record {record}",
    "many-pictures-ray": "-m benchmarks.store.many_pictures --network --ray 2 --record {record}",
    "ray-workers": "-m benchmarks.scale.workers --images 2048 --record {record}",
    "ray-kills": "-m benchmarks.scale.kills --kills 30 --samples 800 --record {record}",
    "analyse-pck": "-m benchmarks.model.analyses pck --record {record}",
    "analyse-labels": "-m benchmarks.model.analyses labels --record {record}",
    "analyse-positions": "-m benchmarks.model.analyses positions --record {record}",
    "analyse-norms": "-m benchmarks.model.analyses norms --record {record}",
    "analyse-timesteps": "-m benchmarks.model.analyses timesteps timesteps_inverted "
    "timesteps_sampled --record {record}",
    "peers": "-m benchmarks.peers.beside_ours --dragdiffusion DRAGDIFFUSION --gooddrag GOODDRAG "
    "--dift DIFT --record {record}",
}

ANALYSES = ("pck", "own_labels", "labels", "timesteps", "positions", "norms")
CARD = (
    "correspondence", "lines", "reconstruction", "samples_guidance_1", "samples_guidance_3",
    "samples_guidance_6", "training_clip", "training_decoder", "training_unet", "training_vae",
)  # fmt: skip
PICTURES: Mapping[str, str] = {  # a command may draw several of them
    "drag_first.png": "-m benchmarks.drag.pictures",
    "drag_plan.png": "-m benchmarks.drag.pictures",
    "drag_photographs.jpg": "-m benchmarks.drag.photographs PHOTOGRAPHS runs/drag_photographs",
    "sketch_first.jpg": "-m benchmarks.sketch.pictures {sketch-scenes}",
    "sketch_scenes.jpg": "-m benchmarks.sketch.pictures {sketch-scenes}",
    "sketch_scenes_hatching.jpg": "-m benchmarks.sketch.pictures {sketch-scenes}",
    "sketch_scenes_inline.jpg": "-m benchmarks.sketch.pictures {sketch-scenes}",
    "sketch_photograph.jpg": "-m benchmarks.sketch.photograph PORTRAIT",
    "studio.gif": "-m benchmarks.studio.film docs/pictures/studio.gif",
    "studio_look.jpg": "-m benchmarks.studio.look docs/pictures/studio_look.jpg",
    "studio_sketch.jpg": "-m benchmarks.studio.sketch docs/pictures/studio_sketch.jpg",
    **{f"analyse_{name}.png": f"-m benchmarks.model.analyses {name}" for name in ANALYSES},
    **{f"embedded/{name}.png": "-m featurekit train-embedded --report docs=docs" for name in CARD},
}


def ran(what: str, command: str, given: Mapping[str, str], record: Path | None = None) -> None:
    """Run what makes a record or a picture.

    Args:
        what: its name, for messages.
        command: of this module.
        given: folders and files by the words in capitals that stand for them.
        record: where the record goes.

    Raises:
        SystemExit: it needs something that is not given or a run that is not there, or it fails.
    """
    missing = [word for word in GIVEN.findall(command) if word not in given]
    if missing:
        words = " ".join(f"{word}=PATH" for word in missing)
        raise SystemExit(f"{what!r} needs what you must have yourself; give it: --given {words}")

    def place(found: re.Match[str]) -> str:
        word = found[1]
        path = {"record": record, "out": FOLDERS / what}.get(word) or folder_of(word)
        return shlex.quote(str(path))

    command = re.sub(r"\{([\w-]+)\}", place, command)
    command = GIVEN.sub(lambda word: shlex.quote(given[word[0]]), command)
    print(f"{what}: python {command}", flush=True)
    done = subprocess.run([sys.executable, *shlex.split(command)], cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"what makes {what!r} must succeed, but it ended with {done.returncode}")


def folder_of(run: str) -> Path:
    """Where a run that ``evidence.py`` made lies.

    Raises:
        SystemExit: it is not there.
    """
    folder = FOLDERS / run
    if not (folder / "run.json").exists():
        raise SystemExit(f"this is made of the run {run}; make evidence RUN={run} first")
    return folder
