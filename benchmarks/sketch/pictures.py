"""The pictures of sketches in the README and in docs/results.md.

``python -m benchmarks.sketch.pictures FOLDER`` takes the folder of a finished ``featurekit run
plugin=sketch task=evaluate`` and writes docs/pictures/sketch_first.jpg: what was learnt from, and
the first held-out scene of every kind, none chosen, in each style; and the sheets of all scenes.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from torch import Tensor

import featurekit as fk
from featurekit.core.json_files import read_json
from featurekit.core.types import Job, Progress, silent
from featurekit.images.io import image_to_pil, read_tensors
from featurekit.images.pictures import contact_sheet
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.inputs import bundled, from_scene
from featurekit_sketch.metrics.held_out import HeldOutDrawings
from featurekit_sketch.sampling.chosen_timesteps import reading_for
from featurekit_sketch.tasks.evaluate import DRAWING_STYLES
from featurekit_sketch.tasks.rivals import HEADLINE, rivals_of
from featurekit_sketch.tasks.sheets import ink_picture
from featurekit_sketch.training.style_training import pictures_of

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SIDE_PX = 144
SMALLER = 0.4  # of a sheet of all scenes
SHEETS = {"brush": "sketch_scenes.jpg", "hatching": "sketch_scenes_hatching.jpg"}
SHEETS["inline"] = "sketch_scenes_inline.jpg"


@contextmanager
def unseen(_: str) -> Iterator[Progress]:
    """Tell nobody how far a stage is."""
    yield silent


def main(folder: str) -> None:
    """Draw what was learnt once more, and lay all beside the truth."""
    out = Path(folder)
    config = SketchConfig(**read_json(out / "run.json")["config"]["plugin"])
    job = Job(
        fk.load_backbone("embedded", device="cpu"), config, "evaluate", None, "", 0, out, unseen
    )
    reading = reading_for(job)
    pictures = pictures_of(job, reading)
    rival = rivals_of(job, pictures, reading)["trained"]()[HEADLINE]
    rows: dict[str, list[Image.Image]] = {}
    for style in DRAWING_STYLES:
        subject = from_scene(bundled(config.scene), style, config.side_px)
        held_out = HeldOutDrawings.of(style, config.side_px, tests=1)
        drawn = read_tensors(out / f"{style}-{HEADLINE}" / "drawn.safetensors")
        samples = pictures(subject.prompt, out / "samples", unseen)
        own = rival.learnt(subject, samples, out / f"{style}-{HEADLINE}")(subject.image)
        shown = {kind: held_out.images(kind)[0] for kind in held_out.scenes}
        rows.setdefault("picture", [_tile(one) for one in (subject.image, *shown.values())])
        rows[f"{style}: sketch"] = [_ink(own), *(_ink(drawn[kind][:1]) for kind in shown)]
        truths = [held_out.truths(kind)[:1] for kind in shown]
        rows[f"{style}: true"] = [_ink(one) for one in (subject.ink, *truths)]
        whole = Image.open(out / f"sheet_{style}.png").convert("RGB")
        small = whole.resize((round(SMALLER * whole.width), round(SMALLER * whole.height)))
        small.save(PICTURES / SHEETS[style], quality=80)
    sheet = contact_sheet(rows, ["learnt from this one", *shown])
    sheet.convert("RGB").save(PICTURES / "sketch_first.jpg", quality=85)


def _ink(ink: Tensor) -> Image.Image:
    return _tile(ink_picture(ink))


def _tile(picture: Tensor) -> Image.Image:
    return image_to_pil(picture).resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main(sys.argv[1])
