"""The schema of ``plugin.*``: every setting of a sketch run, typed. No torch.

The defaults here are the published amounts, and those of Stable Diffusion 1.x and 2.x. What is
better on other backbones lies in ``conf/backbone_defaults/``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.pipeline.config import PluginConfig
from featurekit_sketch.settings import (
    ANALYSED,
    BOTH,
    ENOUGH,
    FEATURES,
    INKS,
    LINES,
    NETWORKS,
    OWN,
    PAIRS_OF,
    PUBLISHED,
    RANDOM,
    SAMPLED,
    SOURCES,
    TWO_SCALES,
    Learning,
    Reading,
    Sampling,
    Tiling,
    Weights,
)


@dataclass
class SketchConfig(PluginConfig):
    """Settings of one sketch run; px are pixels of the picture."""

    name: str = "sketch"
    drawing: str | None = None  # the drawing of ``image``; none: a bundled scene is learnt
    drawings: list[str] = field(default_factory=list)  # of ``image`` in several styles
    examples: list[Any] = field(default_factory=list)  # [picture, drawing]s of one style
    ink: str = LINES  # lines | grey | colour: what drawings are made of
    fit: bool = False  # mend a drawing that is inverted, of another size or a little moved
    targets: list[str] = field(default_factory=list)  # pictures to sketch after the training
    style: str | None = None  # style file that ``task=extract`` draws in; a folder of those mixed
    mix: Any = None  # shares of styles by name, as {a: 0.7, b: 0.3}

    scene: int = 0  # which face of the seeds for training is drawn, where no image is given
    drawing_style: str = "brush"  # in which of the world's drawing styles
    tests: int = 16  # held-out scenes of each kind, or pictures of ``dataset``, that are compared
    dataset: str | None = None  # folder of a data set that ``task=evaluate`` draws in their place
    edge_model: str | None = None  # "module:callable" that draws its truth where it has none

    network: str = PUBLISHED  # published | released | two_scales
    sources: str = BOTH  # both | unet | vae: whose maps are learnt from
    side_px: int = 512  # of a square picture at the size that two_scales works at
    features: str = Reading.kind  # noise | inversion
    steps: int = Reading.steps
    timesteps: Any = PUBLISHED  # published | analysed | random | [train timesteps]
    samples: int = 1200
    guidance: float | None = Sampling.guidance  # none: that of the family's own pipeline
    fade: float = Sampling.fade
    prior: str | None = None  # file of ``featurekit fit-prior``; none: the world's captions

    iterations: int = Learning.iterations
    learning_rate: float = Learning.learning_rate
    cool_down: float = Learning.cool_down
    mixing: float = Learning.mixing
    views: int = Learning.views
    checkpointed: bool = True  # a few GB less
    l1: float = Weights.l1
    perceptual: float = Weights.perceptual
    clip: float = Weights.clip
    across: float = Weights.across
    within: float = Weights.within
    lines: float = Weights.lines
    consistency: float = Weights.consistency
    contrast: float = 1.0
    clip_model: str | None = None  # open_clip folder or hub id; none: the shipped one
    lpips: str | None = None  # safetensors of LPIPS; none: features of the CLIP model

    tile_px: int = Tiling.side_px
    overlap_px: int = Tiling.overlap_px

    columns: list[str] = field(default_factory=list)  # of a parquet file: ids, pictures
    student: str | None = None  # of ``task=distil``; ``task=extract`` draws with it
    svg: bool = False  # write each sketch as an SVG too
    pairs_of: str = SAMPLED  # sampled | world: what a student learns from without photographs
    pairs: int = 600  # of those
    student_iterations: int = 3000
    onnx: bool = False  # write the student for other programs too


RANGES = {  # lowest and highest value that makes sense
    "side_px": (32, 2048),
    "scene": (0, 10_000),
    "tests": (1, 1_000_000),
    "steps": (ENOUGH, 1000),
    "samples": (0, 100_000),
    "guidance": (1.0, 50.0),
    "fade": (1e-3, 1.0),
    "iterations": (1, 1_000_000),
    "learning_rate": (1e-7, 1.0),
    "cool_down": (0.0, 1.0),
    "mixing": (0.0, 1e3),
    "views": (1, 1024),
    "l1": (0.0, 1e4),
    "perceptual": (0.0, 1e4),
    "clip": (0.0, 1e4),
    "across": (0.0, 1e4),
    "within": (0.0, 1e4),
    "lines": (0.0, 1e4),
    "consistency": (0.0, 1e4),
    "contrast": (0.1, 10.0),
    "tile_px": (32, 4096),
    "overlap_px": (0, 2048),
    "pairs": (2, 1_000_000),
    "student_iterations": (1, 1_000_000),
}

WORDS: Mapping[str, Collection[str]] = {  # settings of a closed set of words
    "features": FEATURES,
    "network": NETWORKS,
    "sources": SOURCES,
    "ink": INKS,
    "pairs_of": PAIRS_OF,
}


def check(config: SketchConfig) -> None:
    """Refuse what no run could use.

    Raises:
        ConfigError: a number lies outside its range.
        UnknownNameError: a word is unknown.
    """
    for name, (low, high) in RANGES.items():
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            raise ConfigError(f"plugin.{name} must lie in {low:g} to {high:g}, got {value:g}")
    for name, known in WORDS.items():
        if getattr(config, name) not in known:
            raise UnknownNameError(f"plugin.{name}", getattr(config, name), known)
    if config.overlap_px >= config.tile_px:
        raise ConfigError(
            f"plugin.overlap_px must be less than plugin.tile_px {config.tile_px}, "
            f"got {config.overlap_px}"
        )
    _check_timesteps(config.timesteps)
    _check_together(config)


def _check_timesteps(asked: object) -> None:
    if asked in (PUBLISHED, ANALYSED, RANDOM):
        return
    listed = asked if isinstance(asked, list) else []
    whole = [one for one in listed if isinstance(one, int) and not isinstance(one, bool)]
    rises = all(a < b for a, b in pairwise(whole))
    if not whole or len(whole) < len(listed) or whole[0] < 0 or not rises:
        raise ConfigError(
            f"plugin.timesteps must be {PUBLISHED}, {ANALYSED}, {RANDOM} or train timesteps that "
            f"rise, as [51,301], got {asked!r}"
        )


def _check_together(config: SketchConfig) -> None:
    if config.ink != LINES and (config.fit or config.network != TWO_SCALES):
        found = "plugin.fit=true" if config.fit else f"plugin.network={config.network}"
        raise ConfigError(
            f"drawings with plugin.ink={config.ink} are learnt as they are, by "
            f"plugin.network=two_scales, got {found}; leave out one of them"
        )
    if config.timesteps == RANDOM and config.network == TWO_SCALES:
        raise ConfigError(
            "plugin.timesteps=random is of plugin.network=published and released, got two_scales, "
            "which reads few timesteps; choose another of them"
        )
    if config.mix is not None:
        _check_mix(config.mix)


def _check_mix(mix: object) -> None:
    shares = list(mix.values()) if isinstance(mix, dict) else [None]
    numbers = [one for one in shares if isinstance(one, int | float)]
    if not numbers or len(numbers) < len(shares) or min(numbers) < 0 or sum(numbers) <= 0:
        raise ConfigError(
            f"plugin.mix must be shares of styles by name, none negative and one more than 0, as "
            f"{{a: 0.7, b: 0.3}}, got {mix!r}"
        )


def reading_of(config: SketchConfig, seed: int) -> Reading:
    """How pictures become features, but for timesteps that an analysis has yet to choose."""
    if isinstance(config.timesteps, list):
        return Reading(config.features, config.steps, seed, tuple(config.timesteps), OWN)
    if config.timesteps == RANDOM:
        return Reading(config.features, config.steps, seed, chosen_by=RANDOM)
    return Reading(config.features, config.steps, seed)


def sampling_of(config: SketchConfig, usual_guidance: float) -> Sampling:
    """How pictures without a drawing are made.

    Args:
        config: all settings.
        usual_guidance: of the model's family, where the settings name none.
    """
    guidance = usual_guidance if config.guidance is None else config.guidance
    return Sampling(config.samples, guidance, config.fade)


def learning_of(config: SketchConfig) -> Learning:
    """How a style is learnt."""
    return Learning(
        iterations=config.iterations,
        learning_rate=config.learning_rate,
        cool_down=config.cool_down,
        mixing=config.mixing,
        views=config.views,
        checkpointed=config.checkpointed,
        weights=Weights(
            l1=config.l1,
            perceptual=config.perceptual,
            clip=config.clip,
            across=config.across,
            within=config.within,
            lines=config.lines,
            consistency=config.consistency,
        ),
    )


def tiling_of(config: SketchConfig) -> Tiling:
    """How a large picture is cut."""
    return Tiling(config.tile_px, config.overlap_px)
