"""All that a plugin's author imports, beside the public names of ``featurekit`` itself.

Describing a plugin must import no torch: importing this module does not, and what works on tensors
is fetched when it is first used. Whatever is neither here nor in ``featurekit.__all__`` may change
with any release. docs/adding-a-plugin.md is the guide.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from featurekit.core.atomic import replacing
from featurekit.core.errors import (
    BackboneError,
    CaptureError,
    ConfigError,
    FeatureKitError,
    FeatureKitWarning,
    ImageError,
    MaskError,
    NoiseLevelError,
    NotFiniteError,
    OutputError,
    PluginError,
    PointsError,
    ScheduleError,
    ShapeError,
    TrainingError,
    UnknownNameError,
)
from featurekit.core.json_files import read_json, write_json
from featurekit.core.types import Job, Progress, Result, Stop, silent
from featurekit.pipeline.config import PluginConfig
from featurekit.pipeline.registry import API_VERSION, Plugin
from featurekit.web.asked import Asked
from featurekit.web.tab import Reply, Tab, Work

if TYPE_CHECKING:
    from featurekit.images.io import read_tensors, write_gif, write_image, write_tensors
    from featurekit.images.masks import load_mask
    from featurekit.web.desk import Desk

__all__ = [
    "API_VERSION",
    "Asked",
    "BackboneError",
    "CaptureError",
    "ConfigError",
    "Desk",
    "FeatureKitError",
    "FeatureKitWarning",
    "ImageError",
    "Job",
    "MaskError",
    "NoiseLevelError",
    "NotFiniteError",
    "OutputError",
    "Plugin",
    "PluginConfig",
    "PluginError",
    "PointsError",
    "Progress",
    "Reply",
    "Result",
    "ScheduleError",
    "ShapeError",
    "Stop",
    "Tab",
    "TrainingError",
    "UnknownNameError",
    "Work",
    "load_mask",
    "read_json",
    "read_tensors",
    "replacing",
    "silent",
    "write_gif",
    "write_image",
    "write_json",
    "write_tensors",
]

_FILES = "featurekit.images.io"  # reads and writes tensors, hence imports torch
_HOMES = {"load_mask": "featurekit.images.masks", "Desk": "featurekit.web.desk"}  # as well


def __getattr__(name: str) -> Any:  # noqa: ANN401  # functions of several types
    """Fetch a reader or writer, or the Desk of the studio, when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, _FILES)), name)


def __dir__() -> list[str]:
    """List what an author would look for."""
    return sorted(__all__)
