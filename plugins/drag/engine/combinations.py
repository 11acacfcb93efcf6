"""Which parts go together; told in one sentence before any weights are read. Imports no torch."""

from featurekit.core.errors import ConfigError, NoiseLevelError
from featurekit_drag.engine.settings import DragSettings

IDENTITIES = ("lora", "reference", "stored")


def check_parts(settings: DragSettings) -> None:
    """Refuse parts that make no sense together.

    Raises:
        ConfigError: a part needs, or cannot have, another one.
        NoiseLevelError: more levels are to be dragged than the strength inverts.
    """
    _check_pixel_warp(settings)
    _check_motion(settings)
    _check_variable(settings)
    _check_schedule(settings)
    unknown = [word for word in settings.identity if word not in IDENTITIES]
    if unknown or len(set(settings.identity)) < len(settings.identity):
        raise ConfigError(
            f"plugin.identity must list some of {', '.join(IDENTITIES)}, each once, "
            f"got {list(settings.identity)}"
        )
    if {"reference", "stored"} <= set(settings.identity):
        raise ConfigError(
            "plugin.identity must have one source of keys and values, got reference (denoised "
            "beside the edit) and stored (of the inversion); leave one out"
        )


def _check_pixel_warp(settings: DragSettings) -> None:
    if settings.initialise != "pixel_warp":
        return
    wanted = {
        "supervision": (settings.rule.supervision, "none"),
        "tracking": (settings.rule.tracking, "none"),
        "schedule": (settings.schedule, "one_level"),
        "variable": (settings.variable, "latent"),
    }
    for name, (got, must) in wanted.items():
        if got != must:
            raise ConfigError(
                f"plugin.{name} must be {must} with plugin.initialise=pixel_warp, which moves "
                f"pixels and optimises nothing, got {got}; plugin.initialise=none, or a whole "
                f"method as experiment=drag_dragdiffusion"
            )
    if set(settings.identity) - {"reference"}:
        raise ConfigError(
            "plugin.identity must be [reference] or [] with plugin.initialise=pixel_warp, which "
            f"fits no LoRA and inverts nothing, got {list(settings.identity)}"
        )


def _check_motion(settings: DragSettings) -> None:
    rule = settings.rule
    pairs = {"template": "along_line", "none": "none"}
    for supervision, tracking in pairs.items():
        if (rule.supervision == supervision) != (rule.tracking == tracking):
            raise ConfigError(
                f"plugin.supervision={supervision} and plugin.tracking={tracking} must go "
                f"together, got supervision={rule.supervision} and tracking={rule.tracking}; "
                f"set both or neither"
            )
    warped = settings.initialise != "none" or settings.schedule == "sub_drags"
    if rule.supervision == "none" and not warped:
        raise ConfigError(
            "plugin.supervision=none must leave the moving to plugin.initialise=latent_warp or "
            "plugin.schedule=sub_drags, got neither; nothing would move"
        )


def _check_variable(settings: DragSettings) -> None:
    if settings.variable != "bottleneck":
        return
    if settings.outside == "hard":
        raise ConfigError(
            "plugin.variable=bottleneck must have plugin.outside=penalty, got hard: a cell of the "
            "bottleneck reaches far beyond a mask's border; plugin.composite=true still gives the "
            "picture's own pixels there"
        )
    if settings.schedule != "one_level" or settings.rule.supervision == "none":
        raise ConfigError(
            "plugin.variable=bottleneck must be dragged at one level by a supervision, got "
            f"schedule={settings.schedule} and supervision={settings.rule.supervision}"
        )


def _check_schedule(settings: DragSettings) -> None:
    rule, level = settings.rule, round(settings.strength * settings.steps)
    if settings.schedule != "alternating" and settings.levels != 1:
        raise ConfigError(
            f"plugin.levels must be 1 with plugin.schedule={settings.schedule}, "
            f"got {settings.levels}; use plugin.schedule=alternating"
        )
    if settings.schedule == "alternating" and rule.supervision in ("template", "none"):
        raise ConfigError(
            "plugin.schedule=alternating must be supervised by current, anchored or field, "
            f"got {rule.supervision}"
        )
    if settings.levels > max(level, 1):
        raise NoiseLevelError(
            f"plugin.levels must be at most the {level} levels that plugin.strength of "
            f"plugin.steps inverts, got {settings.levels}"
        )
    if settings.schedule != "sub_drags":
        return
    if rule.supervision != "none" or settings.initialise != "none":
        raise ConfigError(
            "plugin.schedule=sub_drags must have plugin.supervision=none, plugin.tracking=none "
            f"and plugin.initialise=none, got supervision={rule.supervision} and "
            f"initialise={settings.initialise}: it carries latents and optimises nothing"
        )
    attending = sorted({"reference", "stored"} & set(settings.identity))
    if attending:
        raise ConfigError(
            f"plugin.schedule=sub_drags must have no {attending[0]} in plugin.identity: each piece "
            f"begins from the edit before it; plugin.identity=[lora] or []"
        )
