"""Which family a transformer of diffusers belongs to."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from featurekit.backbones.dit import flux
from featurekit.backbones.dit.diffusion_transformer import DiffusionTransformer

FAMILIES: Mapping[str, Callable[[Any, str], DiffusionTransformer]] = MappingProxyType(
    {  # by class of the transformer: makes a backbone of a pipeline, under a name
        "FluxTransformer2DModel": flux.wrapped,
    }
)
