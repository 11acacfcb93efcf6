"""What more drawn pictures are worth: 1, 2, 4 and 8 of them, of a face first and then of all kinds.

``python benchmarks/sketch_examples.py brush`` learns each number of examples with the settings of
the embedded model, and prints figures on the held-out scenes, 16 of each kind.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import featurekit as fk
from featurekit.core.types import Job, Progress, silent
from featurekit.pipeline.config import compose
from featurekit.pipeline.run import resolved
from featurekit.scenes import KINDS, scene
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.inputs import FIRST_SEED, SCENE_KIND, from_scene
from featurekit_sketch.metrics.held_out import HeldOutDrawings, means
from featurekit_sketch.sampling.chosen_timesteps import reading_for
from featurekit_sketch.training.style_training import pictures_of
from featurekit_sketch.two_scales.training import two_scale_training_of

COUNTS = (1, 2, 4, 8)
ORDER = (SCENE_KIND, *(kind for kind in KINDS if kind != SCENE_KIND))
SHOWN = ("ssim", "f1", "f1_exact", "ink", "ink_true", "grey")


@contextmanager
def unseen(_: str) -> Iterator[Progress]:
    """Tell nobody how far a stage is."""
    yield silent


def main(style: str = "brush", *counts: str) -> None:
    """Learn and measure."""
    config = SketchConfig(**resolved(compose(["plugin=sketch", "backbone=embedded"]))["plugin"])
    backbone = fk.load_backbone("embedded", device="cpu")
    held_out = HeldOutDrawings.of(style, config.side_px, tests=config.tests)
    for count in [int(one) for one in counts] or COUNTS:
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
            seconds = time.process_time() - began
        drawn = {
            kind: torch.cat([drawer(image) for image in held_out.images(kind)])
            for kind in held_out.scenes
        }
        rows = held_out.figures(drawn)
        print(f"{style}, {count} examples, {seconds:.0f} CPU s of learning")
        for name, shown in (("faces", ORDER[:1]), ("other kinds", ORDER[1:])):
            row = means(rows, shown)
            print(f"  {name}: " + ", ".join(f"{figure} {row[figure]:.3f}" for figure in SHOWN))
        print("", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
