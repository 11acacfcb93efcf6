"""Drag points of an image to where they should be (DragDiffusion, arXiv 2306.14435)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from featurekit.pipeline.registry import Plugin
from featurekit_drag.config import DragConfig

if TYPE_CHECKING:
    from featurekit_drag.session.session import Session

__all__ = ["PLUGIN", "Session"]

PLUGIN = Plugin(
    name="drag",
    summary="drag points of an image to where they should be",
    api_version=1,
    schema=DragConfig,
    tasks=("edit", "evaluate"),
    target="featurekit_drag.tasks.edit:run",
    check="featurekit_drag.checks:check",
    denoisers=("unet", "transformer"),  # methods that drag latents refuse the second by the check
    presets="pkg://featurekit_drag.conf",
    writes={
        "edit": ("edit.png", "before_after.png", "candidate_*.png", "animation.gif"),
        "evaluate": ("records.json", "table.md", "sheet.png", "sheet_*.png"),
    },
    studio="featurekit_drag.studio.tab:make_tab",
    benches={
        "drag-scenes": "featurekit_drag.tasks.evaluate:bench",
        "drag-preview": "featurekit_drag.tasks.bench_preview:bench",
        "sd-shape": "featurekit_drag.tasks.bench_update:bench",
    },
)


def __getattr__(name: str) -> Any:  # noqa: ANN401  # a class, or whatever an importer looks for
    """Fetch ``Session``, which needs torch, when it is first used."""
    if name != "Session":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("featurekit_drag.session.session").Session
