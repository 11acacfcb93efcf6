"""Read and steer the inside of diffusion models.

Importing this package imports neither torch nor diffusers: each public name is fetched from its
module when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featurekit import scenes, testing
    from featurekit.backbones import describe_backbone
    from featurekit.backbones import load as load_backbone
    from featurekit.backbones.wrap import wrap
    from featurekit.core import errors
    from featurekit.diffusion.flow_schedule import FlowSchedule
    from featurekit.diffusion.flow_table import FlowTable
    from featurekit.diffusion.invert import invert
    from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
    from featurekit.diffusion.optimise import Limits, optimise
    from featurekit.diffusion.sample import sample
    from featurekit.diffusion.steps import ddim_step
    from featurekit.diffusion.trajectory import Trajectory
    from featurekit.diffusion.trajectory_file import load_trajectory, save_trajectory
    from featurekit.features.extract import extract, extract_latents
    from featurekit.features.extractor import Extractor, Sample
    from featurekit.features.feature_maps import load_features
    from featurekit.features.recipes import Ensemble, Recipe, recipe, recipes
    from featurekit.images.io import load_image
    from featurekit.pipeline.config import compose
    from featurekit.pipeline.registry import load_plugin, plugins
    from featurekit.pipeline.run import run
    from featurekit.scale.ray_map import ray_map
    from featurekit.taps.attention_maps import attention_maps
    from featurekit.taps.attention_probabilities import among_cells, among_words, to_tokens
    from featurekit.taps.capture import capture
    from featurekit.taps.inject import inject
    from featurekit.web.notebook.beginning import studio

__version__ = "0.2.0"  # the one place; pyproject.toml reads it from here

__all__ = [
    "Ensemble",
    "Extractor",
    "FlowSchedule",
    "FlowTable",
    "Limits",
    "NoiseTable",
    "Recipe",
    "Sample",
    "Schedule",
    "Trajectory",
    "among_cells",
    "among_words",
    "attention_maps",
    "capture",
    "compose",
    "ddim_step",
    "describe_backbone",
    "errors",
    "extract",
    "extract_latents",
    "inject",
    "invert",
    "load_backbone",
    "load_features",
    "load_image",
    "load_plugin",
    "load_trajectory",
    "optimise",
    "plugins",
    "ray_map",
    "recipe",
    "recipes",
    "run",
    "sample",
    "save_trajectory",
    "scenes",
    "studio",
    "testing",
    "to_tokens",
    "wrap",
]

_HOMES = {  # public name -> module:name
    "Ensemble": "featurekit.features.recipes:Ensemble",
    "Extractor": "featurekit.features.extractor:Extractor",
    "FlowSchedule": "featurekit.diffusion.flow_schedule:FlowSchedule",
    "FlowTable": "featurekit.diffusion.flow_table:FlowTable",
    "Limits": "featurekit.diffusion.optimise:Limits",
    "NoiseTable": "featurekit.diffusion.noise_schedule:NoiseTable",
    "Recipe": "featurekit.features.recipes:Recipe",
    "Sample": "featurekit.features.extractor:Sample",
    "Schedule": "featurekit.diffusion.noise_schedule:Schedule",
    "Trajectory": "featurekit.diffusion.trajectory:Trajectory",
    "attention_maps": "featurekit.taps.attention_maps:attention_maps",
    "capture": "featurekit.taps.capture:capture",
    "compose": "featurekit.pipeline.config:compose",
    "ddim_step": "featurekit.diffusion.steps:ddim_step",
    "describe_backbone": "featurekit.backbones:describe_backbone",
    "extract": "featurekit.features.extract:extract",
    "extract_latents": "featurekit.features.extract:extract_latents",
    "inject": "featurekit.taps.inject:inject",
    "invert": "featurekit.diffusion.invert:invert",
    "load_backbone": "featurekit.backbones:load",
    "load_features": "featurekit.features.feature_maps:load_features",
    "load_image": "featurekit.images.io:load_image",
    "load_plugin": "featurekit.pipeline.registry:load_plugin",
    "load_trajectory": "featurekit.diffusion.trajectory_file:load_trajectory",
    "optimise": "featurekit.diffusion.optimise:optimise",
    "plugins": "featurekit.pipeline.registry:plugins",
    "ray_map": "featurekit.scale.ray_map:ray_map",
    "recipe": "featurekit.features.recipes:recipe",
    "recipes": "featurekit.features.recipes:recipes",
    "run": "featurekit.pipeline.run:run",
    "sample": "featurekit.diffusion.sample:sample",
    "save_trajectory": "featurekit.diffusion.trajectory_file:save_trajectory",
    "among_cells": "featurekit.taps.attention_probabilities:among_cells",
    "among_words": "featurekit.taps.attention_probabilities:among_words",
    "studio": "featurekit.web.notebook.beginning:studio",
    "to_tokens": "featurekit.taps.attention_probabilities:to_tokens",
    "wrap": "featurekit.backbones.wrap:wrap",
}
_MODULES = {  # public as a whole
    "errors": "featurekit.core.errors",
    "scenes": "featurekit.scenes",
    "testing": "featurekit.testing",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # the public names have many types
    """Fetch a public name from its module."""
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    """List what a person would look for."""
    return sorted({*__all__, "__version__"})
