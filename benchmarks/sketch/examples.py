"""What more drawn pictures are worth: 1, 2, 4 and 8 of them, of a face first and then of all kinds.

python -m benchmarks.sketch.examples brush                # a quarter of an hour of one core
python -m benchmarks.sketch.examples brush 1 2 --set plugin.iterations=5 plugin.tests=1

Learns each number of examples with the settings of the embedded model, and measures drawings of the
held-out scenes, 16 of each kind.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import featurekit as fk
from benchmarks.records.recording import recorded, recorded_to, typed
from featurekit.core.types import Job, Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.pipeline.config import compose
from featurekit.pipeline.run import resolved
from featurekit.scenes import KINDS, scene
from featurekit.scenes.drawings import STYLES
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.inputs import FIRST_SEED, SCENE_KIND, from_scene
from featurekit_sketch.metrics.held_out import HeldOutDrawings, means
from featurekit_sketch.sampling.chosen_timesteps import reading_for
from featurekit_sketch.training.style_training import pictures_of
from featurekit_sketch.two_scales.drawer import TwoScaleDrawer
from featurekit_sketch.two_scales.training import two_scale_training_of

COUNTS = (1, 2, 4, 8)
ORDER = (SCENE_KIND, *(kind for kind in KINDS if kind != SCENE_KIND))
SHOWN = {
    "ssim": ("SSIM", ".2f"),
    "f1": ("F1", ".3f"),
    "f1_exact": ("exact", ".3f"),
    "ink": ("ink", ".3f"),
    "grey": ("grey", ".2f"),
}
SETTINGS = ("network", "side_px", "iterations", "samples", "views", "sources", "features", "tests")


@contextmanager
def unseen(_: str) -> Iterator[Progress]:
    """Tell nobody how far a stage is."""
    yield silent


def main(words: Sequence[str] | None = None) -> None:
    """Learn and measure.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("style", nargs="?", default="brush", choices=STYLES)
    parser.add_argument("counts", nargs="*", type=int, default=COUNTS, help="of examples")
    parser.add_argument("--set", nargs="*", default=[], help="settings, as of featurekit run")
    recorded_to(parser)
    asked = parser.parse_args(words)
    given = ["plugin=sketch", "backbone=embedded", *asked.set]
    config = SketchConfig(**resolved(compose(given))["plugin"])
    backbone = fk.load_backbone("embedded", device="cpu")
    held_out = HeldOutDrawings.of(asked.style, config.side_px, tests=config.tests)
    rows: list[list[object]] = []
    true: list[float] = []
    for count in asked.counts:
        drawer, seconds = learnt(backbone, config, asked.style, count)
        drawn = {
            kind: torch.cat([drawer(image) for image in held_out.images(kind)])
            for kind in held_out.scenes
        }
        figures = held_out.figures(drawn)
        sides = [means(figures, kinds) for kinds in (ORDER[:1], ORDER[1:])]
        true = [side["ink_true"] for side in sides]
        rows.append([count, *(side[name] for side in sides for name in SHOWN), seconds])
        print(*rows[-1], flush=True)
    columns = [{"title": "examples", "format": "d"}]
    for side, ink in zip(("faces", "other kinds"), true, strict=True):
        titles = {
            **SHOWN,
            "ssim": (f"{side}: SSIM", ".2f"),
            "ink": (f"ink (true {ink:.3f})", ".3f"),
        }
        columns += [{"title": title, "format": form} for title, form in titles.values()]
    columns.append({"title": "learning, CPU s", "format": ".0f"})
    settings = {"style": asked.style, "seed": 0, "threads": torch.get_num_threads(),
                **{name: getattr(config, name) for name in SETTINGS}}  # fmt: skip
    recorded(asked.record, typed("sketch.examples", words), columns, rows, settings=settings)


def learnt(
    backbone: Backbone, config: SketchConfig, style: str, count: int
) -> tuple[TwoScaleDrawer, float]:
    """Learn some examples: what draws like them, and the CPU seconds that it took."""
    kinds = [ORDER[i % len(ORDER)] for i in range(count)]
    scenes = [scene(FIRST_SEED + i // len(ORDER), kind) for i, kind in enumerate(kinds)]
    subjects = [from_scene(one, style, config.side_px) for one in scenes]
    with TemporaryDirectory() as folder:
        job = Job(backbone, config, "train", None, "", 0, Path(folder), stage=unseen)
        began, reading = time.process_time(), reading_for(job)
        training = two_scale_training_of(job, pictures_of(job, reading), reading)
        samples = training.pictures(subjects[0].prompt, Path(folder) / "samples", unseen)
        read = training.read([one.image for one in subjects], unseen)
        undrawn = training.read_samples(samples, unseen)
        pairs = list(zip(subjects, read, strict=True))
        drawer, _ = training.learn(pairs, undrawn, Path(folder) / "state", stage=unseen)
        return drawer, time.process_time() - began


if __name__ == "__main__":
    main()
