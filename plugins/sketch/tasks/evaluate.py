"""``task=evaluate``: every style of the world, learnt from one drawing, beside its controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from featurekit.core.atomic import make_folder
from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import read_metadata
from featurekit.core.json_files import write_json
from featurekit.core.types import Job, Result
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.images.io import read_tensors, write_image, write_tensors
from featurekit.pipeline.config import compose
from featurekit.pipeline.run import run
from featurekit.scenes import KINDS
from featurekit.scenes.drawings import STYLES
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.inputs import SCENE_KIND, Subject, bundled, from_scene, scene_px
from featurekit_sketch.metrics.controls import Edges, controls
from featurekit_sketch.metrics.held_out import HeldOutDrawings, Row, means
from featurekit_sketch.sampling.cdst_sampler import Sample
from featurekit_sketch.sampling.chosen_timesteps import reading_for
from featurekit_sketch.tasks.evaluate_dataset import evaluate_dataset
from featurekit_sketch.tasks.rivals import HEADLINE, Rival, rivals_of
from featurekit_sketch.tasks.sheets import held_out_sheet
from featurekit_sketch.training.style_training import pictures_of

DRAWING_STYLES = tuple(STYLES)

Table = dict[str, dict[str, Row]]
"""Figures by row, then kind."""


def bench(words: Sequence[str]) -> int:
    """``featurekit bench sketch-scenes``: the task ``evaluate`` with overrides, from the shell."""
    record = run(compose(["plugin=sketch", "task=evaluate", *words]))
    Console().print(record["summary"])
    return 0


def evaluate(job: Job) -> Result:
    """Learn every style of the world from one drawing, and sketch held-out scenes of all kinds.

    A data set goes to ``evaluate_dataset``.

    Each row learns from the same pictures: ours, the network on the autoencoder's maps alone, and
    on a UNet of random weights; the edge map has its threshold tuned on many drawings. What is
    finished stays in ``out``: the same command with the same ``out`` goes on from there.

    Raises:
        ConfigError: a picture or a drawing is given; the truth of other pictures is not known.
    """
    config: SketchConfig = job.settings
    if config.dataset is not None:
        return evaluate_dataset(job)
    if job.image is not None or config.drawing is not None:
        raise ConfigError(
            "task=evaluate sketches bundled scenes, whose drawings are known; leave out image and "
            "plugin.drawing, or use task=train"
        )
    reading = reading_for(job)
    pictures = pictures_of(job, reading)
    drawn = {style: _of_controls(job, style) for style in DRAWING_STYLES}
    for read, make in rivals_of(job, pictures, reading).items():
        rivals = make()
        for drawing_style in DRAWING_STYLES:
            subject, held_out = _subject(job, drawing_style), _held_out(job, drawing_style)
            samples = pictures(subject.prompt, job.out / "samples", job.stage)
            for row, rival in rivals.items():
                folder = job.out / f"{drawing_style}-{row}".replace(" ", "-").replace("'", "")
                entry = Entry(job, rival, held_out, read)
                drawn[drawing_style][row] = entry.drawn(subject, samples, folder)
    tables: dict[str, Table] = {}
    outputs = {"table": job.out / "table.json"}
    for drawing_style, rows in drawn.items():
        held_out = _held_out(job, drawing_style)
        tables[drawing_style] = {row: held_out.figures(inks) for row, inks in rows.items()}
        outputs[f"sheet_{drawing_style}"] = write_image(
            held_out_sheet(held_out, rows[HEADLINE], held_out.edges, shown=config.tests),
            job.out / f"sheet_{drawing_style}.png",
        )
    write_json({"held_out": tables}, outputs["table"])
    return Result(
        stop=f"{len(tables)} styles are learnt and drawn",
        metrics={"held_out": tables, "tests": config.tests},
        outputs=outputs,
        summary="\n".join(line(drawing_style, table) for drawing_style, table in tables.items()),
        schedule=Schedule.ddim(job.backbone.noise, config.steps).told,
    )


@dataclass(frozen=True, eq=False)
class Entry:
    """One network: what it learns from, and the scenes that it is asked to draw."""

    job: Job
    rival: Rival
    held_out: HeldOutDrawings
    reading: str

    def drawn(
        self, subject: Subject, samples: Sequence[Sample], folder: Path
    ) -> Mapping[str, Tensor]:
        """Ink of all scenes by kind, (n 1 h w); taken from the folder if an earlier run left it."""
        key = f"{self.reading} {self.rival.key(subject)} {self.job.settings.tests}"
        path = make_folder(folder) / "drawn.safetensors"
        if path.exists() and read_metadata(path).get("key") == key:
            return read_tensors(path)
        draw = self.rival.learnt(subject, samples, folder)
        found = {}
        with self.job.stage("sketching held-out scenes") as progress:
            for kind in self.held_out.scenes:
                images = self.held_out.images(kind)
                found[kind] = torch.cat([draw(image) for image in images])
                progress(len(found), len(self.held_out.scenes))
        write_tensors(found, path, {"key": key})
        return found


def _of_controls(job: Job, drawing_style: str) -> dict[str, Mapping[str, Tensor]]:
    """What is drawn without learning: the edge map at its best, XDoG, blank and black sheets."""
    held_out = _held_out(job, drawing_style)
    return {
        row: {
            kind: torch.cat([draw(image) for image in held_out.images(kind)])
            for kind in held_out.scenes
        }
        for row, draw in controls(Edges(held_out.strength)).items()
    }


def _held_out(job: Job, drawing_style: str) -> HeldOutDrawings:
    config: SketchConfig = job.settings
    return HeldOutDrawings.of(drawing_style, scene_px(job), tests=config.tests)


def _subject(job: Job, drawing_style: str) -> Subject:
    return from_scene(bundled(job.settings.scene), drawing_style, scene_px(job))


def line(drawing_style: str, table: Table) -> str:
    """One line per style: F1 of the same kind and of the others, for every row."""
    others = [kind for kind in KINDS if kind != SCENE_KIND]
    parts = []
    for row, kinds in table.items():
        same, other = means(kinds, [SCENE_KIND])["f1"], means(kinds, others)["f1"]
        parts.append(f"{row} {same:.3f} / {other:.3f}")
    return f"{drawing_style}, F1 of {SCENE_KIND}s / other kinds: {'; '.join(parts)}"
