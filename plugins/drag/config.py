"""The schema of ``plugin.*``: every setting of a drag run, typed. No torch.

The defaults here are those of Stable Diffusion 1.x and 2.x, the method's own where it names one.
What is better on other backbones lies in ``conf/backbone_defaults/``; LoRA's are ``backbone.lora``.
"""

from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, get_args

from omegaconf import II

from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.pipeline.config import PluginConfig
from featurekit_drag.engine import settings as engine
from featurekit_drag.engine.combinations import check_parts
from featurekit_drag.engine.settings import (
    FILLS,
    MODES,
    DragSettings,
    PlanSettings,
    RedrawSettings,
    Rule,
    SubDrags,
    WarpSettings,
)

T = TypeVar("T")


@dataclass
class DragConfig(PluginConfig):
    """Settings of one drag run. A unit is a quarter of a feature cell (see settings.py)."""

    name: str = "drag"
    # rows [x0, y0, x1, y1], image px; Any, because a list of lists of float takes no whole number
    points: list[Any] = field(default_factory=list)
    mask: str | None = None  # picture, white may change; none: everything may move
    # what the longer side of the part that is worked on has at most; 0: every picture as it is
    side_px: int | None = 768  # none: the size that the model was made for
    scene: int = 0  # which held-out translation is dragged when no image is given
    scenes: int = 50  # how many held-out scenes ``task=evaluate`` drags, of each sort
    # experiments of drag that ``task=evaluate`` compares; none: these settings alone
    presets: list[str] = field(default_factory=list)
    dataset: str | None = None  # folder of a data set, which ``task=evaluate`` drags in their place
    metric_seeds: int = 1  # how often its features are read, with other noise
    lpips: str | None = None  # weights of LPIPS, for image fidelity; none: it is left out

    # pixel_warp: what moves, and where to
    mode: str = PlanSettings.mode  # auto | move | reshape | copy
    pins: list[Any] = field(default_factory=list)  # rows [x, y], image px, that stay
    regions: list[Any] = field(default_factory=list)  # rows [mask, dx, dy]: brushed, image px
    # maps that tell layers apart; none: what the block in the middle of the network reads
    plan_taps: list[str] = field(default_factory=lambda: list(PlanSettings.taps))
    plan_timestep: int = PlanSettings.timestep
    plan_shifts: int = PlanSettings.shifts  # encodings per axis
    # and how what it uncovers is redrawn
    redraw_steps: int = RedrawSettings.steps
    redraw_strength: float = RedrawSettings.strength  # 0: a smooth fill
    fill: str = RedrawSettings.fill  # auto | model | patches: of the picture around it
    candidates: int = RedrawSettings.candidates
    settle: float = RedrawSettings.settle  # strength at which turned and scaled things are redrawn

    # which part plays each role; engine/composition.py has the tables
    supervision: str = "none"  # current | anchored | template | field | none
    tracking: str = "none"  # nearest | directional | along_line | none
    variable: str = DragSettings.variable  # latent | bottleneck
    schedule: str = DragSettings.schedule  # one_level | alternating | sub_drags
    initialise: str = "pixel_warp"  # none | latent_warp | pixel_warp
    warp: str = DragSettings.warp  # nearest_handle | stretch
    latent_fill: str = DragSettings.latent_fill  # noise | neighbours
    identity: list[str] = field(default_factory=lambda: ["reference"])
    outside: str = "hard"  # leaves the network early; the published penalty needs all of it

    updates: int = Rule.updates  # at each level that is dragged
    levels: int = DragSettings.levels  # alternating: how many are
    learning_rate: float = Rule.learning_rate
    patch_radius: int = Rule.patch_radius
    track_radius: int = Rule.track_radius
    step: float = Rule.step
    stop_distance: float = Rule.stop_distance
    reduction: str = Rule.reduction  # code | paper | gooddrag
    mask_weight: float = Rule.mask_weight
    updates_per_tracking: int = Rule.updates_per_tracking
    patience: int = Rule.patience  # unchanged trackings that end the drag; 0: none do
    revert_above: float = Rule.revert_above  # directional: mean L1 of a handle that is not believed
    expected_loss: float = Rule.expected_loss  # along_line: mean L1 that a move may cost
    farthest: float = Rule.farthest  # along_line: most units of one move
    snap: bool = False

    tap: str = DragSettings.tap
    steps: int = DragSettings.steps
    strength: float = DragSettings.strength
    guidance: float = DragSettings.guidance
    # parts whose self-attention reads the unmoved latent; none: of a transformer all that can
    attention: list[str] = field(default_factory=lambda: list(DragSettings.attention))
    residuals: bool = True
    composite: bool = True
    feather_px: int = 8
    animation_frames: int = 4

    sub_drag_length: float = SubDrags.length  # latent cells
    sub_drag_radius: int = SubDrags.radius  # latent cells
    sub_drag_amplify: float = SubDrags.amplify
    sub_drag_keep: float = SubDrags.keep
    sub_drag_last_guidance: float = SubDrags.last_guidance

    lora_steps: int = II("backbone.lora.steps")
    lora_rank: int = II("backbone.lora.rank")
    lora_alpha: float = II("backbone.lora.alpha")
    lora_learning_rate: float = II("backbone.lora.learning_rate")
    lora_batch: int = II("backbone.lora.batch")

    judge_tap: str = "up1"  # features of the second judge; "": as for no plan_taps
    judge_timestep: int = 261


WORDS = {
    "supervision": get_args(engine.Supervision),
    "tracking": get_args(engine.Tracking),
    "variable": get_args(engine.Variable),
    "schedule": get_args(engine.Timing),
    "initialise": get_args(engine.Initialise),
    "warp": get_args(engine.Warp),
    "latent_fill": get_args(engine.LatentFill),
    "outside": get_args(engine.Outside),
    "reduction": ("code", "paper", "gooddrag"),
    "mode": MODES,
    "fill": FILLS,
}
RANGES = {  # lowest and highest value that makes sense
    "updates": (0, 10_000),
    "learning_rate": (1e-6, 10.0),
    "patch_radius": (0, 64),
    "track_radius": (0, 256),
    "step": (1e-3, 64.0),
    "stop_distance": (1e-3, 1e3),
    "mask_weight": (0.0, 1e6),
    "updates_per_tracking": (1, 1000),
    "patience": (0, 10_000),
    "revert_above": (0.0, 1e6),
    "expected_loss": (1e-6, 1e6),
    "farthest": (1e-3, 1e3),
    "levels": (1, 1000),
    "sub_drag_length": (0.1, 1e3),
    "sub_drag_radius": (1, 256),
    "sub_drag_amplify": (1e-3, 100.0),
    "sub_drag_keep": (0.0, 1.0),
    "sub_drag_last_guidance": (1.0, 50.0),
    "steps": (1, 1000),
    "strength": (1e-3, 1.0),
    "guidance": (1.0, 50.0),
    "feather_px": (0, 512),
    "plan_timestep": (0, 999),
    "plan_shifts": (1, 8),
    "redraw_steps": (1, 1000),
    "redraw_strength": (0.0, 1.0),
    "candidates": (1, 64),
    "settle": (0.0, 1.0),
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
        if value is not None and not low <= value <= high:
            raise ConfigError(f"plugin.{name} must lie in {low:g} to {high:g}, got {value:g}")
    for name, known in WORDS.items():
        if getattr(config, name) not in known:
            raise UnknownNameError(f"plugin.{name}", getattr(config, name), known)


def settings_of(config: DragConfig) -> DragSettings:
    """Gather the frozen settings of one run from the filled schema.

    Raises:
        ConfigError: a number lies outside its range, or parts make no sense together.
        UnknownNameError: no part has that name.
        NoiseLevelError: more levels are to be dragged than are inverted.
    """
    _check(config)
    found = DragSettings(
        rule=_taken(Rule, config),
        sub_drags=SubDrags(
            **{one.name: getattr(config, f"sub_drag_{one.name}") for one in fields(SubDrags)}
        ),
        **{
            one.name: _frozen(getattr(config, one.name))
            for one in fields(DragSettings)
            if one.name not in ("rule", "sub_drags")
        },
    )
    check_parts(found)
    return found


def warp_settings_of(config: DragConfig) -> WarpSettings:
    """Gather the settings of a pixel warp; ``settings_of`` has checked them."""
    return WarpSettings(
        PlanSettings(
            config.mode, tuple(config.plan_taps), config.plan_timestep, config.plan_shifts
        ),
        RedrawSettings(
            config.redraw_steps,
            config.redraw_strength,
            config.candidates,
            tuple(config.attention) if "reference" in config.identity else (),
            config.settle,
            config.fill,
        ),
        feather_px=config.feather_px,
        animation_frames=config.animation_frames,
        side_px=config.side_px or 0,
    )


def _taken(kind: type[T], config: DragConfig) -> T:
    """Fill a record of settings from the fields of the same names."""
    return kind(**{one.name: getattr(config, one.name) for one in fields(kind)})  # type: ignore[arg-type]


def _frozen(value: Any) -> Any:  # noqa: ANN401  # of whatever type the setting has
    return tuple(value) if isinstance(value, list) else value
