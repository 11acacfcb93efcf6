"""Read or build the stock networks of a Stable-Diffusion-shaped model."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)
from transformers.utils import logging as transformers_logging

from featurekit.backbones.folder import SECOND_WEIGHTS, WEIGHTS, weight_file
from featurekit.core.errors import BackboneError

Configs = Mapping[str, Mapping[str, Any]]  # by part, as ``folder.read_configs`` returns them


@dataclass(frozen=True, eq=False)
class Networks:
    """The networks of a model, frozen and in evaluation mode."""

    unet: Any  # UNet2DConditionModel; diffusers and transformers are not typed
    vae: Any  # AutoencoderKL
    text_encoder: Any  # CLIPTextModel
    text_encoder_2: Any = None  # CLIPTextModelWithProjection, of a model with two encoders


def check_shape(configs: Configs, of: str) -> None:
    """Refuse a model that the stock forward would call otherwise than this family does.

    Args:
        configs: config by part.
        of: what the model is, for the message.

    Raises:
        BackboneError: it needs more inputs than latent, timestep and text states, or its parts
            do not fit each other.
    """
    unet, text = configs["unet"], configs["text_encoder"]
    for key in ("addition_embed_type", "class_embed_type", "encoder_hid_dim_type"):
        if unet.get(key) is not None:
            raise BackboneError(
                f"a Stable Diffusion 1.x or 2.x must need text states alone, but the UNet of {of} "
                f"has {key}={unet[key]!r}; another family is needed for it"
            )
    check_fit(configs, of, {"cross_attention_dim": text.get("hidden_size")})


def check_fit(configs: Configs, of: str, needed: Mapping[str, Any]) -> None:
    """Refuse a UNet that does not fit the other parts of its model.

    Args:
        configs: config by part.
        of: what the model is, for the message.
        needed: settings of the UNet besides its channels, as the other parts need them.

    Raises:
        BackboneError: a setting is another one.
    """
    channels = configs["vae"].get("latent_channels")
    settings = {"in_channels": channels, "out_channels": channels, **needed}
    for key, value in settings.items():
        if configs["unet"].get(key) != value:
            raise BackboneError(
                f"unet {key} of {of} must be {value}, as its other parts are, "
                f"got {configs['unet'].get(key)}; inpainting, upscaling and refining "
                f"models are not supported"
            )


def read_networks(folder: Path, configs: Configs, dtype: torch.dtype) -> Networks:
    """Read the networks of a diffusers folder: safetensors only, no code from it, no network.

    Args:
        folder: diffusers folder.
        configs: its configs by part.
        dtype: what the networks are to compute in.

    Returns:
        Networks on the CPU.

    Raises:
        BackboneError: a weight file is missing, damaged, a pickle, or lacks weights.
    """
    two = "text_encoder_2" in configs
    for part in (*WEIGHTS, *(SECOND_WEIGHTS if two else ())):
        _check_intact(weight_file(folder, part)[0])
    vae_dtype = _vae_dtype(configs["vae"], dtype)
    with quietly():
        second = (
            _read(CLIPTextModelWithProjection, folder, "text_encoder_2", dtype) if two else None
        )
        return _frozen(
            Networks(
                unet=_read(UNet2DConditionModel, folder, "unet", dtype),
                vae=_read(AutoencoderKL, folder, "vae", vae_dtype),
                text_encoder=_read(CLIPTextModel, folder, "text_encoder", dtype),
                text_encoder_2=second,
            )
        )


def build_networks(
    configs: Configs, *, device: torch.device, dtype: torch.dtype, seed: int
) -> Networks:
    """Build networks with random weights; the global random state is left as it is.

    Args:
        configs: config by part.
        device: where they are to be; on ``meta`` they take no memory and no time.
        dtype: what they are to compute in.
        seed: of the weights, drawn on the CPU, hence the same on every device.

    Returns:
        Networks on the device.
    """
    drawn_on = torch.device("meta" if device.type == "meta" else "cpu")
    with torch.random.fork_rng(devices=[]), drawn_on:
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed CUDA as well
        networks = Networks(
            unet=UNet2DConditionModel.from_config(dict(configs["unet"])),
            vae=AutoencoderKL.from_config(dict(configs["vae"])),
            text_encoder=CLIPTextModel(CLIPTextConfig(**configs["text_encoder"])),
            text_encoder_2=_second(configs),
        )
    # the plain method: diffusers' own prints advice that is about reading weights
    nn.Module.to(networks.unet, device, dtype)
    nn.Module.to(networks.vae, device, _vae_dtype(configs["vae"], dtype))
    nn.Module.to(networks.text_encoder, device, dtype)
    if networks.text_encoder_2 is not None:
        nn.Module.to(networks.text_encoder_2, device, dtype)
    return _frozen(networks)


def _second(configs: Configs) -> Any:  # noqa: ANN401
    """The second text encoder of a model that has one, with random weights."""
    config = configs.get("text_encoder_2")
    return None if config is None else CLIPTextModelWithProjection(CLIPTextConfig(**config))


def read_tokenizer(folder: Path, *, length: int | None = None, part: str = "tokenizer") -> Any:  # noqa: ANN401 - untyped
    """Read a tokenizer of a diffusers folder.

    Args:
        folder: diffusers folder.
        part: ``tokenizer``, or ``tokenizer_2`` of a model with two encoders.
        length: tokens that a prompt is padded to; None takes the tokenizer's own.

    Returns:
        A ``CLIPTokenizer``.

    Raises:
        BackboneError: there is none, or its files cannot be read.
    """
    path = folder / part
    if not any((path / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise BackboneError(
            f"{folder} must hold {part}/tokenizer.json or {part}/vocab.json, found neither; "
            f"download or copy the folder again"
        )
    chosen = {} if length is None else {"model_max_length": length}
    try:
        return CLIPTokenizer.from_pretrained(path, local_files_only=True, **chosen)
    except Exception as error:  # the reader's Rust part raises bare Exception
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BackboneError(f"the tokenizer in {path} cannot be read: {reason}") from error


def _read(cls: Any, folder: Path, part: str, dtype: torch.dtype) -> Any:  # noqa: ANN401
    """Read one network and refuse to go on if a weight was left random or left over."""
    path, variant = weight_file(folder, part)
    try:
        network, info = cls.from_pretrained(
            folder / part,
            use_safetensors=True,
            local_files_only=True,
            variant=variant or None,
            output_loading_info=True,
            dtype=dtype,
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BackboneError(f"{path} and its config must fit each other, got: {reason}") from error
    missing, extra = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    if missing or extra:
        raise BackboneError(
            f"{path} must hold exactly the weights of its config, missing {len(missing)} "
            f"{missing[:2]}, left over {len(extra)} {extra[:2]}; download or convert it again"
        )
    return network


def _check_intact(path: Path) -> None:
    """Opening reads the header and compares it with the length of the file, nothing more."""
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise BackboneError(
            f"{path} must be a whole safetensors file, it is damaged or cut short ({error}); "
            f"download or copy it again"
        ) from error


def _vae_dtype(config: Mapping[str, Any], dtype: torch.dtype) -> torch.dtype:
    """Some autoencoders overflow in float16 and say so; a missing word means they might."""
    upcast = dtype == torch.float16 and config.get("force_upcast", True)
    return torch.float32 if upcast else dtype


def _frozen(networks: Networks) -> Networks:
    for network in vars(networks).values():
        if network is not None:
            network.requires_grad_(False).eval()
    return networks


@contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers from drawing a progress bar on the user's terminal."""
    drawn = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            transformers_logging.enable_progress_bar()
