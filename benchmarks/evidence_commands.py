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

from evidence_tables import ROOT

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
    "drag-preview": "benchmarks/bench_records.py drag-preview --record {record}",
    "sd-shape": "benchmarks/bench_records.py sd-shape --record {record}",
    "sketch-examples": "benchmarks/sketch_examples.py brush --record {record}",
    "shipped-styles": "benchmarks/shipped_styles.py --record {record}",
    "student": "benchmarks/student.py --threads 1 --style plugins/sketch/styles/brush.safetensors "
    "--student plugins/sketch/styles/brush-student.safetensors --record {record}",
    "drag-beside-published": "benchmarks/drag_beside_published.py edit --published DRAGDIFFUSION "
    "--lora --updates 40 --rounds 7 --cold --record {record}",
    "sketch-beside-published": "benchmarks/sketch_beside_published.py --published DIFFSKETCH "
    "--rounds 3 --record {record}",
    "inversion": "benchmarks/inversion.py --only denoiser --record {record}",
    "inversion-flow": "benchmarks/inversion.py --only flow --record {record}",
    "inversion-embedded": "benchmarks/inversion.py --only embedded --embedded 3 --record {record}",
    "studio": "benchmarks/studio.py --record {record}",
    "studio-preview": "benchmarks/studio_preview.py --record {record}",
    "studio-edits": "benchmarks/studio_edits.py --record {record}",
    "wrap": "benchmarks/wrap.py --rounds 31 --calls 6 --record {record}",
    "capture": "benchmarks/capture_beside_hooks.py --nnsight --record {record}",
    "compiled": "benchmarks/compiled.py --record {record}",
    "extract": "benchmarks/extract.py --cells 16 16 32 --batch 16 8 8 --repeats 5 "
    "--record {record}",
    "startup": "benchmarks/startup.py --repeats 3 --record {record}",
    "threads": "benchmarks/threads.py --record {record}",
    "store-recipes": "benchmarks/store.py --record {record}",
    "store-speed": "benchmarks/store_speed.py --record {record}",
    "store-records": "benchmarks/store_speed.py --records 100000 --record {record}",
    "many-pictures": "benchmarks/many_pictures.py --network --record {record}",
    "many-pictures-ray": "benchmarks/many_pictures.py --network --ray 2 --record {record}",
    "ray-workers": "benchmarks/ray_workers.py --images 2048 --record {record}",
    "ray-kills": "benchmarks/ray_kills.py --kills 30 --samples 800 --record {record}",
    "peers": "benchmarks/beside_peers.py --dragdiffusion DRAGDIFFUSION --gooddrag GOODDRAG "
    "--dift DIFT --record {record}",
}
SHARED = {"sketch-kinds": "sketch-scenes"}  # records that are made of the same run as another

ANALYSES = ("pck", "own_labels", "labels", "timesteps", "positions", "norms")
CARD = (
    "correspondence", "lines", "reconstruction", "samples_guidance_1", "samples_guidance_3",
    "samples_guidance_6", "training_clip", "training_decoder", "training_unet", "training_vae",
)  # fmt: skip
PICTURES: Mapping[str, str] = {  # a command may draw several of them
    "drag_first.png": "benchmarks/drag_pictures.py",
    "drag_plan.png": "benchmarks/drag_pictures.py",
    "drag_photographs.jpg": "benchmarks/drag_photographs.py PHOTOGRAPHS runs/drag_photographs",
    "sketch_first.jpg": "benchmarks/sketch_pictures.py {sketch-scenes}",
    "sketch_scenes.jpg": "benchmarks/sketch_pictures.py {sketch-scenes}",
    "sketch_scenes_hatching.jpg": "benchmarks/sketch_pictures.py {sketch-scenes}",
    "sketch_scenes_inline.jpg": "benchmarks/sketch_pictures.py {sketch-scenes}",
    "sketch_photograph.jpg": "benchmarks/sketch_photograph.py PORTRAIT",
    "studio.gif": "benchmarks/studio_film.py docs/pictures/studio.gif",
    "studio_look.jpg": "benchmarks/studio_look.py docs/pictures/studio_look.jpg",
    "studio_sketch.jpg": "benchmarks/studio_sketch.py docs/pictures/studio_sketch.jpg",
    **{f"analyse_{name}.png": f"benchmarks/analyses.py {name}" for name in ANALYSES},
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
