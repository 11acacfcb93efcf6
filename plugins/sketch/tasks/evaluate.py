"""``task=evaluate``: every style of the world, learnt from one drawing, beside its controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from featurekit.core.atomic import make_folder
from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import read_metadata
from featurekit.core.json_files import write_json
from featurekit.core.types import Job, Result
from featurekit.images.io import read_tensors, write_image, write_tensors
from featurekit.measures.held_out import side_px
from featurekit.measures.random_weights import untrained
from featurekit.pipeline.config import compose
from featurekit.pipeline.run import run
from featurekit.scenes import KINDS
from featurekit.scenes.drawings import STYLES
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.inputs import SCENE_KIND, Subject, bundled, from_scene
from featurekit_sketch.metrics.held_out import HeldOutDrawings, Row, means
from featurekit_sketch.network.features import Features
from featurekit_sketch.sampling.cdst_sampler import Sample
from featurekit_sketch.sampling.feature_cache import FeatureCache
from featurekit_sketch.tasks.sheets import held_out_sheet
from featurekit_sketch.training.sketcher import Sketcher
from featurekit_sketch.training.style_training import StyleTraining, style_training_of

HEADLINE = "sketch"
ROWS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    HEADLINE: ("trained", ("unet", "vae")),
    "vae alone": ("trained", ("vae",)),
    "random unet": ("random", ("unet", "vae")),
}
"""UNet's weights and what the network sees, by the name of the row."""
EDGES = "edges"

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

    Each row learns from the same pictures: ours, the network on the autoencoder's maps alone, and
    on a UNet of random weights; the edge map has its threshold tuned on many drawings. What is
    finished stays in ``out``: the same command with the same ``out`` goes on from there.

    Raises:
        ConfigError: a picture or a drawing is given; the truth of other pictures is not known.
    """
    config: SketchConfig = job.settings
    if job.image is not None or config.drawing is not None:
        raise ConfigError(
            "task=evaluate sketches bundled scenes, whose drawings are known; leave out image and "
            "plugin.drawing, or use task=train"
        )
    trained = style_training_of(job)
    twin = replace(trained.reader, backbone=untrained(job.backbone))
    style_trainings = {"trained": trained, "random": replace(trained, reader=twin)}
    tables: dict[str, Table] = {}
    outputs = {"table": job.out / "table.json"}
    caches = {
        name: _cache(style_training, _held_out(job, DRAWING_STYLES[0]))
        for name, style_training in style_trainings.items()
    }
    for drawing_style in DRAWING_STYLES:
        held_out, subject = _held_out(job, drawing_style), _subject(job, drawing_style)
        samples = trained.sampled(subject, job.out / "samples", job.stage)
        drawn: dict[str, Mapping[str, Tensor]] = {}
        for row, (weights, sources) in ROWS.items():
            contender = Contender(job, style_trainings[weights], caches[weights], held_out, sources)
            drawn[row] = contender.drawn(
                subject, samples, job.out / f"{drawing_style}-{row}".replace(" ", "-")
            )
        drawn[EDGES] = {kind: _edges(held_out, kind) for kind in held_out.scenes}
        tables[drawing_style] = {row: held_out.figures(inks) for row, inks in drawn.items()}
        outputs[f"sheet_{drawing_style}"] = write_image(
            held_out_sheet(held_out, drawn[HEADLINE], held_out.edges, shown=config.tests),
            job.out / f"sheet_{drawing_style}.png",
        )
    write_json({"held_out": tables}, outputs["table"])
    return Result(
        stop=f"{len(tables)} styles are learnt and drawn",
        metrics={"held_out": tables, "tests": config.tests, "perceptual": trained.perceptual.name},
        outputs=outputs,
        summary="\n".join(line(drawing_style, table) for drawing_style, table in tables.items()),
        schedule=trained.reader.schedule.told,
    )


@dataclass(frozen=True, eq=False)
class Contender:
    """One network: what it learns from, and the scenes that it is asked to draw."""

    job: Job
    style_training: StyleTraining
    scenes: FeatureCache[Features]  # features of the held-out scenes, kind by kind
    held_out: HeldOutDrawings
    sources: tuple[str, ...]

    def drawn(
        self, subject: Subject, samples: Sequence[Sample], folder: Path
    ) -> Mapping[str, Tensor]:
        """Ink of all scenes by kind, (n 1 h w); taken from the folder if an earlier run left it."""
        key = f"{self.style_training.key(subject)} {self.sources} {self.job.settings.tests}"
        drawn_key = (
            f"{key} {self.style_training.contrast}"  # of what is learnt, contrast is no part
        )
        path = make_folder(folder) / "drawn.safetensors"
        if path.exists() and read_metadata(path).get("key") == drawn_key:
            return read_tensors(path)
        stage = self.job.stage
        examples = self.style_training.examples(subject, samples, stage)
        sketcher, _ = self.style_training.learn(
            examples, folder, sources=self.sources, key=key, stage=stage
        )
        found, count = {}, 0
        with stage("sketching held-out scenes") as progress:
            for kind, scenes in self.held_out.scenes.items():
                inks = [self._ink(sketcher, count + i) for i in range(len(scenes))]
                found[kind] = torch.cat(inks)
                count += len(scenes)
                progress(len(found), len(self.held_out.scenes))
        write_tensors(found, path, {"key": drawn_key})
        return found

    @torch.no_grad()
    def _ink(self, sketcher: Sketcher, number: int) -> Tensor:
        return sketcher.draw(self.scenes(number), self.held_out.size, self.held_out.size)


def _cache(style_training: StyleTraining, held_out: HeldOutDrawings) -> FeatureCache[Features]:
    images = [image for kind in held_out.scenes for image in held_out.images(kind)]
    return FeatureCache(lambda i: style_training.reader.features(images[i]))


def _held_out(job: Job, drawing_style: str) -> HeldOutDrawings:
    config: SketchConfig = job.settings
    return HeldOutDrawings.of(drawing_style, side_px(job.backbone), tests=config.tests)


def _subject(job: Job, drawing_style: str) -> Subject:
    return from_scene(bundled(job.settings.scene), drawing_style, side_px(job.backbone))


def _edges(held_out: HeldOutDrawings, kind: str) -> Tensor:
    return torch.cat([held_out.edges(image) for image in held_out.images(kind)])


def line(drawing_style: str, table: Table) -> str:
    """One line per style: F1 of the same kind and of the others, for every row."""
    others = [kind for kind in KINDS if kind != SCENE_KIND]
    parts = []
    for row, kinds in table.items():
        same, other = means(kinds, [SCENE_KIND])["f1"], means(kinds, others)["f1"]
        parts.append(f"{row} {same:.3f} / {other:.3f}")
    return f"{drawing_style}, F1 of {SCENE_KIND}s / other kinds: {'; '.join(parts)}"
