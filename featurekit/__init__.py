"""Read and steer the inside of diffusion models.

Importing this package imports neither torch nor diffusers: each public name is fetched from its
module when it is first used.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featurekit.attention_maps import attention_maps, to_tokens
    from featurekit.backbones import load as load_backbone
    from featurekit.backbones.describe import describe_backbone
    from featurekit.batches import Extractor, Sample
    from featurekit.capture import capture
    from featurekit.config import compose
    from featurekit.extract import extract, extract_latents
    from featurekit.inject import inject
    from featurekit.invert import invert
    from featurekit.io import load_image
    from featurekit.noise import NoiseTable, Schedule
    from featurekit.optimise import Limits, optimise
    from featurekit.recipes import Ensemble, Recipe, recipe, recipes
    from featurekit.registry import load_plugin, plugins
    from featurekit.run import run
    from featurekit.sample import sample
    from featurekit.steps import ddim_step
    from featurekit.trajectory import Trajectory
    from featurekit.trajectory_file import load_trajectory, save_trajectory

__version__ = "0.1.0"  # the one place; pyproject.toml reads it from here

__all__ = [
    "Ensemble",
    "Extractor",
    "Limits",
    "NoiseTable",
    "Recipe",
    "Sample",
    "Schedule",
    "Trajectory",
    "attention_maps",
    "capture",
    "compose",
    "ddim_step",
    "describe_backbone",
    "extract",
    "extract_latents",
    "inject",
    "invert",
    "load_backbone",
    "load_image",
    "load_plugin",
    "load_trajectory",
    "optimise",
    "plugins",
    "recipe",
    "recipes",
    "run",
    "sample",
    "save_trajectory",
    "to_tokens",
]

_HOMES = {  # public name -> module:name
    "Ensemble": "featurekit.recipes:Ensemble",
    "Extractor": "featurekit.batches:Extractor",
    "Limits": "featurekit.optimise:Limits",
    "NoiseTable": "featurekit.noise:NoiseTable",
    "Recipe": "featurekit.recipes:Recipe",
    "Sample": "featurekit.batches:Sample",
    "Schedule": "featurekit.noise:Schedule",
    "Trajectory": "featurekit.trajectory:Trajectory",
    "attention_maps": "featurekit.attention_maps:attention_maps",
    "capture": "featurekit.capture:capture",
    "compose": "featurekit.config:compose",
    "ddim_step": "featurekit.steps:ddim_step",
    "describe_backbone": "featurekit.backbones.describe:describe_backbone",
    "extract": "featurekit.extract:extract",
    "extract_latents": "featurekit.extract:extract_latents",
    "inject": "featurekit.inject:inject",
    "invert": "featurekit.invert:invert",
    "load_backbone": "featurekit.backbones:load",
    "load_image": "featurekit.io:load_image",
    "load_plugin": "featurekit.registry:load_plugin",
    "load_trajectory": "featurekit.trajectory_file:load_trajectory",
    "optimise": "featurekit.optimise:optimise",
    "plugins": "featurekit.registry:plugins",
    "recipe": "featurekit.recipes:recipe",
    "recipes": "featurekit.recipes:recipes",
    "run": "featurekit.run:run",
    "sample": "featurekit.sample:sample",
    "save_trajectory": "featurekit.trajectory_file:save_trajectory",
    "to_tokens": "featurekit.attention_maps:to_tokens",
}
_MODULES = ("testing",)  # public as a whole


def __getattr__(name: str) -> Any:  # noqa: ANN401  # the public names have many types
    """Fetch a public name from its module."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    """List what a person would look for."""
    return sorted({*globals(), *_HOMES, *_MODULES})


class _Package(ModuleType):
    """Keeps ``featurekit.sample`` the function once the module of that name is imported too.

    Importing a submodule sets it as an attribute of its package. Where a public name is the same,
    the public name wins; the module stays reachable by ``from featurekit.sample import ...``.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
