"""``task=evaluate plugin.dataset=FOLDER``: drag a published data set, measured as published."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from featurekit.core.atomic import replacing
from featurekit.core.cache import NO_CACHE
from featurekit.core.errors import ConfigError, ImageError, MaskError, PointsError
from featurekit.core.file_bytes import sha256_of
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.json_files import read_json, write_json
from featurekit.core.types import Job, Result
from featurekit.images.io import image_to_pil, load_image, write_image
from featurekit.images.marks import arrows, marked
from featurekit.images.pictures import contact_sheet
from featurekit.measures.perceptual.distances import Lpips
from featurekit_drag.config import DragConfig
from featurekit_drag.datasets.layouts import DragData, open_dataset
from featurekit_drag.datasets.samples import Sample
from featurekit_drag.engine.edit import Edit
from featurekit_drag.inputs import Subject
from featurekit_drag.metrics.benchmark import (
    CONTROLS,
    BenchmarkJudge,
    EditOf,
    benchmark_rows,
    features_of,
)
from featurekit_drag.tasks.dataset_table import TOLD, as_markdown, tables
from featurekit_drag.tasks.setup import drag_of
from featurekit_drag.tasks.working_edit import edited
from featurekit_drag.working_size import work_on

Record = Mapping[str, Any]

BROKEN = (ConfigError, ImageError, MaskError, PointsError)  # of a sample that cannot be used
NOT_DECISIVE = ("dataset", "scenes", "scene", "lpips", "animation_frames")  # for a sample's record
SAMPLES_A_ROW, TILE_PX, LARGEST_SHEET = 4, 256, 240
SUMMARY = ("md_px", "masked_md_px", "disc_md_x100", "if", "mse_ratio")  # in the line of a row


@dataclass(frozen=True)
class _Run:
    """What is the same for every sample of a run."""

    job: Job
    drag: Callable[[Subject], Edit]
    judge: BenchmarkJudge
    facts: tuple[Any, ...]  # that decide a record, beside the sample itself


def evaluate_dataset(job: Job) -> Result:
    """Drag every sample of ``plugin.dataset`` and report the figures of its benchmark.

    A finished sample stays in ``out/samples``: the same command with the same settings and the
    same ``out`` goes on where it was interrupted. A sample that cannot be read or dragged is left
    out, named, and makes the exit code 3.

    Raises:
        ConfigError: the folder is no data set, or none of its samples can be used.
    """
    data = open_dataset(job.settings.dataset)
    run = _run_of(job)
    job.say(
        f"{data.name}: {len(data.samples)} samples; MD by {job.backbone.name}'s "
        f"{job.settings.judge_tap} at timestep {job.settings.judge_timestep}"
    )
    if run.judge.perceptual is None:
        job.say("image fidelity is left out: it needs the weights of LPIPS; give plugin.lpips=FILE")
    records, skipped = [], list(data.broken)
    going_on = tells_how_to_go_on(lambda: f"run the same command with out={job.out} to go on")
    with going_on, job.stage(data.name) as progress:
        for number, sample in enumerate(data.samples, start=1):
            try:
                records.append(_record(run, data, sample))
            except BROKEN as error:
                skipped.append(f"{sample.name}: {error}")
            progress(number, len(data.samples))
    if not records:
        raise ConfigError(f"plugin.dataset must have a sample that can be used; {skipped[0]}")
    metrics = {"dataset": data.name, "skipped": len(skipped), **tables(records)}
    return Result(
        stop=f"{len(records)} of {len(records) + len(skipped)} samples are dragged and measured",
        metrics=metrics,
        outputs=_written(job, data, records, metrics, skipped),
        summary="\n".join(_lines(metrics)),
        skipped=tuple(skipped),
        schedule=drag_of(job).schedule.told,
    )


def _run_of(job: Job) -> _Run:
    config: DragConfig = job.settings
    # nobody sees an animation, and no sample is dragged again
    still = replace(job, settings=replace(config, animation_frames=0), cache=NO_CACHE)
    engine = drag_of(still)

    def drag(subject: Subject) -> Edit:
        return edited(engine, work_on(subject, config.side_px or 0))

    lpips = None if config.lpips is None else Lpips.load(config.lpips, "cpu")
    judge = BenchmarkJudge(
        features_of(job.backbone, config.judge_tap, config.judge_timestep),
        seed=job.seed,
        seeds=config.metric_seeds,
        perceptual=lpips,
    )
    backbone = job.backbone
    settings = {key: value for key, value in asdict(config).items() if key not in NOT_DECISIVE}
    weights = None if config.lpips is None else sha256_of(config.lpips)
    facts = (settings, weights, job.seed, backbone.name, backbone.dtype, dict(backbone.weights))
    return _Run(job, drag, judge, facts)


def _record(run: _Run, data: DragData, sample: Sample) -> Record:
    """Drag and measure one sample, or read what an interrupted run of the same settings left."""
    read = data.layout.read(sample)
    subject = replace(read, request=replace(read.request, seed=run.job.seed))
    key = _fingerprint(run, subject)
    kept = _place(run.job.out, sample, ".json")
    if kept.exists():
        record: Record = read_json(kept)
        if record.get("key") == key:
            return record
    done = run.drag(subject)
    on_the_way = {name: _always(picture) for name, picture in done.stages.items()}
    rows, edit = benchmark_rows(subject, _always(done.image), run.judge, {**CONTROLS, **on_the_way})
    record = {
        "key": key,
        "name": sample.name,
        "category": sample.category,
        "points": subject.request.points.rows,
        "lengths_px": subject.request.points.lengths.tolist(),
        "rows": rows,
    }
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_image(edit, _place(run.job.out, sample, ".png"))
    write_json(record, kept)
    return record


def _always(picture: Tensor) -> EditOf:
    return lambda subject: picture.to(subject.request.image)


def _place(out: Path, sample: Sample, ending: str) -> Path:
    return out / "samples" / f"{sample.name}{ending}"


def _fingerprint(run: _Run, subject: Subject) -> str:
    """One hash for what decides a sample's record: the settings, and all that was read of it."""
    request = subject.request
    digest = sha256(json.dumps(run.facts, sort_keys=True, default=str).encode())
    digest.update(json.dumps([subject.name, request.prompt, request.points.rows]).encode())
    for tensor in (request.image, request.mask, subject.truth):
        digest.update(b"none" if tensor is None else tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _written(
    job: Job,
    data: DragData,
    records: Sequence[Record],
    metrics: Mapping[str, Any],
    skipped: Sequence[str],
) -> dict[str, Path]:
    """Write what the run leaves beside its samples."""
    outputs = {name: job.out / file for name, file in _FILES.items()}
    write_json(
        {"dataset": data.name, "samples": list(records), "skipped": list(skipped)},
        outputs["records"],
    )
    with replacing(outputs["table"]) as temporary:
        temporary.write_text(as_markdown(metrics), encoding="utf-8")
    measured = {record["name"] for record in records}
    shown = [sample for sample in data.samples if sample.name in measured]
    write_image(_sheet(job, data, shown), outputs["sheet"])
    return outputs


_FILES = {"records": "records.json", "table": "table.md", "sheet": "sheet.png"}


def _sheet(job: Job, data: DragData, samples: Sequence[Sample]) -> Image.Image:
    """Before and after of every sample; of very many, of samples at equal steps."""
    shown = samples[:: -(-len(samples) // LARGEST_SHEET)]
    rows: dict[str, list[Image.Image]] = {}
    for start in range(0, len(shown), SAMPLES_A_ROW):
        row = shown[start : start + SAMPLES_A_ROW]
        tiles = [tile for sample in row for tile in _tiles(job, data, sample)]
        rows[f"{start + 1} to {start + len(row)}"] = tiles
    return contact_sheet(rows, ["before", "edit"] * SAMPLES_A_ROW)


def _tiles(job: Job, data: DragData, sample: Sample) -> list[Image.Image]:
    subject = data.layout.read(sample)
    edit = image_to_pil(load_image(_place(job.out, sample, ".png")))
    before = image_to_pil(subject.request.image)
    scale = TILE_PX / max(before.size)
    size = (max(1, round(before.width * scale)), max(1, round(before.height * scale)))
    small, after = (one.resize(size, Image.Resampling.LANCZOS) for one in (before, edit))
    return [marked(small, scale, arrows(subject.request.points.rows)), after]


def _lines(metrics: Mapping[str, Any]) -> list[str]:
    """What the terminal is told: what was measured, then a line for each row."""
    skipped = f", {metrics['skipped']} skipped" if metrics["skipped"] else ""
    lines = [
        f"{metrics['dataset']}: {metrics['samples']} samples{skipped}, {metrics['pairs']} drags, "
        f"mean move {metrics['mean_move_px']:.2f} px"
    ]
    for name, row in metrics["rows"].items():
        figures = [f"{TOLD[one]} {row[one]:.2f}" for one in SUMMARY if row[one] is not None]
        lines.append(f"{name}: {', '.join(figures)}")
    return lines
