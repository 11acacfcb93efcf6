"""From drawn pictures to styles, by the network that the settings name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from featurekit.core.types import Job
from featurekit_sketch.config import SketchConfig, tiling_of
from featurekit_sketch.drawer import Drawer
from featurekit_sketch.inputs import Subject
from featurekit_sketch.network.mixing_weights import shares
from featurekit_sketch.sampling.chosen_timesteps import reading_for
from featurekit_sketch.settings import PUBLISHED, RELEASED, SOURCES, TWO_SCALES
from featurekit_sketch.tiling.tiled_sketcher import TiledSketcher
from featurekit_sketch.training.style_file import Style
from featurekit_sketch.training.style_training import CHECKPOINT, pictures_of, style_training_of
from featurekit_sketch.two_scales.training import two_scale_training_of
from featurekit_sketch.watching import ALONE, Watcher
from featurekit_sketch.working_size import size_of

Lessons = Mapping[str, Sequence[Subject]]
"""Drawn pictures by the name of their style."""


@dataclass(frozen=True, eq=False)
class LearntStyle:
    """A style, and what a run says of it."""

    drawer: Drawer
    style: Style
    trace: Sequence[Mapping[str, float]]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


def learn_styles(job: Job, lessons: Lessons, watcher: Watcher = ALONE) -> dict[str, LearntStyle]:
    """Learn each style from its drawn pictures, or go on learning.

    Args:
        job: whose settings say how; checkpoints lie in its folder.
        lessons: drawn pictures by style.
        watcher: who looks on.

    Raises:
        ConfigError: the published network is asked for several styles or pictures.
    """
    config: SketchConfig = job.settings
    return LEARNERS[config.network](job, lessons, watcher)


def _at_two_scales(job: Job, lessons: Lessons, watcher: Watcher) -> dict[str, LearntStyle]:
    reading = reading_for(job)
    training = two_scale_training_of(job, pictures_of(job, reading), reading)
    training = replace(training, watch=watcher.learning)
    if not training.reader.taps.vae:
        job.say(
            f"the autoencoder of {job.backbone.name} computes films, not maps: the style is learnt "
            f"from the denoiser's maps and the picture"
        )
    subjects = [subject for pairs in lessons.values() for subject in pairs]
    images = list({id(one.image): one.image for one in subjects}.values())
    samples = training.pictures(subjects[0].prompt, job.out / "samples", job.stage)
    undrawn = training.read_samples(samples, job.stage)
    views = training.read(images, job.stage)
    read = {id(one): found for one, found in zip(images, views, strict=True)}
    found = {}
    for name, pairs in lessons.items():
        path = job.out / (CHECKPOINT if len(lessons) == 1 else f"{name}.{CHECKPOINT}")
        drawn = [(subject, read[id(subject.image)]) for subject in pairs]
        drawer, trace = training.learn(
            drawn, undrawn, path, stage=job.stage, sources=SOURCES[job.settings.sources]
        )
        style = drawer.style(size_of(pairs[0].image), prompt=pairs[0].prompt)
        metrics = {"samples": len(samples), "timesteps": list(style.timesteps)}
        found[name] = LearntStyle(drawer, style, trace, metrics)
    return found


def _published(job: Job, lessons: Lessons, watcher: Watcher) -> dict[str, LearntStyle]:
    config: SketchConfig = job.settings
    ((name, (subject,)),) = lessons.items()
    reading = reading_for(job)
    training = style_training_of(job, pictures_of(job, reading), reading)
    training = replace(training, watch=watcher.learning)
    samples = training.sampled(subject, job.out / "samples", job.stage)
    examples = training.examples(subject, samples, job.stage)
    sketcher, trace = training.learn(
        examples,
        job.out,
        sources=SOURCES[config.sources],
        key=training.key(subject),
        stage=job.stage,
    )
    perceptual = training.perceptual.name
    notes = (f"perceptual loss: {perceptual}, since no plugin.lpips was given",)
    metrics = {
        "perceptual": perceptual,
        "samples": len(samples),
        "timesteps": list(training.reader.timesteps),
        "mixing": shares(sketcher.network.mixing()),
    }
    drawer = TiledSketcher(sketcher, tiling_of(config))
    style = sketcher.style(size_of(subject.image), prompt=subject.prompt)
    return {name: LearntStyle(drawer, style, trace, metrics, notes if not config.lpips else ())}


LEARNERS: Mapping[str, Callable[[Job, Lessons, Watcher], dict[str, LearntStyle]]] = {
    PUBLISHED: _published,
    RELEASED: _published,
    TWO_SCALES: _at_two_scales,
}
