"""The settings of presets inside a run, as the command line would compose them."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from featurekit.core.errors import ConfigError
from featurekit.pipeline.config import compose
from featurekit.pipeline.run import resolved
from featurekit_drag.config import DragConfig

NO_PRESET = "none"  # the choice of ``experiment`` that changes nothing
OF_PRESETS = ("plugin", "out")  # root keys; out holds the time


def settings_of_presets(asked: DragConfig, backbone: str) -> Mapping[str, DragConfig]:
    """Compose the settings of each of ``plugin.presets`` on a backbone.

    What a run sets otherwise than its backbone's defaults stands above every preset, as it does
    on the command line.

    Args:
        asked: the settings of the run.
        backbone: what the settings call the model, or its folder.

    Raises:
        ConfigError: a preset is named twice, or sets more than ``plugin.*``.
        UnknownNameError: there is no such preset of drag.
    """
    if not asked.presets:
        return {}
    if len(set(asked.presets)) < len(asked.presets):
        raise ConfigError(f"plugin.presets must name each preset once, got {asked.presets}")
    usual, defaults = _composed(NO_PRESET, backbone), own_settings(backbone)
    wanted = {
        field.name: getattr(asked, field.name)
        for field in fields(DragConfig)
        if getattr(asked, field.name) != getattr(defaults, field.name)
    }
    made = {}
    for preset in asked.presets:
        found = _composed(preset, backbone)
        other = [key for key in found if key not in OF_PRESETS and found[key] != usual[key]]
        if other:
            raise ConfigError(
                f"presets that are compared may set plugin.* only, {preset} sets "
                f"{', '.join(other)}; run it alone with experiment={preset}"
            )
        made[preset] = replace(DragConfig(**found["plugin"]), **wanted)
    return made


def own_settings(backbone: str) -> DragConfig:
    """Compose what drag takes on a backbone where nothing else is asked for.

    Args:
        backbone: what the settings call the model, or its folder.
    """
    return DragConfig(**_composed(NO_PRESET, backbone)["plugin"])


def _composed(preset: str, backbone: str) -> dict[str, Any]:
    return resolved(compose(["plugin=drag", f"experiment={preset}", f"backbone={backbone}"]))
