"""Learning one style from one subject: sampled pictures, features, losses, training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from featurekit.backbones.open_clip import load as load_clip
from featurekit.core.types import Job, Say, unsaid
from featurekit.diffusion.backbone import Backbone
from featurekit.measures.augmentations import View, views_of
from featurekit.measures.perceptual.distances import ClipPerceptual, Lpips, Perceptual
from featurekit_sketch.config import SketchConfig, learning_of, sampling_of
from featurekit_sketch.inputs import Subject
from featurekit_sketch.losses.released_preparation import (
    ReleasedEncoder,
    ReleasedPerceptual,
)
from featurekit_sketch.losses.sketch_loss import ImageEncoder, SketchLoss
from featurekit_sketch.network.features import Features
from featurekit_sketch.sampling.captions import Captions, takes_prior
from featurekit_sketch.sampling.cdst_sampler import Sample
from featurekit_sketch.sampling.feature_cache import FeatureCache
from featurekit_sketch.sampling.noising_paths import noised_path
from featurekit_sketch.sampling.prior import Prior, fit_prior, load_prior, world_captions
from featurekit_sketch.sampling.representative_timesteps import run_of
from featurekit_sketch.sampling.sampled_pictures import SampledPictures, Stages, condensed
from featurekit_sketch.settings import NAMED_BEFORE, PUBLISHED, RANDOM, RELEASED, Learning, Reading
from featurekit_sketch.training.framing import corners, framed
from featurekit_sketch.training.published_course import Examples, PublishedCourse, SampleViews
from featurekit_sketch.training.sketcher import NEW_NETWORK, Reader, Sketcher
from featurekit_sketch.training.trainer import Trainer
from featurekit_sketch.watching import Glimpse, unseen

CHECKPOINT = "training.safetensors"


@dataclass(frozen=True, eq=False)
class StyleTraining:
    """Everything that several styles and networks can share."""

    reader: Reader
    pictures: SampledPictures
    learning: Learning
    clip: ImageEncoder
    perceptual: Perceptual
    seed: int
    contrast: float = 1.0  # of the ink, raised when all is learnt
    say: Say = unsaid  # told where something is gone on with
    network: str = PUBLISHED  # or ``RELEASED``
    watch: Callable[[Glimpse], None] = unseen

    @property
    def backbone(self) -> Backbone:
        """The model that features are read from."""
        return self.reader.backbone

    def sampled(self, subject: Subject, folder: Path, stage: Stages) -> tuple[Sample, ...]:
        """Pictures without a drawing, sampled now or in an earlier run."""
        return self.pictures(subject.prompt, folder, stage)

    def examples(self, subject: Subject, samples: Sequence[Sample], stage: Stages) -> Examples:
        """Read what is learnt from; losses and embeddings are computed once.

        The picture as it is comes first, once in each corner of its frame; its views lie in these
        corners by turns.
        """
        multiple = self.backbone.multiple
        height, width = subject.image.shape[-2:]
        places = corners(height, width, multiple)
        own, *views = views_of(
            subject.image, subject.ink, count=self.learning.views, seed=self.seed
        )
        count = len(places) + len(views) + len(samples)
        with stage("preparing losses") as progress:
            image, ink = self._placed(subject.image), self._placed(subject.ink)
            first = SketchLoss(self.clip, self.perceptual, source_image=image, drawing=ink)
            losses = [first] * len(places)
            for view in views:
                losses.append(first.of_view(self._placed(view.ink)))
                progress(len(losses), count)
            pictures, embeddings = [self._decoded(sample) for sample in samples], []
            for picture in pictures:
                embeddings.append(first.embed(picture))
                progress(len(losses) + len(embeddings), count)
        images = [one.image for one in (*[own] * len(places), *views)]
        lying = [places[i % len(places)] for i in range(len(images))]
        return Examples(
            views=FeatureCache(lambda i: self._of_view(framed(images[i], lying[i], multiple), i)),
            losses=losses,
            samples=FeatureCache(lambda i: self._of_sample(samples[i])),
            embeddings=embeddings,
            sample_views=self._sample_views(pictures),
            corners=lying,
            drawings=len(places),
        )

    def _sample_views(self, pictures: Sequence[Tensor]) -> SampleViews:
        """One view of each sampled picture, numbered after those of the drawn one."""
        first = self.learning.views

        def view(number: int, ink: Tensor) -> View:
            return views_of(pictures[number], ink, count=2, seed=self.seed + first + number)[1]

        def features(number: int) -> Features:
            white = torch.ones_like(pictures[number][:, :1])
            return self._of_view(view(number, white).image, first + number)

        return SampleViews(FeatureCache(features), lambda number, ink: view(number, ink).ink)

    def learn(
        self, examples: Examples, folder: Path, *, sources: tuple[str, ...], key: str, stage: Stages
    ) -> tuple[Sketcher, list[dict[str, float]]]:
        """Train a sketch network, or go on training it.

        Args:
            examples: what it is learnt from.
            folder: of the checkpoint.
            sources: what it sees, of ``unet`` and ``vae``.
            key: what a checkpoint must agree with.
            stage: for the progress.

        Returns:
            What draws, and the terms of the loss of every iteration.
        """
        network = NEW_NETWORK[self.network](
            self.reader.feature_taps,
            timesteps=self.reader.count,
            sources=sources,
            checkpointed=self.learning.checkpointed,
            seed=self.seed,
        )
        network = network.to(self.backbone.device)
        live = Sketcher(self.reader, network, self.network)

        def heard(done: int, terms: Mapping[str, float]) -> None:
            self.watch(Glimpse(done, self.learning.iterations, terms["total"], live))

        course = PublishedCourse(examples, self.learning, self.seed)
        key = f"{key} {sources}"
        trainer = Trainer(network, course, folder / CHECKPOINT, key, self.say, heard)
        with stage("learning the style") as progress:
            trace = trainer(progress=progress)
        network.sharpen(self.contrast)
        return Sketcher(self.reader, network.eval(), self.network), trace

    def key(self, subject: Subject) -> str:
        """What decides a training on a subject."""
        facts = [_recorded(self.learning), _facts_of(self.reader.reading), self.seed]
        facts += [self.network] if self.network != PUBLISHED else []  # 0.1 had no other
        facts += [self.perceptual.name, self.clip.name, dict(self.backbone.weights)]
        for picture in (subject.image, subject.ink):
            facts.append(sha256(picture.numpy().tobytes()).hexdigest())
        source = self.backbone.embed(subject.prompt)
        return condensed([*facts, self.pictures.key(source)])

    def _of_view(self, image: Tensor, number: int) -> Features:
        if self.reader.reading.kind == "inversion" or number == 0:
            return self.reader.features(image)
        # every view has noise of its own, so that no pattern of it can be learnt by heart
        with torch.no_grad():
            clean = self.backbone.encode(image)
            seed = self.reader.reading.seed + number
            chosen = self.reader.timesteps_for(clean)
            noising = noised_path(self.backbone, clean, chosen, seed=seed)
            return self.reader.of_path(noising, self.reader.words)

    def _of_sample(self, sample: Sample) -> Features:
        place = self.backbone.device
        if self.reader.reading.kind == "inversion":
            chosen = self.reader.timesteps_for(sample.noising.clean)
            noising = sample.noising.only(chosen).to(place)
            return self.reader.of_path(noising, sample.words)
        noising = self.reader.noising(sample.noising.clean.to(place))
        return self.reader.of_path(noising, self.reader.words)

    @torch.no_grad()
    def _decoded(self, sample: Sample) -> Tensor:
        return self.backbone.decode(sample.noising.clean.to(self.backbone.device)).clamp(-1, 1)

    def _placed(self, picture: Tensor) -> Tensor:
        return picture.to(self.backbone.device)


def style_training_of(job: Job, pictures: SampledPictures, reading: Reading) -> StyleTraining:
    """Gather what a job's settings name.

    Args:
        job: whose settings and backbone are meant.
        pictures: without a drawing.
        reading: how pictures become features.

    Raises:
        ConfigError, BackboneError: a file that is named cannot be used.
    """
    config: SketchConfig = job.settings
    backbone = job.backbone
    clip = load_clip(config.clip_model, backbone.device, torch.float32)
    perceptual: Perceptual
    if config.lpips is None:
        perceptual = ClipPerceptual(clip)
    else:
        perceptual = Lpips.load(config.lpips, backbone.device)
    released = config.network == RELEASED
    return StyleTraining(
        reader=Reader.of(backbone, reading),
        pictures=pictures,
        learning=learning_of(config),
        clip=ReleasedEncoder.of(clip) if released else clip,
        perceptual=ReleasedPerceptual.of(perceptual, clip) if released else perceptual,
        seed=job.seed,
        contrast=config.contrast,
        say=job.say,
        network=config.network,
    )


def pictures_of(
    job: Job, reading: Reading | None = None, *, count: int | None = None
) -> SampledPictures:
    """How a job's pictures without a drawing are sampled.

    Args:
        job: whose settings say how.
        reading: how features are read, where the pictures' own paths may have to serve for it.
        count: of pictures; without it ``plugin.samples``.

    Raises:
        ConfigError: the file of the prior cannot be used.
    """
    config: SketchConfig = job.settings
    prior: Prior | Captions
    if config.prior is not None:
        prior = load_prior(config.prior, job.backbone)
    elif takes_prior(job.backbone):
        prior = fit_prior(job.backbone, world_captions())
    else:
        prior = Captions(tuple(world_captions()))
    sampling = sampling_of(config, job.backbone.usual_guidance)
    if count is not None:
        sampling = replace(sampling, count=count)
    kept: tuple[int, ...] = ()
    if reading is not None and reading.kind == "inversion":
        run = run_of(job.backbone.noise, config.steps, job.backbone.sample_size)
        every = tuple(sorted(map(int, run.timesteps)))
        kept = every if reading.chosen_by == RANDOM else reading.timesteps
    return SampledPictures(
        backbone=job.backbone,
        prior=prior,
        sampling=sampling,
        steps=config.steps,
        seed=job.seed,
        timesteps=kept,
    )


def _facts_of(reading: Reading) -> dict[str, Any]:
    """What of a reading changes a result; timesteps where they are not those of version 0.1."""
    facts: dict[str, Any] = {"kind": reading.kind, "steps": reading.steps, "seed": reading.seed}
    if reading.chosen_by != PUBLISHED:
        facts["timesteps"] = reading.timesteps or reading.chosen_by
    return facts


def _recorded(learning: Learning) -> dict[str, Any]:
    """Settings that change a result, under the names that version 0.1 kept its sessions by."""
    settings = asdict(replace(learning, checkpointed=False))
    weights = {NAMED_BEFORE.get(name, name): value for name, value in settings["weights"].items()}
    return {**settings, "weights": weights}
