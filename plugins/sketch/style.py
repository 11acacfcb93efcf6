"""The style file: a trained sketch network with everything that is needed to draw with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

from featurekit.errors import ConfigError
from featurekit.io import read_metadata, read_tensors, write_tensors

FAMILY, VERSION = "featurekit.style", "1"
POLARITY = "dark lines on white paper"


@dataclass(frozen=True, eq=False)
class Style:
    """A style that was learnt from one drawing."""

    state: Mapping[str, Tensor]  # of the network, by parameter
    backbone: str
    weights: str  # ``digest`` of the backbone's weight files
    timesteps: tuple[int, ...]
    channels: Mapping[str, int]  # of every map, by tap
    sources: tuple[str, ...]
    image_size: tuple[int, int]  # of the drawn picture, (h, w) px
    features: str  # how pictures are read: noise or inversion
    steps: int
    seed: int
    prompt: str
    polarity: str = POLARITY


def digest(weights: Mapping[str, str]) -> str:
    """One SHA-256 (hex) for all weight files of a backbone; empty if there are none."""
    return sha256(json.dumps(dict(weights), sort_keys=True).encode()).hexdigest() if weights else ""


def save_style(style: Style, path: Path | str) -> Path:
    """Write a style file as a whole.

    Raises:
        OutputError: the file cannot be written.
    """
    told = {one.name: getattr(style, one.name) for one in fields(style) if one.name != "state"}
    words = {"format": f"{FAMILY}/{VERSION}", "style": json.dumps(told)}
    return write_tensors(style.state, path, words)


def load_style(path: Path | str, backbone: str, weights: str) -> Style:
    """Read a style file for a backbone.

    Args:
        path: file of ``save_style``.
        backbone: name of the backbone that is to draw.
        weights: ``digest`` of its weight files.

    Raises:
        ConfigError: the file is missing, damaged or no style, or is of another version, backbone
            or weights.
    """
    words = read_metadata(path)
    family, _, version = words.get("format", "").partition("/")
    if family != FAMILY:
        raise ConfigError(
            f"a style must be a file that task=train wrote, but {str(path)!r} is none; "
            f"give its style.safetensors"
        )
    if version != VERSION:
        raise ConfigError(
            f"a style file must have version {VERSION}, {str(path)!r} has {version!r}; "
            f"learn the style again, or use the featurekit that wrote it"
        )
    state = read_tensors(path)
    try:
        told = json.loads(words["style"])
        style = _style(told, state)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"a style file must tell how it draws, but {str(path)!r} does not ({error}); "
            f"learn the style again"
        ) from error
    _refuse_stranger(style, path, backbone, weights)
    return style


def _style(told: Mapping[str, Any], state: Mapping[str, Tensor]) -> Style:
    rows = {name: tuple(told[name]) for name in ("timesteps", "sources", "image_size")}
    return Style(state=state, **{**told, **rows})


def _refuse_stranger(style: Style, path: Path | str, backbone: str, weights: str) -> None:
    if style.backbone != backbone:
        raise ConfigError(
            f"a style draws on the backbone that it was learnt on, {str(path)!r} is of "
            f"{style.backbone!r}, got {backbone!r}; give backbone={style.backbone}"
        )
    if style.weights != weights:
        raise ConfigError(
            f"a style draws with the weights that it was learnt on, {str(path)!r} is of others of "
            f"{backbone!r}; learn the style again, or use those weights"
        )
    broken = [name for name, one in style.state.items() if not bool(one.isfinite().all())]
    if broken:
        raise ConfigError(
            f"a style must have finite weights, {str(path)!r} has NaN or infinity in "
            f"{broken[0]!r}; learn the style again"
        )
