"""Which family a transformer of diffusers belongs to."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from featurekit.backbones.dit import flux, lumina2, pixart, sana, sd3
from featurekit.backbones.dit.diffusion_transformer import DiffusionTransformer

FAMILIES: Mapping[str, Callable[[Any, str], DiffusionTransformer]] = MappingProxyType(
    {  # by class of the transformer: makes a backbone of a pipeline, under a name
        "SD3Transformer2DModel": sd3.wrapped,
        "FluxTransformer2DModel": flux.wrapped,
        "PixArtTransformer2DModel": pixart.wrapped,
        "SanaTransformer2DModel": sana.wrapped,
        "Lumina2Transformer2DModel": lumina2.wrapped,
    }
)
