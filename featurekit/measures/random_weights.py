"""The control of random weights: a model that has the shape of another and has learnt nothing."""

from dataclasses import replace
from typing import TypeAlias, TypeVar

import torch
from torch import nn

from featurekit.backbones.unet.sd import StableDiffusion
from featurekit.backbones.unet.sdxl import StableDiffusionXL

Family: TypeAlias = StableDiffusion | StableDiffusionXL
"""Families whose UNet can be made anew from its config."""

Model = TypeVar("Model", bound=Family)


def untrained(backbone: Model, *, seed: int = 0) -> Model:
    """Make the same model with a UNet of the same shape and random weights; the rest is shared.

    Args:
        backbone: a loaded model.
        seed: of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = type(backbone.unet).from_config(backbone.unet.config)
    nn.Module.to(unet, backbone.device, backbone.dtype)  # diffusers' own warns at a dtype
    unet.eval().requires_grad_(False)
    return replace(backbone, name="random", unet=unet, files={})
