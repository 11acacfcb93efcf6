"""The networks of one file, renamed by diffusers' own converters. No network is asked.

Every weight must find its place: a converter passes over what it does not know.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    create_diffusers_clip_model_from_ldm,
)
from safetensors import safe_open
from torch import Tensor

from featurekit.backbones.single_file.header import Header
from featurekit.backbones.single_file.kinds import GUIDANCE, UNET, VAE, WORDS, SingleFile
from featurekit.backbones.stock import CLASSES, MISFITS, Configs, quietly, vae_dtype
from featurekit.core.errors import BackboneError

Weights: TypeAlias = dict[str, Tensor]
_Convert: TypeAlias = Callable[[Weights, Mapping[str, Any]], Weights]

_GUIDANCE_HERE = "time_embedding.cond_proj.weight"  # the one name of a UNet no converter knows
_FLAT = ("embeddings.", "encoder.", "final_layer_norm.")  # of text encoders from before text_model.
_VAE_PLACES = (VAE, "vae.", "")  # where an autoencoder may lie in a file
_VAE_BEGINS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
_NOT_OF_WORDS = ("logit_scale", "position_ids", "text_projection", "attn_mask")


def read_unet(file: SingleFile, dtype: torch.dtype) -> Any:  # noqa: ANN401 - diffusers is untyped
    """Read the UNet of a file.

    Args:
        file: the model.
        dtype: what it is to compute in.

    Returns:
        A ``UNet2DConditionModel`` on the CPU.

    Raises:
        BackboneError: its weights are not those of the family.
    """
    weights = _read(file.header, dtype, UNET)

    def convert(given: Weights, config: Mapping[str, Any]) -> Weights:
        found: Weights = convert_ldm_unet_checkpoint(given, dict(config))
        if UNET + GUIDANCE in given:
            found[_GUIDANCE_HERE] = given[UNET + GUIDANCE]
        return found

    return _converted("unet", weights, file.configs, dtype, (convert, file.path))


def vae_place(header: Header) -> str | None:
    """Find where the autoencoder of a file lies.

    Args:
        header: of the file.

    Returns:
        What the names of its weights begin with; None if there is none.
    """
    for place in _VAE_PLACES:
        if header.under(*(place + begin for begin in _VAE_BEGINS)):
            return place
    return None


def read_vae(header: Header, configs: Configs, dtype: torch.dtype) -> Any:  # noqa: ANN401
    """Read the autoencoder of a file, in either layout.

    Args:
        header: of the file.
        configs: those of the model; its autoencoder's is the file's.
        dtype: what the model is to compute in.

    Returns:
        An ``AutoencoderKL`` on the CPU.

    Raises:
        BackboneError: there is none, or its weights are not those of the config.
    """
    place = vae_place(header)
    if place is None:
        raise BackboneError(f"{header.path} must hold an autoencoder, it has none; give another")
    begins = tuple(place + begin for begin in _VAE_BEGINS)
    what = vae_dtype(configs["vae"], dtype)
    read = _read(header, what, *begins)
    weights = {name.removeprefix(place): weight for name, weight in read.items()}
    ours = any(name.startswith("encoder.down_blocks.") for name in weights)

    def convert(given: Weights, config: Mapping[str, Any]) -> Weights:
        found: Weights = given if ours else convert_ldm_vae_checkpoint(given, dict(config))
        return found

    return _converted("vae", weights, configs, what, (convert, header.path))


def read_text_encoder(file: SingleFile, part: str, dtype: torch.dtype) -> Any:  # noqa: ANN401
    """Read a text encoder of a file: OpenAI's names, or open_clip's with its fused projections.

    Args:
        file: the model.
        part: ``text_encoder`` or ``text_encoder_2``.
        dtype: what it is to compute in.

    Returns:
        A ``CLIPTextModel`` or ``CLIPTextModelWithProjection`` on the CPU.

    Raises:
        BackboneError: its weights are not those of the family.
    """
    place = WORDS[file.family][part]
    weights = {}
    for name, weight in _read(file.header, dtype, place).items():
        inner = name.removeprefix(place)
        weights[f"{place}text_model.{inner}" if inner.startswith(_FLAT) else name] = weight
    with _refusing(part, file.path), quietly(), _written(part, file.configs[part]) as folder:
        network = create_diffusers_clip_model_from_ldm(
            CLASSES[part],
            checkpoint=weights,
            subfolder=part,
            config=folder,
            torch_dtype=dtype,
            local_files_only=True,
        )
    state = network.state_dict()
    missing = [name for name, weight in state.items() if weight.is_meta]
    layers = file.configs[part]["num_hidden_layers"]
    spare = (*_NOT_OF_WORDS, f"resblocks.{layers}.")  # open_clip keeps one layer that is not read
    own = {name: one for name, one in weights.items() if not any(word in name for word in spare)}
    if "text_projection.weight" in state:
        own |= {name: one for name, one in weights.items() if name.endswith("text_projection")}
    surplus = sum(one.numel() for one in own.values()) - sum(one.numel() for one in state.values())
    if missing or surplus:
        raise _misfit(part, file.path, missing, f"{surplus} numbers")
    return network


def _converted(
    part: str,
    weights: Weights,
    configs: Configs,
    dtype: torch.dtype,
    by: tuple[_Convert, Path],
) -> Any:  # noqa: ANN401
    """Build a network of diffusers of the weights of a file, all of them and nothing else."""
    convert, path = by
    cls, config = CLASSES[part], configs[part]
    with _refusing(part, path), quietly(), _written(part, config) as folder:
        found = convert(dict(weights), config)
        with torch.device("meta"):
            wanted = cls.from_config(dict(config)).state_dict()
        missing = sorted(
            name
            for name, weight in wanted.items()
            if name not in found or found[name].shape != weight.shape
        )
        kept = {one.untyped_storage().data_ptr() for one in found.values()}
        extra = sorted({*found} - {*wanted}) or sorted(
            name for name, one in weights.items() if one.untyped_storage().data_ptr() not in kept
        )
        if missing or extra:
            raise _misfit(part, path, missing, f"{len(extra)} {extra[:2]}")
        return cls.from_single_file(
            found, config=folder, subfolder=part, local_files_only=True, dtype=dtype
        )


def _read(header: Header, dtype: torch.dtype, *places: str) -> Weights:
    """The weights whose names begin with one of some words, copied and cast.

    Kernels may round by where a tensor lies in memory, and a file lays them anywhere.
    """
    found: Weights = {}
    with safe_open(header.path, "pt") as file:
        for name in header.under(*places):
            weight = file.get_tensor(name)
            cast = dtype if weight.is_floating_point() else weight.dtype
            found[name] = weight.to(cast, copy=True)
    return found


@contextmanager
def _written(part: str, config: Mapping[str, Any]) -> Iterator[str]:
    """A folder with a config in its place, as diffusers' readers want it."""
    with TemporaryDirectory(prefix="featurekit-") as folder:
        place = Path(folder) / part
        place.mkdir()
        (place / "config.json").write_text(json.dumps(dict(config)), encoding="utf-8")
        yield folder


@contextmanager
def _refusing(part: str, path: Path) -> Iterator[None]:
    """Word what a converter raises for weights of another shape."""
    try:
        yield
    except BackboneError:
        raise
    except MISFITS as error:
        reason = " ".join(str(error).split())[:200] or "no words"
        raise BackboneError(
            f"the {part} of {path} must have the weights of its family, got "
            f"{type(error).__name__}: {reason}"
        ) from error


def _misfit(part: str, path: Path, missing: list[str], extra: str) -> BackboneError:
    return BackboneError(
        f"the {part} of {path} must have exactly the weights of its family, missing or of another "
        f"shape {len(missing)} {missing[:2]}, left over {extra}; a model of another shape must be "
        f"given as a diffusers folder"
    )
