"""Drag points of an image to where they should be (DragDiffusion, arXiv 2306.14435)."""

from featurekit.registry import Plugin

from .config import DragConfig

PLUGIN = Plugin(
    name="drag",
    summary="drag points of an image to where they should be",
    api_version=1,
    schema=DragConfig,
    tasks=("edit", "evaluate"),
    target="featurekit_drag.task:run",
    presets="pkg://featurekit_drag.conf",
    benches={
        "drag-scenes": "featurekit_drag.evaluate:bench",
        "sd-shape": "featurekit_drag.sd_shape:bench",
    },
)
