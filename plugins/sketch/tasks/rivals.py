"""The networks that an evaluation compares: each learns one drawing and then draws."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from torch import Tensor
from torch.nn import functional

from featurekit.core.types import Conditioning, Job
from featurekit.measures.held_out import side_px
from featurekit.measures.random_weights import untrained
from featurekit_sketch.config import SketchConfig, tiling_of
from featurekit_sketch.inputs import Subject
from featurekit_sketch.metrics.controls import Draw
from featurekit_sketch.network.features import Features
from featurekit_sketch.sampling.cdst_sampler import Sample
from featurekit_sketch.sampling.feature_cache import Kept
from featurekit_sketch.sampling.noising_paths import NoisingPath
from featurekit_sketch.sampling.sampled_pictures import SampledPictures, Stages
from featurekit_sketch.settings import (
    PUBLISHED,
    RANDOM,
    RELEASED,
    TWO_SCALES,
    Reading,
    Tiling,
    Weights,
)
from featurekit_sketch.tiling.tiled_sketcher import TiledSketcher
from featurekit_sketch.training.sketcher import Reader
from featurekit_sketch.training.style_training import CHECKPOINT, StyleTraining, style_training_of
from featurekit_sketch.two_scales.reading import TwoScaleMaps, TwoScaleReader
from featurekit_sketch.two_scales.training import (
    ReadPicture,
    ReadSamples,
    TwoScaleTraining,
    two_scale_training_of,
)

BOTH = ("unet", "vae")
HEADLINE = "sketch"


class Rival(Protocol):
    """Learns a drawing."""

    def key(self, subject: Subject) -> str:
        """What decides its drawings."""

    def learnt(self, subject: Subject, samples: Sequence[Sample], folder: Path) -> Draw:
        """Learn a drawing, or go on learning in a folder, and give what draws."""


@dataclass(frozen=True, eq=False)
class RememberingReader(TwoScaleReader):
    """Reads no picture twice, as long as the process has room for what was read."""

    known: Kept[str, TwoScaleMaps] = field(default_factory=Kept)

    def __call__(self, image: Tensor, *, seed: int | None = None) -> TwoScaleMaps:
        """As ``TwoScaleReader``."""
        name = f"{_digest(image)} {seed}"
        read = super().__call__
        return self.known.get(name, lambda: read(image, seed=seed))


@dataclass(frozen=True, eq=False)
class RememberingFeatures(Reader):
    """Reads no picture twice, as long as the process has room for what was read."""

    known: Kept[str, Features] = field(default_factory=Kept)

    def of_path(self, noising: NoisingPath, words: Conditioning) -> Features:
        """As ``Reader``; pictures, their views and sampled pictures are all read here."""
        parts = (noising.latents, noising.clean)
        name = " ".join([*map(_digest, parts), words.fingerprint, str(noising.timesteps)])
        read = super().of_path
        return self.known.get(name, lambda: read(noising, words))


@dataclass(frozen=True, eq=False)
class TwoScaleRival:
    """The network at two scales, on all maps or on some."""

    training: TwoScaleTraining
    sources: tuple[str, ...]
    stage: Stages
    read: dict[str, tuple[ReadPicture, ReadSamples]] = field(default_factory=dict)

    def key(self, subject: Subject) -> str:
        """What decides its drawings."""
        return self.training.key([subject], self.training.pictures.sampling.count, self.sources)

    def learnt(self, subject: Subject, samples: Sequence[Sample], folder: Path) -> Draw:
        """Learn a drawing; what is read of its picture serves for others of it."""
        name = _digest(subject.image)
        if name not in self.read:
            undrawn = self.training.read_samples(samples, self.stage)
            (views,) = self.training.read([subject.image], self.stage)
            self.read[name] = (views, undrawn)
        views, undrawn = self.read[name]
        drawer, _ = self.training.learn(
            [(subject, views)], undrawn, folder / CHECKPOINT, stage=self.stage, sources=self.sources
        )
        return drawer


@dataclass(frozen=True, eq=False)
class PublishedRival:
    """The paper's network and sum of losses, at the model's own size."""

    training: StyleTraining
    sources: tuple[str, ...]
    stage: Stages
    side_px: int
    tiling: Tiling

    def key(self, subject: Subject) -> str:
        """What decides its drawings; of what is learnt, contrast is no part."""
        key = self.training.key(_at(subject, self.side_px))
        return f"{key} {self.sources} {self.training.contrast}"

    def learnt(self, subject: Subject, samples: Sequence[Sample], folder: Path) -> Draw:
        """Learn a drawing at the model's size; larger pictures are drawn there and enlarged."""
        own = _at(subject, self.side_px)
        examples = self.training.examples(own, samples, self.stage)
        sketcher, _ = self.training.learn(
            examples,
            folder,
            sources=self.sources,
            key=self.training.key(own),
            stage=self.stage,
        )
        return _Enlarged(TiledSketcher(sketcher, self.tiling), self.side_px)


@dataclass(frozen=True, eq=False)
class _Enlarged:
    """Draws at one size, and enlarges what was drawn."""

    draw: Draw
    side_px: int

    def __call__(self, image: Tensor) -> Tensor:
        if max(image.shape[-2:]) <= self.side_px:
            return self.draw(image)
        small = functional.interpolate(image, (self.side_px, self.side_px), mode="area")
        return functional.interpolate(self.draw(small), image.shape[-2:], mode="bicubic").clamp(
            0, 1
        )


def rivals_of(
    job: Job, pictures: SampledPictures, reading: Reading
) -> dict[str, Callable[[], dict[str, Rival]]]:
    """Rows by what they read, made when their turn comes, so that one reading is kept at a time.

    Args:
        job: whose settings and backbone are meant.
        pictures: without a drawing, which all learn from.
        reading: how all read, but for the row of the released code.
    """
    config: SketchConfig = job.settings
    given = Given(job, pictures, reading)
    plain = replace(config, network=PUBLISHED, tile_px=side_px(job.backbone))
    plain = replace(plain, overlap_px=plain.tile_px // 4, learning_rate=1e-3, **vars(Weights()))
    if config.network != TWO_SCALES:
        return {
            "trained": lambda: {
                HEADLINE: _published(given, config, BOTH),
                "vae alone": _published(given, config, ("vae",)),
            },
            "random": lambda: {"random unet": _published(given.on_random(), config, BOTH)},
            **_released(given, config),
        }
    return {
        "trained": lambda: _at_two_scales(given, {HEADLINE: BOTH, "vae alone": ("vae",)}),
        "random": lambda: _at_two_scales(given.on_random(), {"random unet": BOTH}),
        "published": lambda: {"paper's network and sum": _published(given, plain, BOTH)},
        **_released(given, plain),
    }


@dataclass(frozen=True, eq=False)
class Given:
    """What all rows are given."""

    job: Job
    pictures: SampledPictures
    reading: Reading

    def on_random(self) -> "Given":
        """The same on a UNet of random weights."""
        return replace(self, job=replace(self.job, backbone=untrained(self.job.backbone)))


def _released(given: Given, config: SketchConfig) -> dict[str, Callable[[], dict[str, Rival]]]:
    """The paper's network as the released code computes it, at timesteps that each picture draws.

    Sampled pictures that are read along their own paths are kept at the timesteps of other rows.
    """
    if config.network != PUBLISHED or config.features != "noise":
        return {}
    other = replace(config, network=RELEASED)
    random = replace(given.reading, timesteps=(), chosen_by=RANDOM)
    return {
        "released": lambda: {"as released": _published(replace(given, reading=random), other, BOTH)}
    }


def _at_two_scales(given: Given, rows: dict[str, tuple[str, ...]]) -> dict[str, Rival]:
    training = two_scale_training_of(given.job, given.pictures, given.reading)
    reader = RememberingReader(training.reader.reader, training.reader.ranks)
    training = replace(training, reader=reader)
    read: dict[str, tuple[ReadPicture, ReadSamples]] = {}
    return {
        name: TwoScaleRival(training, sources, given.job.stage, read)
        for name, sources in rows.items()
    }


def _published(given: Given, config: SketchConfig, sources: tuple[str, ...]) -> Rival:
    job = given.job
    training = style_training_of(replace(job, settings=config), given.pictures, given.reading)
    reader = training.reader
    reader = RememberingFeatures(reader.backbone, reader.reading, reader.words)
    training = replace(training, reader=reader)
    return PublishedRival(training, sources, job.stage, side_px(job.backbone), tiling_of(config))


def _at(subject: Subject, side: int) -> Subject:
    """A square drawn picture at another size."""
    if subject.image.shape[-1] == side:
        return subject
    image = functional.interpolate(subject.image, (side, side), mode="area")
    ink = functional.interpolate(subject.ink, (side, side), mode="area")
    return replace(subject, image=image, ink=ink)


def _digest(image: Tensor) -> str:
    return sha256(image.detach().cpu().numpy().tobytes()).hexdigest()
