"""Drag points of an image to where they should be (DragDiffusion, arXiv 2306.14435)."""

from featurekit.pipeline.registry import Plugin
from featurekit_drag.config import DragConfig

PLUGIN = Plugin(
    name="drag",
    summary="drag points of an image to where they should be",
    api_version=1,
    schema=DragConfig,
    tasks=("edit", "evaluate"),
    target="featurekit_drag.tasks.edit:run",
    check="featurekit_drag.checks:check",
    presets="pkg://featurekit_drag.conf",
    benches={
        "drag-scenes": "featurekit_drag.tasks.evaluate:bench",
        "sd-shape": "featurekit_drag.tasks.bench_update:bench",
    },
)
