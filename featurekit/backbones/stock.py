"""Read or build the stock networks of a Stable-Diffusion-shaped model."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
)
from transformers.utils import logging as transformers_logging

MISFITS = (  # what the stock classes raise for settings and weights that do not go together
    ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
CLASSES: Mapping[str, Any] = MappingProxyType(
    {
        "unet": UNet2DConditionModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
        "text_encoder_2": CLIPTextModelWithProjection,
    }
)
Configs = Mapping[str, Mapping[str, Any]]  # by part, as ``folder.read_configs`` returns them


@dataclass(frozen=True, eq=False)
class Networks:
    """The networks of a model, frozen and in evaluation mode."""

    unet: Any  # UNet2DConditionModel; diffusers and transformers are not typed
    vae: Any  # AutoencoderKL
    text_encoder: Any  # CLIPTextModel
    text_encoder_2: Any = None  # CLIPTextModelWithProjection, of a model with two encoders
    files: Mapping[str, Path] = field(default_factory=dict)  # weight files by name in the folder


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
    nn.Module.to(networks.vae, device, vae_dtype(configs["vae"], dtype))
    nn.Module.to(networks.text_encoder, device, dtype)
    if networks.text_encoder_2 is not None:
        nn.Module.to(networks.text_encoder_2, device, dtype)
    return frozen(networks)


def _second(configs: Configs) -> Any:  # noqa: ANN401
    """The second text encoder of a model that has one, with random weights."""
    config = configs.get("text_encoder_2")
    return None if config is None else CLIPTextModelWithProjection(CLIPTextConfig(**config))


def vae_dtype(config: Mapping[str, Any], dtype: torch.dtype) -> torch.dtype:
    """Choose what an autoencoder computes in.

    Args:
        config: its config.
        dtype: what the model is to compute in.

    Returns:
        float32 for float16, in which some autoencoders overflow and say so; a missing word means
        they might.
    """
    upcast = dtype == torch.float16 and config.get("force_upcast", True)
    return torch.float32 if upcast else dtype


def frozen(networks: Networks) -> Networks:
    """Freeze the networks of a model and put them into evaluation mode.

    Args:
        networks: of one model.

    Returns:
        The same.
    """
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # what their own classes still use
            yield
    finally:
        for log, level in levels:
            log.set_verbosity(level)
        if drawn:
            transformers_logging.enable_progress_bar()
