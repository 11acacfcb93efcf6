"""Which family a transformer of diffusers belongs to."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from featurekit.backbones.dit import (
    chroma,
    flux,
    flux2,
    lumina2,
    pixart,
    qwen_image,
    sana,
    sd3,
    z_image,
)
from featurekit.backbones.dit.diffusion_transformer import DiffusionTransformer

FAMILIES: Mapping[str, Callable[[Any, str], DiffusionTransformer]] = MappingProxyType(
    {  # by class of the transformer: makes a backbone of a pipeline, under a name
        "SD3Transformer2DModel": sd3.wrapped,
        "FluxTransformer2DModel": flux.wrapped,
        "Flux2Transformer2DModel": flux2.wrapped,
        "PixArtTransformer2DModel": pixart.wrapped,
        "SanaTransformer2DModel": sana.wrapped,
        "Lumina2Transformer2DModel": lumina2.wrapped,
        "QwenImageTransformer2DModel": qwen_image.wrapped,
        "ZImageTransformer2DModel": z_image.wrapped,
        "ChromaTransformer2DModel": chroma.wrapped,
    }
)
