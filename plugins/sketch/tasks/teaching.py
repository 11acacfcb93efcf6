"""What draws the pairs that a student learns from, in one process or in many."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import sha256_of
from featurekit.core.sharding import Share
from featurekit.core.types import Job, Progress
from featurekit_sketch.bundled_styles import style_file
from featurekit_sketch.config import SketchConfig, tiling_of
from featurekit_sketch.distillation.pairs import Shards, draw_shards
from featurekit_sketch.distillation.sources import (
    Pictures,
    photographs,
    sampled,
    scenes_of_the_world,
)
from featurekit_sketch.drawer import Drawer
from featurekit_sketch.settings import LINES, WORLD
from featurekit_sketch.tasks.drawers import drawer_of
from featurekit_sketch.training.style_file import Style, digest, load_style
from featurekit_sketch.training.style_training import pictures_of

PAIRS, SAMPLES = "pairs", "samples"  # folders of what is kept


@dataclass(frozen=True, eq=False)
class Teaching:
    """What draws the pairs, and of which pictures."""

    style: Style
    made_of: str  # digest of the style's file
    side_px: int
    teacher: Drawer
    pictures: Pictures
    key: str  # tells these pairs from others


def teaching_of(job: Job) -> Teaching:
    """Make ready to draw pairs; pictures of the model's own are sampled, or read where they are.

    Raises:
        ConfigError: the style cannot be used, or draws no lines.
        ImageError: there is no picture.
    """
    config: SketchConfig = job.settings
    style = _lines_style(job)
    side_px, made_of = working_side(style, config), sha256_of(style_of(job))
    teacher, pictures = (
        drawer_of(style, job.backbone, tiling_of(config)),
        _pictures(job, style, side_px),
    )
    tiles = [] if style.side_px else [config.tile_px, config.overlap_px]
    key = condensed([made_of, side_px, pictures.key, *tiles])
    return Teaching(style, made_of, side_px, teacher, pictures, key)


def drawn_share(
    job: Job, share: Share, progress: Progress, *, shards: Shards, at_hand: Teaching | None
) -> dict[str, str]:
    """Draw a worker's share of the pairs.

    Args:
        job: with its backbone.
        share: this worker's.
        progress: told after each of its pictures.
        shards: of all workers.
        at_hand: what draws, where it is this process that has made it.

    Returns:
        Reasons by name of its pictures that cannot be read.

    Raises:
        FeatureKitError: as ``teaching_of`` and ``draw_shards``.
    """
    teaching = at_hand or teaching_of(job)
    own = {number: names for i, (number, names) in enumerate(shards.items()) if share.owns(i)}
    into = job.out / PAIRS, teaching.key
    return draw_shards(own, teaching.pictures, teaching.teacher, into=into, progress=progress)


def sampled_share(job: Job, share: Share, progress: Progress) -> None:
    """Sample a worker's share of the model's own pictures."""
    sampler = pictures_of(job, count=job.settings.pairs)
    sampler.fill(_lines_style(job).prompt, job.out / SAMPLES, share=share, progress=progress)


def _lines_style(job: Job) -> Style:
    style = load_style(style_of(job), job.backbone.name, digest(job.backbone.weights))
    check_lines(style)
    return style


def style_of(job: Job) -> Path:
    """The file of the style; a backbone is not needed.

    Raises:
        ConfigError: none is given.
    """
    if job.settings.style is None:
        raise ConfigError(
            "task=distil needs the style that a student is to draw in, got none; give "
            "plugin.style=FILE, the style.safetensors that task=train wrote"
        )
    return style_file(job.settings.style)


def check_lines(style: Style) -> None:
    """Refuse a style that a student could not learn.

    Raises:
        ConfigError: it draws colours or greys.
    """
    if style.made_of != LINES or style.ink_channels != 1:
        raise ConfigError(
            f"a student learns to draw lines, but the style draws {style.made_of} in "
            f"{style.ink_channels} channels; draw with the style itself, by task=extract"
        )


def working_side(style: Style, config: SketchConfig) -> int:
    """Side of a square picture of a pair, px."""
    return style.side_px or config.tile_px


def _pictures(job: Job, style: Style, side_px: int) -> Pictures:
    """What a student learns from: the user's photographs, the world, or the model's pictures."""
    config: SketchConfig = job.settings
    if job.image is not None:
        return photographs(job.image, side_px=side_px, columns=config.columns)
    if config.pairs_of == WORLD:
        return scenes_of_the_world(config.pairs, side_px=side_px)
    sampler = pictures_of(job, count=config.pairs)
    samples = sampler(style.prompt, job.out / SAMPLES, job.stage)
    key = sampler.key(job.backbone.embed(style.prompt))
    return sampled(samples, job.backbone, side_px=side_px, key=key)


def condensed(facts: Sequence[object]) -> str:
    """Sixteen hex digits that stand for some facts."""
    return sha256(json.dumps(facts).encode()).hexdigest()[:16]
