"""``task=evaluate plugin.dataset=FOLDER``: a style and its controls beside people's drawings."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from featurekit.core.atomic import replacing
from featurekit.core.errors import ConfigError, ImageError, ShapeError
from featurekit.core.file_bytes import sha256_of
from featurekit.core.json_files import write_json
from featurekit.core.types import Job, Result
from featurekit.images.io import write_image
from featurekit.measures.perceptual.distances import Lpips
from featurekit.pipeline.registry import resolve
from featurekit_sketch.config import SketchConfig, tiling_of
from featurekit_sketch.datasets.items import Item
from featurekit_sketch.datasets.layouts import SketchData, open_dataset
from featurekit_sketch.exam.contenders import Contender, Exam, Once, control_contenders
from featurekit_sketch.exam.dataset_sheet import DatasetSheet
from featurekit_sketch.exam.dataset_table import Table, as_markdown, summary_lines
from featurekit_sketch.exam.kept_rows import KeptRows
from featurekit_sketch.metrics.controls import Edges, EdgeTuning
from featurekit_sketch.tasks.drawers import drawer_of
from featurekit_sketch.tasks.unused_settings import check_reading
from featurekit_sketch.training.style_file import digest, load_style

SKETCH = "sketch"  # the row of the style
TUNED_ON = 24  # first pictures of each style, whose truth the edge map's threshold is taken from
NOT_DECISIVE = ("dataset", "edge_model", "tests", "style", "lpips")  # for what a style draws
LISTED = 8  # left-out pictures that the terminal is told
UNUSABLE = (ImageError, ShapeError)  # of a picture that is left out
NONE = "plugin.dataset must have a picture that can be measured, got none"
FILES = {
    "table": "table.json",
    "page": "table.md",
    "rows": "rows.jsonl",
    "sheet": "sheet.png",
}


def evaluate_dataset(job: Job) -> Result:
    """Draw the pictures of ``plugin.dataset`` and measure each against its true drawings.

    One picture is held at a time. Figures that are done stay in ``out``: the same command with the
    same ``out`` goes on where it was interrupted. A picture that cannot be used is left out, named,
    and makes the exit code 3.

    Raises:
        ConfigError: the folder is no data set, none of its pictures can be used, the edge model
            draws no ink, or the style is of another backbone.
    """
    config: SketchConfig = job.settings
    data = dataset_of(config)
    items, skipped = data.items[: config.tests], list(data.broken)
    _tell(job, data)
    drawers, schedule = _drawers(job)
    edges = _tuned(job, items)
    contenders = [*drawers, *control_contenders(edges, automatic=data.automatic)]
    outputs = {name: job.out / file for name, file in FILES.items()}
    lpips = None if config.lpips is None else Lpips.load(config.lpips, "cpu")
    lpips_identity = "" if config.lpips is None else sha256_of(config.lpips)
    exam = Exam(contenders, KeptRows(outputs["rows"]), lpips, lpips_identity)
    table, sheet, resized = Table(), DatasetSheet(contenders, drawers, job.out / "drawn"), 0
    with job.stage(data.name) as progress:
        for number, item in enumerate(items, start=1):
            try:
                pair = item.read()
                rows = exam.rows(item.name, pair)
            except UNUSABLE as error:
                skipped.append(f"{item.name}: {error}")
            else:
                table.add({style: len(inks) for style, inks in pair.drawings.items()}, rows)
                sheet.add(item.name, pair)
                resized += pair.resized
            progress(number, len(items))
    styles = table.means()
    if not styles:
        raise ConfigError(f"{NONE}; {skipped[-1]}")
    metrics = {
        "dataset": data.name,
        "resized": resized,
        "skipped": len(skipped),
        "edges": {style: asdict(best) for style, best in edges.items()},
        "styles": styles,
    }
    _write(metrics, skipped, outputs)
    write_image(sheet.picture(), outputs["sheet"])
    measured = len(items) + len(data.broken) - len(skipped)
    return Result(
        stop=f"{measured} of {len(data.items)} pictures are measured",
        metrics=metrics,
        outputs=outputs,
        summary="\n".join(_lines(metrics, skipped)),
        skipped=tuple(skipped),
        schedule=schedule,
    )


def dataset_of(config: SketchConfig) -> SketchData:
    """List the data set of the settings, with the edge model that they name.

    Raises:
        ConfigError: see ``open_dataset``.
        PluginError: the edge model cannot be imported.
    """
    name = config.edge_model
    edge_model = None if name is None else resolve(name, of="plugin.edge_model")
    return open_dataset(str(config.dataset), edge_model=edge_model)


def check_dataset(job: Job) -> None:
    """Refuse what cannot be evaluated before the weights of a backbone are loaded.

    Raises:
        ConfigError: a picture is given as well, the folder is no data set, or there is no such
            style file.
        BackboneError: the weights of LPIPS cannot be read.
        PluginError: the edge model cannot be imported.
    """
    config: SketchConfig = job.settings
    if job.image is not None:
        raise ConfigError(
            "task=evaluate draws the pictures of plugin.dataset; leave out image, or plugin.dataset"
        )
    dataset_of(config)
    if config.style is not None and not Path(config.style).expanduser().is_file():
        raise ConfigError(f"plugin.style must be a file, got {config.style!r}; check it")
    if config.lpips is not None:
        Lpips.load(config.lpips, "cpu")


def _drawers(job: Job) -> tuple[Sequence[Contender], str]:
    """What was learnt, and how it reads pictures, in words; nothing where no style is given."""
    config: SketchConfig = job.settings
    if config.style is None:
        job.say("the controls alone are measured; give plugin.style=FILE to draw in a style")
        return [], ""
    path, backbone = Path(config.style).expanduser(), job.backbone
    style = load_style(path, backbone.name, digest(backbone.weights))
    check_reading(config, style, backbone=backbone.name)
    drawer = drawer_of(style, backbone, tiling_of(config))
    settings = {name: one for name, one in asdict(config).items() if name not in NOT_DECISIVE}
    facts = [sha256_of(path), settings, backbone.name, str(backbone.dtype), dict(backbone.weights)]
    identity = json.dumps(facts, sort_keys=True, default=str)
    return [Contender(SKETCH, Once(drawer), identity)], drawer.told


def _tell(job: Job, data: SketchData) -> None:
    """Say what is measured, against what, and what is not."""
    config: SketchConfig = job.settings
    count = len(data.items)
    part = f"the first {config.tests} of {count}" if config.tests < count else f"all {count}"
    more = f"; plugin.tests={count} takes all" if config.tests < count else ""
    job.say(f"{data.name}: {part} pictures, at their own size{more}")
    if data.automatic:
        job.say("no drawings of people: rules draw the truth, so figures tell a manner, no quality")
    if config.lpips is None:
        job.say("LPIPS is left out: it needs its weights; give plugin.lpips=FILE")


def _tuned(job: Job, items: Sequence[Item]) -> Mapping[str, Edges]:
    """The best edge map for each style, by the first pictures that have it.

    Raises:
        ConfigError: no picture can be used.
    """
    tunings: dict[str, EdgeTuning] = {}
    counts: Counter[str] = Counter()
    why = ""
    with job.stage("tuning the edge map") as progress:
        for number, item in enumerate(items, start=1):
            progress(number, len(items))
            if all(counts[style] >= TUNED_ON for style in item.styles):
                continue
            try:
                pair = item.read()
            except UNUSABLE as error:
                why = f"{item.name}: {error}"
                continue
            for style, inks in pair.drawings.items():
                tunings.setdefault(style, EdgeTuning()).add(pair.image, inks)
                counts[style] += 1
    if not tunings:
        raise ConfigError(f"{NONE}; {why}")
    return {style: tuning.best for style, tuning in tunings.items()}


def _write(metrics: Mapping[str, Any], skipped: Sequence[str], outputs: Mapping[str, Path]) -> None:
    write_json({**metrics, "skipped": list(skipped)}, outputs["table"])
    with replacing(outputs["page"]) as temporary:
        temporary.write_text(as_markdown(metrics["styles"]), encoding="utf-8")


def _lines(metrics: Mapping[str, Any], skipped: Sequence[str]) -> list[str]:
    """What the terminal is told."""
    lines = summary_lines(metrics["styles"])
    if metrics["resized"]:
        lines.append(f"drawings that were resized to their pictures: {metrics['resized']}")
    if skipped:
        more = len(skipped) - LISTED
        lines += [f"left out: {len(skipped)}", *(f"  {one}" for one in skipped[:LISTED])]
        lines += [f"  and {more} more, see table.json"] if more > 0 else []
    return lines
