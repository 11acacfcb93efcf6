"""The schema of ``plugin.*``: every setting of a drag run, typed. No torch.

The defaults here are those of Stable Diffusion 1.x and 2.x, the method's own where it names one.
What is better on other backbones lies in ``conf/backbone_defaults/``; LoRA's are ``backbone.lora``.
"""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import II

from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.pipeline.config import PluginConfig
from featurekit_drag.engine.settings import DragSettings, Rule


@dataclass
class DragConfig(PluginConfig):
    """Settings of one drag run. A unit is a quarter of a feature cell (see settings.py)."""

    name: str = "drag"
    # rows [x0, y0, x1, y1], image px; Any, because a list of lists of float takes no whole number
    points: list[Any] = field(default_factory=list)
    mask: str | None = None  # picture, white may change; none: everything may move
    # what the longer side of the part that is worked on has at most; 0: every picture as it is
    side_px: int = 768
    scene: int = 1  # which held-out translation is dragged when no image is given
    scenes: int = 24  # how many held-out scenes ``task=evaluate`` drags, of each sort
    dataset: str | None = None  # folder of a data set, which ``task=evaluate`` drags in their place
    metric_seeds: int = 1  # how often its features are read, with other noise
    lpips: str | None = None  # weights of LPIPS, for image fidelity; none: it is left out

    updates: int = Rule.updates
    learning_rate: float = Rule.learning_rate
    patch_radius: int = Rule.patch_radius
    track_radius: int = Rule.track_radius
    step: float = Rule.step
    stop_distance: float = Rule.stop_distance
    reference: str = Rule.reference  # current | initial
    reduction: str = Rule.reduction  # code | paper
    mask_weight: float = Rule.mask_weight
    freeze_outside: bool = True  # leaves the network early; the published mask term needs all of it
    snap: bool = False

    tap: str = DragSettings.tap
    steps: int = DragSettings.steps
    strength: float = DragSettings.strength
    guidance: float = DragSettings.guidance
    attention: list[str] = field(default_factory=lambda: list(DragSettings.attention))
    residuals: bool = True
    composite: bool = True
    feather_px: int = 8
    animation_frames: int = 4

    lora_steps: int = II("backbone.lora.steps")
    lora_rank: int = II("backbone.lora.rank")
    lora_alpha: float = II("backbone.lora.alpha")
    lora_learning_rate: float = II("backbone.lora.learning_rate")
    lora_batch: int = II("backbone.lora.batch")

    judge_tap: str = "up1"  # features of the second judge
    judge_timestep: int = 261


WORDS = {"reference": ("current", "initial"), "reduction": ("code", "paper")}
RANGES = {  # lowest and highest value that makes sense
    "updates": (0, 10_000),
    "learning_rate": (1e-6, 10.0),
    "patch_radius": (0, 64),
    "track_radius": (0, 256),
    "step": (1e-3, 64.0),
    "stop_distance": (1e-3, 1e3),
    "mask_weight": (0.0, 1e6),
    "steps": (1, 1000),
    "strength": (1e-3, 1.0),
    "guidance": (1.0, 50.0),
    "feather_px": (0, 512),
    "side_px": (0, 100_000),
    "animation_frames": (0, 64),
    "lora_steps": (0, 100_000),
    "lora_rank": (1, 1024),
    "lora_alpha": (1e-3, 1e4),
    "lora_learning_rate": (1e-8, 1.0),
    "lora_batch": (1, 1024),
    "scene": (0, 10_000),
    "scenes": (1, 10_000),
    "metric_seeds": (1, 100),
}


def _check(config: DragConfig) -> None:
    for name, (low, high) in RANGES.items():
        value = getattr(config, name)
        if not low <= value <= high:
            raise ConfigError(f"plugin.{name} must lie in {low:g} to {high:g}, got {value:g}")
    for name, known in WORDS.items():
        if getattr(config, name) not in known:
            raise UnknownNameError(f"plugin.{name}", getattr(config, name), known)


def settings_of(config: DragConfig) -> DragSettings:
    """Gather the frozen settings of one run from the filled schema.

    Raises:
        ConfigError: a number lies outside its range, or a word is unknown.
    """
    _check(config)
    rule = Rule(
        patch_radius=config.patch_radius,
        track_radius=config.track_radius,
        step=config.step,
        stop_distance=config.stop_distance,
        reference="initial" if config.reference == "initial" else "current",
        reduction="paper" if config.reduction == "paper" else "code",
        mask_weight=config.mask_weight,
        updates=config.updates,
        learning_rate=config.learning_rate,
    )
    return DragSettings(
        rule=rule,
        tap=config.tap,
        steps=config.steps,
        strength=config.strength,
        guidance=config.guidance,
        attention=tuple(config.attention),
        snap=config.snap,
        freeze_outside=config.freeze_outside,
        residuals=config.residuals,
        feather_px=config.feather_px,
        composite=config.composite,
        animation_frames=config.animation_frames,
    )
