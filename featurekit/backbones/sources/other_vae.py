"""Another autoencoder in the place of a model's own: a folder of diffusers, or one file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch

from featurekit.backbones.layout.config_fields import filled
from featurekit.backbones.layout.weight_files import files_at
from featurekit.backbones.single_file.header import Header, read_header
from featurekit.backbones.single_file.networks import read_vae, vae_place
from featurekit.backbones.single_file.other_kinds import other_kind
from featurekit.backbones.sources.networks import check_intact, read_network
from featurekit.backbones.sources.parts import Read
from featurekit.backbones.stock import vae_dtype
from featurekit.core.errors import BackboneError

_STEM, _CONFIG = "diffusion_pytorch_model", "config.json"
_KIND = "AutoencoderKL"
_CHANNELS = ("latent_channels", "z_dim")  # what configs call the channels of a latent


def other_vae(
    path: Path, own: Mapping[str, Any], kind: str = _KIND
) -> tuple[Mapping[str, Any], Read]:
    """Find an autoencoder; of its weights nothing is read yet.

    Args:
        path: folder of one, diffusers folder of a whole model, or a file with an
            ``AutoencoderKL`` alone or among other parts.
        own: config of the model's own, by which a file without a config is read.
        kind: class of diffusers that it must be of, that of the model's own.

    Returns:
        Its config, and what reads it.

    Raises:
        BackboneError: there is no such thing, it holds none, or one of another class.
    """
    path = path.expanduser()
    if path.is_file():
        return _of_file(path, own, kind)
    for place in (path, path / "vae"):
        if (place / _CONFIG).is_file():
            return _of_folder(place, kind)
    raise BackboneError(
        f"vae must be the folder of an {kind} with its {_CONFIG}, a whole diffusers folder, or a "
        f".safetensors file, got {str(path)!r}, which is none of these"
    )


def same_channels(config: Mapping[str, Any], own: Mapping[str, Any], of: str) -> None:
    """Refuse an autoencoder whose latents have another number of channels.

    Args:
        config: its config.
        own: that of the one in whose place it is to be.
        of: what the model is, for the message.

    Raises:
        BackboneError: they have.
    """
    found, wanted = ([one.get(key) for key in _CHANNELS] for one in (config, own))
    if found != wanted:
        raise BackboneError(
            f"vae must make latents of {next(filter(None, wanted), 'unknown')} channels, as "
            f"{of} takes them, got one of {next(filter(None, found), 'unknown')}; give one that "
            f"was trained for this model"
        )


def _of_folder(place: Path, kind: str) -> tuple[Mapping[str, Any], Read]:
    config = _config(place / _CONFIG, kind)

    def read(dtype: torch.dtype) -> tuple[Any, Mapping[str, Path]]:
        found = files_at(place / _STEM)
        for path in found.paths:
            check_intact(path)
        network = read_network(getattr(diffusers, kind), place, found, vae_dtype(config, dtype))
        return network, {f"vae/{path.name}": path for path in found.paths}

    return config, read


def _of_file(path: Path, own: Mapping[str, Any], kind: str) -> tuple[Mapping[str, Any], Read]:
    header = read_header(path)
    if kind != _KIND:
        raise BackboneError(
            f"vae must be the folder of an {kind}, of which no file is read, got {str(path)!r}; "
            f"name the folder in which its {_CONFIG} lies"
        )
    if vae_place(header) is None:
        raise BackboneError(
            f"vae must be an {_KIND}, as Stable Diffusion has one, {path} holds {_named(header)}"
        )
    beside = path.parent / _CONFIG
    config = _config(beside, kind) if beside.is_file() else own

    def read(dtype: torch.dtype) -> tuple[Any, Mapping[str, Path]]:
        return read_vae(header, {"vae": config}, dtype), {f"vae/{path.name}": path}

    return config, read


def _named(header: Header) -> str:
    return other_kind(header).partition(";")[0]


def _config(path: Path, kind: str) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path} must be readable JSON, got: {error}") from error
    said = config.get("_class_name", kind) if isinstance(config, dict) else type(config).__name__
    if said not in (kind, f"Flax{kind}"):
        raise BackboneError(
            f"vae must be an {kind}, as the model's own is, {path.parent} holds an {said}; give "
            f"the autoencoder that the model was trained with"
        )
    return filled(config, "vae") if kind == _KIND else config
