"""Read or build the stock networks of a Stable-Diffusion-shaped model."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)
from transformers.utils import logging as transformers_logging

from featurekit.backbones.layout.weight_files import SECOND_WEIGHTS, WEIGHTS, weight_files
from featurekit.backbones.unet.configs import Configs
from featurekit.core.errors import BackboneError

_MISFITS = (  # what the stock classes raise for settings and weights that do not go together
    ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Networks:
    """The networks of a model, frozen and in evaluation mode."""

    unet: Any  # UNet2DConditionModel; diffusers and transformers are not typed
    vae: Any  # AutoencoderKL
    text_encoder: Any  # CLIPTextModel
    text_encoder_2: Any = None  # CLIPTextModelWithProjection, of a model with two encoders
    files: Mapping[str, Path] = field(default_factory=dict)  # weight files by name in the folder


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
    files: dict[str, Path] = {}
    for part in (*WEIGHTS, *(SECOND_WEIGHTS if two else ())):
        for path in weight_files(folder, part).paths:
            check_intact(path)
            files[path.relative_to(folder).as_posix()] = path
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
                files=files,
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


def read_tokenizer(
    folder: Path,
    *,
    length: int | None = None,
    part: str = "tokenizer",
    encoder: Mapping[str, Any] | None = None,
) -> Any:  # noqa: ANN401 - untyped
    """Read a tokenizer of a diffusers folder.

    Args:
        folder: diffusers folder.
        part: ``tokenizer``, or ``tokenizer_2`` of a model with two encoders.
        length: tokens that a prompt is padded to; None takes the tokenizer's own.
        encoder: config of the encoder that is to read its words; None checks nothing.

    Returns:
        A ``CLIPTokenizer``.

    Raises:
        BackboneError: there is none, its files cannot be read, or it has words that the encoder
            does not know.
    """
    path = folder / part
    if not any((path / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise BackboneError(
            f"{folder} must hold {part}/tokenizer.json or {part}/vocab.json, found neither; "
            f"download or copy the folder again"
        )
    chosen = {} if length is None else {"model_max_length": length}
    try:
        found = CLIPTokenizer.from_pretrained(path, local_files_only=True, **chosen)
    except Exception as error:  # the reader's Rust part raises bare Exception
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BackboneError(f"the tokenizer in {path} cannot be read: {reason}") from error
    most = None if encoder is None else encoder["vocab_size"]
    if most is not None and len(found) > most:
        raise BackboneError(
            f"the tokenizer in {path} must number its words below {most}, the vocabulary of its "
            f"encoder, it has {len(found)}; words that were added to it need an encoder that was "
            f"resized for them"
        )
    return found


def _read(cls: Any, folder: Path, part: str, dtype: torch.dtype) -> Any:  # noqa: ANN401
    """Read one network and refuse to go on if a weight was left random or left over."""
    paths, variant = weight_files(folder, part)
    path = paths[0]
    try:
        network, info = cls.from_pretrained(
            folder / part,
            use_safetensors=True,
            local_files_only=True,
            variant=variant or None,
            output_loading_info=True,
            dtype=dtype,
        )
    except _MISFITS as error:
        reason = " ".join(str(error).split())[:300]
        raise BackboneError(
            f"{path} and its config must fit each other, got: {reason or type(error).__name__}"
        ) from error
    missing, extra = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    if missing or extra:
        raise BackboneError(
            f"{path} must hold exactly the weights of its config, missing {len(missing)} "
            f"{missing[:2]}, left over {len(extra)} {extra[:2]}; download or convert it again"
        )
    return network


def check_intact(path: Path) -> None:
    """Refuse a file that is no whole safetensors file.

    Opening reads the header and compares it with the length of the file, nothing more.

    Args:
        path: the file.

    Raises:
        BackboneError: it is damaged or cut short.
    """
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
        if isinstance(network, nn.Module):
            network.requires_grad_(False).eval()
    return networks


@contextmanager
def quietly() -> Iterator[None]:
    """Keep the libraries from bars and from lists of weights, which are refused in one sentence."""
    drawn = transformers_logging.is_progress_bar_enabled()
    levels = [(log, log.get_verbosity()) for log in (diffusers_logging, transformers_logging)]
    transformers_logging.disable_progress_bar()
    for log, _ in levels:
        log.set_verbosity_error()
    try:
        yield
    finally:
        for log, level in levels:
            log.set_verbosity(level)
        if drawn:
            transformers_logging.enable_progress_bar()
