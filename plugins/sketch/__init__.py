"""From one drawing, sketch any image in its style (DiffSketch, arXiv 2401.04362)."""

from featurekit.pipeline.registry import Plugin
from featurekit_sketch.config import SketchConfig

PLUGIN = Plugin(
    name="sketch",
    summary="learn one drawing's style, then sketch any image in it",
    api_version=1,
    schema=SketchConfig,
    tasks=("train", "init", "extract", "distil", "evaluate"),
    target="featurekit_sketch.tasks.train:run",
    check="featurekit_sketch.checks:check",
    denoisers=("unet", "transformer"),
    needs_backbone="featurekit_sketch.checks:needs_backbone",
    presets="pkg://featurekit_sketch.conf",
    commands={
        "fit-prior": "featurekit_sketch.tasks.fit_prior:main",
        "sketch-table": "featurekit_sketch.exam.sweep_table:main",
    },
    writes={
        "train": (
            *("style.safetensors", "timesteps.json", "timesteps.png"),
            *(f"{part}.png" for part in ("pair", "curve", "targets", "sheet", "overlay")),
            *(f"{part}_*.png" for part in ("pair", "curve", "targets", "sheet", "overlay")),
        ),
        "init": ("picture.png", "how_to_draw.txt"),
        "extract": ("sheet.png", "{image}.png", "{image}.svg", "{image}_sketch*.png"),
        "distil": (
            *("student.safetensors", "student.onnx", "student.pt2"),
            *("sheet.png", "curve.png", "rejects.png"),
        ),
        "evaluate": ("table.json", "table.md", "rows.jsonl", "sheet.png", "sheet_*.png"),
    },
    shared=("extract", "distil"),
    studio="featurekit_sketch.studio.tab:make_tab",
    benches={"sketch-scenes": "featurekit_sketch.tasks.evaluate:bench"},
)
