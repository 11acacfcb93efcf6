"""``task=evaluate``: drag held-out scenes whose truth is known, beside every control."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from featurekit.core.atomic import make_folder, replacing
from featurekit.core.cache import NO_CACHE, Cache
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.json_files import read_json, write_json
from featurekit.core.types import Job, Result
from featurekit.images.io import write_image
from featurekit.pipeline.config import compose
from featurekit.pipeline.run import run
from featurekit.scenes import KINDS, Move, held_out_moves
from featurekit_drag.checks import check_bundled
from featurekit_drag.config import DragConfig
from featurekit_drag.engine.edit import Edit
from featurekit_drag.inputs import from_move, native_size
from featurekit_drag.metrics.averages import Record, averages, by_kind
from featurekit_drag.metrics.scores import scores
from featurekit_drag.presets import settings_of_presets
from featurekit_drag.tasks.edit_seconds import EditClock
from featurekit_drag.tasks.evaluate_pictures import sheet
from featurekit_drag.tasks.evaluate_table import of_kinds, overall
from featurekit_drag.tasks.setup import drag_of, judge_of

SORTS = {"translations": False, "deformations": True}
AS_SET = "edit"  # what the run's own settings are called where no preset is
# settings that no scene's record depends on
OF_THE_TABLE = ("scene", "scenes", "presets", "points", "mask", "animation_frames")


@dataclass(frozen=True)
class Scene:
    """One scene of the evaluation."""

    sort: str
    number: int  # among all
    move: Move

    def file(self, job: Job, preset: str) -> Path:
        """Where its edit with a preset is kept."""
        return job.out / "scenes" / preset / f"{self.number:03d}.png"

    def key(self, job: Job, judging: DragConfig) -> str:
        """One hash for what decides its record."""
        backbone = job.backbone
        kept = {k: v for k, v in asdict(job.settings).items() if k not in OF_THE_TABLE}
        facts: list[Any] = [kept]
        facts += [judging.judge_tap, judging.judge_timestep, job.seed, backbone.name]
        facts += [backbone.dtype, dict(backbone.weights)]
        facts += [self.sort, self.move.kind, self.move.name, self.move.drags]
        return sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def bench(argv: Sequence[str]) -> int:
    """``featurekit bench drag-scenes``: the task ``evaluate`` with overrides, from the shell."""
    record = run(compose(["plugin=drag", "task=evaluate", *argv]))
    Console(soft_wrap=True).print(record["summary"], markup=False)
    return 0


def evaluate(job: Job) -> Result:
    """Drag ``plugin.scenes`` translations and as many deformations with each preset.

    A finished scene stays in ``out/scenes``: the same command with the same settings and the
    same ``out`` goes on where it was interrupted.

    Raises:
        ConfigError: a picture, points or a mask are given, whose truth is not known; or see
            ``settings_of_presets``.
        UnknownNameError: there is no such preset.
    """
    check_bundled(job)
    drags = {name: replace(job, settings=settings) for name, settings in _wanted(job).items()}
    told = [drag_of(one).schedule.told for one in drags.values()]  # refused before any work
    scenes = _scenes(job)
    records: list[Record] = []
    going_on = tells_how_to_go_on(lambda: f"run the same command with out={job.out} to go on")
    with going_on, job.stage("held-out scenes") as progress:
        for i, scene in enumerate(scenes):
            records += _dragged(job, scene, drags)
            progress(i + 1, len(scenes))
    metrics = {sort: _by_preset(records, sort, drags) for sort in SORTS}
    text = f"{overall(metrics)}\n{of_kinds(metrics)}"
    outputs = {
        "records": write_json({"scenes": records}, job.out / "records.json"),
        "table": _write_table(text, job.out / "table.md"),
        **{_sheet_name(name): _write_sheet(job, scenes, name) for name in drags},
    }
    return Result(
        stop=f"{len(scenes)} scenes are dragged",
        metrics=metrics,
        outputs=outputs,
        summary=overall(metrics).rstrip(),
        schedule="; ".join(dict.fromkeys(told)),
    )


def _wanted(job: Job) -> Mapping[str, DragConfig]:
    """Settings by preset; without animations, which nobody sees."""
    own: DragConfig = job.settings
    named = settings_of_presets(own, job.backbone.settings_of) or {AS_SET: own}
    return {name: replace(one, animation_frames=0) for name, one in named.items()}


def _scenes(job: Job) -> list[Scene]:
    """Held-out scenes of every kind in turn, those that no training saw among them."""
    moves = [
        (sort, move)
        for sort, deforms in SORTS.items()
        for move in held_out_moves(job.settings.scenes, deforms=deforms, kinds=tuple(KINDS))
    ]
    return [Scene(sort, number, move) for number, (sort, move) in enumerate(moves)]


def _dragged(job: Job, scene: Scene, drags: Mapping[str, Job]) -> list[Record]:
    """One record a preset, each dragged now or kept by an interrupted run of the same settings."""
    keys = {preset: scene.key(one, job.settings) for preset, one in drags.items()}
    records = {preset: _kept(scene.file(job, preset), key) for preset, key in keys.items()}
    missing = {preset: drags[preset] for preset, record in records.items() if record is None}
    if missing:
        subject = from_move(scene.move, size=native_size(job.backbone), seed=job.seed)
        # by the run's own settings, so that all presets are judged alike
        judge, clock = judge_of(job, subject), EditClock()
        with _shared_cache(job, missing) as cache:
            for preset, one in missing.items():
                done, seconds = clock.timed(drag_of(replace(one, cache=cache)), subject.request)
                record = {
                    "key": keys[preset],
                    "preset": preset,
                    "sort": scene.sort,
                    "kind": scene.move.kind,
                    "name": subject.name,
                    "length_px": float(subject.request.points.lengths.mean()),
                    "seconds": seconds,
                    "stop": done.stop.name,
                    "updates": len(done.trace),
                    "scores": scores(done.image, subject, judge, done.stages),
                }
                records[preset] = _keep(scene.file(job, preset), done, record)
    return [record for record in records.values() if record is not None]


@contextmanager
def _shared_cache(job: Job, drags: Mapping[str, Job]) -> Iterator[Cache]:
    """Let a LoRA of one scene serve every preset that fits one alike, and then no other drag."""
    if len(drags) == 1:
        yield NO_CACHE
        return
    with TemporaryDirectory(dir=job.out, prefix="shared-") as folder:
        yield Cache(Path(folder))


def _kept(edited: Path, key: str) -> Record | None:
    kept = edited.with_suffix(".json")
    if not (kept.exists() and edited.exists()):
        return None
    record: Record = read_json(kept)
    return record if record.get("key") == key else None


def _keep(edited: Path, done: Edit, record: Record) -> Record:
    make_folder(edited.parent)
    write_image(done.image, edited)
    write_json(record, edited.with_suffix(".json"))
    return record


def _by_preset(
    records: Sequence[Record], sort: str, presets: Mapping[str, Job]
) -> dict[str, dict[str, Any]]:
    groups = {
        name: [one for one in records if (one["preset"], one["sort"]) == (name, sort)]
        for name in presets
    }
    return {name: {**averages(group), "kinds": by_kind(group)} for name, group in groups.items()}


def _sheet_name(preset: str) -> str:
    return "sheet" if preset == AS_SET else f"sheet_{preset}"


def _write_sheet(job: Job, scenes: Sequence[Scene], preset: str) -> Path:
    shown = {
        sort: [(one.move, one.file(job, preset)) for one in scenes if one.sort == sort]
        for sort in SORTS
    }
    picture = sheet(shown, native_size(job.backbone))
    return write_image(picture, job.out / f"{_sheet_name(preset)}.png")


def _write_table(text: str, path: Path) -> Path:
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")
    return path
