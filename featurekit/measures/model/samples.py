"""Are samples what their captions say? Sheets to look at, a colour test, and a CLIP as judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol, TypeAlias

import torch
from PIL import Image
from torch import Tensor

from featurekit.core.types import Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.sample import sample
from featurekit.images.io import image_to_pil, load_image
from featurekit.images.pictures import contact_sheet
from featurekit.measures.held_out import GROUPS, Measured, conditioned, scenes_of, side_px
from featurekit.measures.model.colour_test import (
    ColourTest,
    Phrase,
    calibrate,
    colour_shares,
    phrases,
    recoloured,
    swapped,
)
from featurekit.scenes import TRAINED_KINDS, Scene
from featurekit.scenes.wording import subject

STEPS = 25  # half the usual number: the sheets look the same
GUIDANCE = 3.0  # at which samples are judged
SHEET_GUIDANCES = (1.0, 3.0, 6.0)
SHOWN = 2  # captions of each kind on a sheet, besides the written ones
BATCH = 8
CALIBRATED = 120  # scenes of each kind by which the colour test is calibrated
CALIBRATED_FROM = 5000  # held-out scenes before those; all else that is measured uses fewer
SWAPS = 7  # captions with another colour that the right one must beat
WRITTEN = (
    "a smiling face with short brown hair and a red shirt on a green background",
    "a landscape with a gray snowy mountain and a white house with a red roof under a blue sky",
    "a black cat with a red collar on green ground on a yellow background",
    "a yellow house with a red roof and a blue door under a cyan sky",
    "a large blue star on a pink background",
)


class Clip(Protocol):
    """Whatever embeds pictures and words into one space."""

    def embed_image(self, image: Tensor) -> Tensor:
        """Unit vectors (b d) of images (b 3 h w) in [-1, 1]."""
        ...

    def embed_text(self, texts: list[str]) -> Tensor:
        """Unit vectors (b d) of texts."""
        ...


Row: TypeAlias = dict[str, bool]


@dataclass(frozen=True)
class Judge:
    """Everything by which a picture of a caption is judged."""

    colours: ColourTest
    captions: Mapping[str, str]  # a caption of every subject that scenes are about
    clip: Clip | None

    def rows(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> list[Row]:
        """Judge each picture by its caption; swaps come from the caption, so they repeat."""
        found = []
        for picture, caption in zip(pictures, captions, strict=True):
            row, tested = {}, self.colours.tested(caption)
            if tested:
                shares = colour_shares(picture)
                other = swapped(caption, tested, Random(f"swap {caption}"))
                row["colour"] = self.colours.passes(shares, caption)
                row["colour_control"] = self.colours.passes(shares, other)
            if self.clip is not None:
                row |= self._by_clip(self.clip, picture, caption, tested)
            found.append(row)
        return found

    def _by_clip(
        self, clip: Clip, picture: Image.Image, caption: str, tested: Sequence[Phrase]
    ) -> Row:
        classes = other_subjects(caption, self.captions)
        row = {"clip_class": prefers(clip, picture, caption, classes)}
        if tested:
            rng = Random(f"swaps {caption}")
            others = sorted({swapped(caption, tested, rng) for _ in range(SWAPS)})
            row["clip_colour"] = prefers(clip, picture, caption, others)
            row["clip"] = row["clip_class"] and row["clip_colour"]
        return row


@torch.no_grad()
def measure_samples(
    backbone: Backbone,
    *,
    clip: Clip | None = None,
    count: int = 100,
    steps: int = STEPS,
    seed: int = 0,
    progress: Progress = silent,
) -> Measured:
    """Sample captions of held-out scenes and judge the pictures; draw sheets.

    The colour test is calibrated on other true scenes. It and the CLIP also judge the true
    pictures of the same captions, so that what they get wrong themselves is known.

    Args:
        backbone: a loaded model.
        clip: the judge of class and colour; None leaves its figures out.
        count: captions of trained kinds in all; held-out kinds get an eighth of them.
        steps: DDIM steps of each sample.
        seed: of the noise.
        progress: called after each batch, in pictures.

    Returns:
        Figures ``trained``, ``held_out`` and, by name, ``kinds``. Each has the shares of
        ``samples`` and of ``true`` pictures that pass: ``colour``, ``colour_control`` (with one
        colour of the caption exchanged), and with a CLIP ``clip_class`` (the caption beats those
        of other subjects in the same colours), ``clip_colour`` (it beats itself with one colour
        exchanged) and ``clip`` (both). The sheets are ``samples_guidance_<g>``.
    """
    size, many = side_px(backbone), {"trained": count, "held_out": -(-count // 8)}
    chosen = {group: _scenes(GROUPS[group], number) for group, number in many.items()}
    sheet = sheet_captions()
    total = sum(map(len, chosen.values())) + len(sheet) * len(SHEET_GUIDANCES)
    generator = Sampler(backbone, steps, seed, _Count(progress, total))
    judge = Judge(_calibrated(size), subjects(TRAINED_KINDS), clip)
    figures: dict[str, Any] = {"steps": steps, "guidance": GUIDANCE, "kinds": {}}
    figures["colour_least"] = dict(judge.colours.least)
    for group, scenes in chosen.items():
        captions = [scene.caption() for scene in scenes]
        made = judge.rows(generator(captions, GUIDANCE), captions)
        true = judge.rows([scene.image(size) for scene in scenes], captions)
        kinds = [scene.kind for scene in scenes]
        figures[group] = {"count": len(scenes), **_rates(made, true)}
        figures["kinds"] |= {
            kind: _rates(_of(made, kinds, kind), _of(true, kinds, kind))
            for kind in dict.fromkeys(kinds)
        }
    pictures = {
        f"samples_guidance_{guidance:g}": _sheet(sheet, generator(list(sheet), guidance))
        for guidance in SHEET_GUIDANCES
    }
    return Measured(figures, pictures)


@dataclass(frozen=True)
class Sampler:
    """Pictures of captions; one caption's picture does not depend on the others'."""

    backbone: Backbone
    steps: int
    seed: int
    progress: "_Count"

    def __call__(self, captions: Sequence[str], guidance: float) -> list[Image.Image]:
        """Sample one picture for each caption with the noise of its own number."""
        backbone, found = self.backbone, []
        side = side_px(backbone) // backbone.stride
        schedule = Schedule.ddim(backbone.noise, self.steps)
        for start in range(0, len(captions), BATCH):
            some = captions[start : start + BATCH]
            draws = [torch.Generator().manual_seed(self.seed + start + i) for i in range(len(some))]
            shape = (1, backbone.latent_channels, side, side)
            noise = torch.cat([torch.randn(shape, generator=draw) for draw in draws])
            predict = backbone.predictor(conditioned(backbone, some), guidance)
            image = backbone.decode(sample(predict, noise.to(backbone.device), schedule))
            found += [image_to_pil(one) for one in image]
            self.progress.add(len(some))
        return found


def prefers(clip: Clip, picture: Image.Image, text: str, others: Sequence[str]) -> bool:
    """Whether a picture is closer to a text than to every other one."""
    image = clip.embed_image(load_image(picture))
    scores = (image @ clip.embed_text([text, *others]).T)[0]
    return bool((scores[0] > scores[1:]).all())


def subjects(kinds: Sequence[str], count: int = 40) -> dict[str, str]:
    """A caption for everything that held-out scenes of some kinds are about."""
    found: dict[str, str] = {}
    for kind in kinds:
        for scene in scenes_of(kind, count, skip=CALIBRATED_FROM):
            found.setdefault(subject(scene.caption()), scene.caption())
    return found


def other_subjects(caption: str, captions: Mapping[str, str]) -> list[str]:
    """The captions of all other subjects, in this caption's colours, so that colour is no clue."""
    own = [phrase.colour for phrase in phrases(caption)]
    others = []
    for name, other in captions.items():
        if name == subject(caption):
            continue
        for number, phrase in enumerate(phrases(other)):
            if own:
                other = recoloured(other, phrase.place, own[number % len(own)])
        others.append(other)
    return others


def sheet_captions() -> dict[str, str]:
    """The captions of the sheets, with the kind of scene each is of."""
    found = dict.fromkeys(WRITTEN, "written")
    for kind in (kind for kinds in GROUPS.values() for kind in kinds):
        found |= {scene.caption(): kind for scene in scenes_of(kind, SHOWN)}
    return found


def _scenes(kinds: Sequence[str], count: int) -> list[Scene]:
    each = -(-count // len(kinds))
    return [scene for kind in kinds for scene in scenes_of(kind, each, skip=SHOWN)]


def _calibrated(size: int) -> ColourTest:
    kinds = [kind for members in GROUPS.values() for kind in members]
    scenes = [
        scene for kind in kinds for scene in scenes_of(kind, CALIBRATED, skip=CALIBRATED_FROM)
    ]
    return calibrate([(colour_shares(scene.image(size)), scene.caption()) for scene in scenes])


def _of(rows: Sequence[Row], kinds: Sequence[str], kind: str) -> list[Row]:
    return [row for row, own in zip(rows, kinds, strict=True) if own == kind]


def _rates(made: Sequence[Row], true: Sequence[Row]) -> dict[str, dict[str, float]]:
    return {"samples": _means(made), "true": _means(true)}


def _means(rows: Sequence[Row]) -> dict[str, float]:
    """Share of each verdict among the pictures that it was passed on."""
    names = dict.fromkeys(name for row in rows for name in row)
    found = {}
    for name in names:
        passed = [row[name] for row in rows if name in row]
        found[name] = sum(passed) / len(passed)
    return found


def _sheet(captions: Mapping[str, str], pictures: Sequence[Image.Image]) -> Image.Image:
    rows: dict[str, list[Image.Image]] = {}
    for kind, picture in zip(captions.values(), pictures, strict=True):
        rows.setdefault(kind, []).append(picture)
    return contact_sheet(rows, ())


class _Count:
    """Adds up what several loops report."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def add(self, number: int) -> None:
        self._done += number
        self._progress(self._done, self._total)
