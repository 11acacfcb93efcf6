"""Learning styles at two scales: pictures are read once, whatever the number of styles."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from featurekit.core.types import Job, Say, unsaid
from featurekit.measures.augmentations import View, views_of
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.inputs import Subject
from featurekit_sketch.sampling.cdst_sampler import Sample
from featurekit_sketch.sampling.feature_cache import FeatureCache
from featurekit_sketch.sampling.sampled_pictures import SampledPictures, Stages, condensed
from featurekit_sketch.settings import LINES, OWN, TONES, Reading
from featurekit_sketch.training.framing import Corner, corners, framed
from featurekit_sketch.training.sketcher import Reader
from featurekit_sketch.training.trainer import Trainer
from featurekit_sketch.two_scales.course import DrawnViews, Taught, TwoScaleCourse
from featurekit_sketch.two_scales.drawer import TwoScaleDrawer, new_network
from featurekit_sketch.two_scales.live_drawing import LiveDrawing
from featurekit_sketch.two_scales.loss import line_loss, tone_loss
from featurekit_sketch.two_scales.moments import Moments, moments_of
from featurekit_sketch.two_scales.network import precision_on
from featurekit_sketch.two_scales.reading import TwoScaleMaps, TwoScaleReader, learnt_maps
from featurekit_sketch.two_scales.rendering import offset_of
from featurekit_sketch.two_scales.self_training import SelfTraining, Undrawn, thickest
from featurekit_sketch.watching import Glimpse, unseen
from featurekit_sketch.working_size import (
    resized,
    resized_ink,
    resized_tones,
    size_of,
    working_size,
)

NETWORKS = 2  # that learn side by side, and draw together
RANKS = (1, 4)  # of the 13 representative timesteps: t = 51 and 301 of 20 steps
FEWEST = 4  # views of each of several pictures
MEASURED = 24, 16  # views and sampled pictures that maps are standardised by
SHOWN = 8  # views that the offset of the ink is measured on
NEXT_NETWORK = 7919  # between seeds of the first weights of those
FIRST_SAMPLE = 5000  # number of the first sampled picture among all views, for its seed


@dataclass(frozen=True, eq=False)
class ReadPicture:
    """A picture to learn from at the working size, with the maps of its views."""

    image: Tensor  # (1 3 h w)
    maps: FeatureCache[TwoScaleMaps]
    lying: Sequence[Corner]  # of each view
    seed: int  # of the views


@dataclass(frozen=True, eq=False)
class ReadSamples:
    """The pictures without a drawing, read as they are and as a view."""

    pictures: Sequence[Tensor]
    maps: FeatureCache[TwoScaleMaps]  # picture i at 2i, its view at 2i + 1


@dataclass(frozen=True, eq=False)
class TwoScaleTraining:
    """Everything that several styles can share."""

    reader: TwoScaleReader
    pictures: SampledPictures
    iterations: int
    learning_rate: float
    views: int  # of all pictures together
    side_px: int
    seed: int
    say: Say = unsaid
    watch: Callable[[Glimpse], None] = unseen

    @property
    def precision(self) -> torch.dtype:
        """What convolutions compute in while learning: bfloat16 where it is fast."""
        return precision_on(self.reader.reader.backbone.device)

    def read(self, images: Sequence[Tensor], stage: Stages) -> list[ReadPicture]:
        """Read pictures to learn from (1 3 h w), and views of them."""
        count = max(FEWEST, self.views // len(images)) if len(images) > 1 else self.views
        found = []
        for number, image in enumerate(images):
            one = self._read_picture(image, count, self.seed + 1000 * number)
            found.append(one)
            with stage("reading views of the picture") as progress:
                one.maps.fill(len(one.lying), progress)
        return found

    def read_samples(self, samples: Sequence[Sample], stage: Stages) -> ReadSamples:
        """Decode sampled pictures, and read each with one view."""
        pictures = [self._decoded(sample) for sample in samples]
        maps = FeatureCache(lambda i: self._of_sample(pictures[i // 2], i).channels_last())
        with stage("reading sampled pictures") as progress:
            maps.fill(2 * len(pictures), progress)
        return ReadSamples(pictures, maps)

    def learn(
        self,
        subjects: Sequence[tuple[Subject, ReadPicture]],
        samples: ReadSamples,
        path: Path,
        *,
        stage: Stages,
        sources: tuple[str, ...] = ("unet", "vae"),
    ) -> tuple[TwoScaleDrawer, list[dict[str, float]]]:
        """Learn one style, or go on learning it.

        Args:
            subjects: drawn pictures of one style, each with what was read of its picture.
            samples: pictures without a drawing; none: only drawings are learnt from.
            path: of the checkpoint.
            stage: for the progress.
            sources: whose maps are used, of ``unet`` and ``vae``.

        Returns:
            What draws, and the terms of the loss of every iteration.
        """
        first = subjects[0][0]
        moments = self._moments([read for _, read in subjects], samples)
        networks = []
        for number in range(NETWORKS):
            network = new_network(
                self.reader, sources, first.ink.shape[1], self.seed + number * NEXT_NETWORK
            )
            network.standardise(moments)
            networks.append(network)
        taught = Taught(networks).to(self.reader.reader.backbone.device)
        taught = taught.to(memory_format=torch.channels_last)
        lines = all(subject.made_of == LINES for subject, _ in subjects)
        pictures = [partial(_undrawn, samples, i, self.seed) for i in range(len(samples.pictures))]
        examples = [self._drawn_views(subject, read) for subject, read in subjects]
        radius = thickest([ink for example in examples for ink in example.inks])
        course = TwoScaleCourse(
            examples=examples,
            iterations=self.iterations,
            learning_rate=self.learning_rate,
            seed=self.seed,
            compare=line_loss if lines else tone_loss,
            self_training=SelfTraining(pictures, radius) if lines and pictures else None,
            precision=self.precision,
        )
        key = self.key([subject for subject, _ in subjects], len(samples.pictures), sources)
        made_of = LINES if lines else TONES
        live = LiveDrawing(self.reader, taught, self.side_px, made_of)

        def heard(done: int, terms: Mapping[str, float]) -> None:
            self.watch(Glimpse(done, self.iterations, terms["total"], live))

        with stage("learning the style") as progress:
            trace = Trainer(taught, course, path, key, self.say, heard)(progress=progress)
        learnt = taught.to(memory_format=torch.contiguous_format).eval().learners
        drawer = TwoScaleDrawer.of_networks(self.reader, learnt, self.side_px, made_of)
        return replace(drawer, offset=_offset(drawer, course.examples)), trace

    def key(self, subjects: Sequence[Subject], samples: int, sources: Sequence[str]) -> str:
        """What decides a training."""
        backbone = self.reader.reader.backbone
        facts: list[object] = [self.iterations, self.learning_rate, self.views, self.side_px]
        facts += [NETWORKS, self.seed, samples, list(sources), list(self.reader.timesteps)]
        facts.append(sorted(learnt_maps(self.reader.taps, sources)))
        facts += [
            str(self.precision),
            self.reader.reader.reading.kind,
            dict(backbone.weights),
            backbone.name,
        ]
        for subject in subjects:
            facts.append(subject.made_of)
            for picture in (subject.image, subject.ink):
                facts.append(sha256(picture.numpy().tobytes()).hexdigest())
        facts.append(self.pictures.key(backbone.embed(subjects[0].prompt)))
        return condensed(facts)

    def _read_picture(self, image: Tensor, count: int, seed: int) -> ReadPicture:
        picture = resized(image, working_size(size_of(image), self.side_px))
        white = torch.ones_like(picture[:, :1])
        views = [view.image for view in views_of(picture, white, count=count, seed=seed)]
        places = corners(*size_of(picture), self.reader.multiple)
        lying = [places[i % len(places)] for i in range(count)]

        def maps(number: int) -> TwoScaleMaps:
            # every view has noise of its own, so that no pattern of it can be learnt by heart
            frame = framed(views[number], lying[number], self.reader.multiple)
            read = self.reader(frame, seed=self.reader.reader.reading.seed + number)
            return read.channels_last()

        return ReadPicture(picture, FeatureCache(maps), lying, seed)

    def _drawn_views(self, subject: Subject, read: ReadPicture) -> DrawnViews:
        resize = resized_ink if subject.made_of == LINES else resized_tones
        ink = resize(subject.ink, size_of(read.image))
        views = views_of(read.image, ink, count=len(read.lying), seed=read.seed)
        place = self.reader.reader.backbone.device
        return DrawnViews(read.maps, [view.ink.to(place) for view in views], read.lying)

    def _moments(self, read: Sequence[ReadPicture], samples: ReadSamples) -> Mapping[str, Moments]:
        views, others = MEASURED
        each = max(1, views // len(read))
        found = [one.maps(i) for one in read for i in range(min(each, len(one.lying)))]
        found += [samples.maps(2 * i) for i in range(min(others, len(samples.pictures)))]
        return moments_of(found)

    def _of_sample(self, picture: Tensor, number: int) -> TwoScaleMaps:
        which, is_view = divmod(number, 2)
        if not is_view:
            return self.reader(picture)
        view = sample_view(picture, torch.ones_like(picture[:, :1]), which, self.seed)
        return self.reader(view.image, seed=self.reader.reader.reading.seed + 7 + which)

    @torch.no_grad()
    def _decoded(self, sample: Sample) -> Tensor:
        backbone = self.reader.reader.backbone
        picture = backbone.decode(sample.noising.clean.to(backbone.device)).clamp(-1, 1)
        return resized(picture.float().cpu(), working_size(size_of(picture), self.side_px))


def _offset(drawer: TwoScaleDrawer, examples: Sequence[DrawnViews]) -> float:
    """The offset with which views of the drawings are inked as much as they were drawn."""
    if drawer.made_of != LINES:
        return 0.0
    logits, inks = [], []
    for example in examples:
        for number in range(max(1, SHOWN // len(examples))):
            if number < len(example.inks) and example.lying[number] == Corner():
                ink = example.inks[number]
                logits.append(drawer.logit(example.maps(number), size_of(ink)))
                inks.append(ink)
    return offset_of(logits, inks)


def sample_view(picture: Tensor, ink: Tensor, number: int, seed: int) -> View:
    """The one view of a sampled picture, and of ink on it."""
    return views_of(picture, ink, count=2, seed=seed + FIRST_SAMPLE + number)[1]


def _undrawn(samples: ReadSamples, number: int, seed: int) -> Undrawn:
    picture = samples.pictures[number]

    def bent(ink: Tensor) -> Tensor:
        height, width = size_of(picture)
        rest = ink[..., :height, :width]
        moved = sample_view(picture, rest.cpu(), number, seed).ink.to(ink)
        return moved if moved.shape == ink.shape else _on_paper(moved, ink)

    return Undrawn(samples.maps(2 * number), samples.maps(2 * number + 1), bent)


def _on_paper(ink: Tensor, frame: Tensor) -> Tensor:
    """Ink in the top left corner of a white frame."""
    whole = torch.ones_like(frame)
    whole[..., : ink.shape[-2], : ink.shape[-1]] = ink
    return whole


def two_scale_training_of(
    job: Job, pictures: SampledPictures, reading: Reading
) -> TwoScaleTraining:
    """Gather what a job's settings name.

    Args:
        job: whose settings and backbone are meant.
        pictures: without a drawing.
        reading: how pictures become features; of timesteps of the user's own all are read.
    """
    config: SketchConfig = job.settings
    backbone = job.backbone
    reader = Reader.of(backbone, reading)
    ranks = tuple(range(len(reading.timesteps))) if reading.chosen_by == OWN else RANKS
    return TwoScaleTraining(
        reader=TwoScaleReader(reader, ranks),
        pictures=pictures,
        iterations=config.iterations,
        learning_rate=config.learning_rate,
        views=config.views,
        side_px=config.side_px,
        seed=job.seed,
        say=job.say,
    )
