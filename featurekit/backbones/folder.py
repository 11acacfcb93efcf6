"""What a diffusers folder must hold, and where its parts lie. Imports no torch."""

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from featurekit.backbones.layout.config_fields import filled
from featurekit.backbones.layout.other_folders import INDEX, refusal
from featurekit.core.errors import BackboneError

CONFIGS: Mapping[str, str] = MappingProxyType(
    {
        "unet": "unet/config.json",
        "vae": "vae/config.json",
        "text_encoder": "text_encoder/config.json",
        "scheduler": "scheduler/scheduler_config.json",
    }
)
SECOND_CONFIG = {"text_encoder_2": "text_encoder_2/config.json"}  # of a model with two encoders
PIPELINE = INDEX  # how diffusers' pipeline puts the parts together; may be missing
_BUNDLED = ("sd15", "sd21", "sdxl")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def embedded_folder() -> Path:
    """Find the diffusers folder of the model that ships with the package.

    Returns:
        Folder in the installed package.

    Raises:
        BackboneError: the package was installed without its data, or runs from an archive.
    """
    folder = files("featurekit") / "weights" / "embedded"
    if not isinstance(folder, Path) or not folder.is_dir():
        raise BackboneError(
            f"the embedded model must lie beside the package, found no folder {folder}; "
            f"install the package from its wheel, unpacked"
        )
    return folder


def bundled_configs(name: str) -> dict[str, dict[str, Any]]:
    """Read the configs of a known family: facts about its networks, no weights.

    Args:
        name: ``sd15``, ``sd21`` or ``sdxl``.

    Returns:
        Config by part: unet, vae, text_encoder, scheduler; of ``sdxl`` also text_encoder_2 and
        pipeline.

    Raises:
        BackboneError: no configs of that name are bundled.
    """
    if name not in _BUNDLED:
        raise BackboneError(f"configs are bundled for {', '.join(_BUNDLED)}, got {name!r}")
    text = (files("featurekit") / "backbones" / "configs" / f"{name}.json").read_text("utf-8")
    configs: dict[str, dict[str, Any]] = json.loads(text)
    return {part: filled(config, part) for part, config in configs.items()}


def read_config(folder: Path, part: str) -> dict[str, Any]:
    """Read the config of one part of a diffusers folder.

    Args:
        folder: a diffusers folder.
        part: ``unet``, ``vae``, ``text_encoder``, ``text_encoder_2`` or ``scheduler``.

    Returns:
        The mapping that the JSON file holds, with the class's defaults of what is read here.

    Raises:
        BackboneError: the file is missing, is no JSON, or is no mapping.
    """
    place = {**CONFIGS, **SECOND_CONFIG}[part]
    if not (folder / place).is_file():
        needed = dict.fromkeys((*CONFIGS.values(), place))
        raise BackboneError(refusal(folder, place, ", ".join(needed)))
    return filled(_mapping(folder / place), part)


def read_pipeline(folder: Path) -> dict[str, Any]:
    """Read what the pipeline of a diffusers folder says about itself.

    Args:
        folder: a diffusers folder.

    Returns:
        The mapping of ``model_index.json``; empty where there is none.

    Raises:
        BackboneError: the file is no JSON, or is no mapping.
    """
    path = folder / PIPELINE
    return _mapping(path) if path.is_file() else {}


def _mapping(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path} must be readable JSON, got: {error}") from error
    if not isinstance(config, dict):
        raise BackboneError(f"{path} must hold a JSON object, got {type(config).__name__}")
    return config


def has_transformer(folder: Path) -> bool:
    """Tell a model with a transformer in the place of a UNet.

    Args:
        folder: a diffusers folder.

    Returns:
        True if its index names a transformer and no UNet.

    Raises:
        BackboneError: the index is no JSON, or is no mapping.
    """
    index = read_pipeline(folder)
    return "transformer" in index and "unet" not in index


def has_two_encoders(folder: Path) -> bool:
    """Tell Stable Diffusion XL and what is shaped like it from the smaller ones.

    Args:
        folder: a diffusers folder.

    Returns:
        True if the UNet takes a pooled text embedding and sizes besides the states.

    Raises:
        BackboneError: as for ``read_config``.
    """
    return read_config(folder, "unet").get("addition_embed_type") == "text_time"


def read_configs(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the config of every part.

    Args:
        folder: a diffusers folder.

    Returns:
        Config by part: unet, vae, text_encoder, scheduler.

    Raises:
        BackboneError: as for ``read_config``.
    """
    return {part: read_config(folder, part) for part in CONFIGS}


def is_hub_id(source: str) -> bool:
    """Tell whether a text has the form of a hub id.

    Args:
        source: what the user wrote.

    Returns:
        True for ``owner/name``; such a text may be a relative path as well.
    """
    return _HUB_ID.fullmatch(source) is not None
