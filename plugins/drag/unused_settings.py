"""Settings that a way of dragging would not use: refused where they were changed, never ignored."""

from dataclasses import fields

from featurekit.core.errors import ConfigError
from featurekit_drag.config import DragConfig
from featurekit_drag.engine.settings import DragSettings, Rule, SubDrags
from featurekit_drag.presets import own_settings

SHARED = ("attention", "identity", "initialise", "feather_px", "animation_frames")
CHOICES = ("supervision", "tracking", "variable", "schedule", "outside", "rule", "sub_drags")
OF_LATENTS = (
    *(one.name for kind in (Rule, DragSettings) for one in fields(kind)),
    *(f"sub_drag_{one.name}" for one in fields(SubDrags)),
    *("lora_steps", "lora_rank", "lora_alpha", "lora_learning_rate", "lora_batch"),
)
OF_PIXELS = (
    *("mode", "pins", "regions", "plan_taps", "plan_timestep", "plan_shifts"),
    *("redraw_steps", "redraw_strength", "candidates", "fill", "settle"),
)


def check_used(config: DragConfig, backbone: str) -> None:
    """Refuse what was set and would change nothing.

    Args:
        config: all settings of a run.
        backbone: what the settings call the model, or its folder.

    Raises:
        ConfigError: a setting of the methods that drag latents stands beside a warp of pixels, or
            the other way round.
    """
    if config.initialise == "pixel_warp":
        names = [name for name in OF_LATENTS if name not in (*SHARED, *CHOICES)]
        advice = "choose a method that drags the latent, as experiment=drag_dragdiffusion"
    else:
        names, advice = list(OF_PIXELS), "plugin.initialise=pixel_warp has it"
    usual = own_settings(backbone)
    for name in names:
        value = getattr(config, name)
        if value != getattr(usual, name):
            raise ConfigError(
                f"plugin.{name} must be left out with plugin.initialise={config.initialise}, which "
                f"does not use it, got {value}; {advice}"
            )
