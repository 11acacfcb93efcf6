"""``task=evaluate``: drag held-out scenes whose truth is known, beside every control."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image
from rich.console import Console

from featurekit.core.cache import NO_CACHE
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.json_files import read_json, write_json
from featurekit.core.types import Job, Result
from featurekit.images.io import image_to_pil, load_image, write_image
from featurekit.images.marks import arrows, marked
from featurekit.images.pictures import contact_sheet
from featurekit.pipeline.config import compose
from featurekit.pipeline.run import run
from featurekit.scenes import Move, held_out_moves
from featurekit_drag.checks import check_bundled
from featurekit_drag.config import DragConfig
from featurekit_drag.inputs import from_move, native_size
from featurekit_drag.metrics.judges import JUDGES
from featurekit_drag.metrics.scores import scores
from featurekit_drag.tasks.setup import drag_of, judge_of

Record = Mapping[str, Any]
SORTS = {"translations": False, "deformations": True}
SCENES_A_ROW, TILE_PX = 3, 256
SUCCESS_RATIO, SUCCESS_SHARE = 0.5, 0.5  # of the input's MSE and of the move


def bench(argv: Sequence[str]) -> int:
    """``featurekit bench drag-scenes``: the task ``evaluate`` with overrides, from the shell."""
    record = run(compose(["plugin=drag", "task=evaluate", *argv]))
    Console().print(record["summary"])
    return 0


def evaluate(job: Job) -> Result:
    """Drag ``plugin.scenes`` translations and as many deformations, and report every row.

    A finished scene stays in ``out/scenes``: the same command with the same settings and the
    same ``out`` goes on where it was interrupted.

    Raises:
        ConfigError: a picture, points or a mask are given; their truth is not known.
    """
    config: DragConfig = job.settings
    check_bundled(job)
    moves = [
        (sort, move)
        for sort, deforms in SORTS.items()
        for move in held_out_moves(config.scenes, deforms=deforms)
    ]
    records = []
    going_on = tells_how_to_go_on(lambda: f"run the same command with out={job.out} to go on")
    with going_on, job.stage("held-out scenes") as progress:
        for i, (sort, move) in enumerate(moves):
            records.append({"sort": sort, **_scene(job, move, job.out / "scenes" / f"{i:03d}")})
            progress(i + 1, len(moves))
    metrics = {sort: averages([r for r in records if r["sort"] == sort]) for sort in SORTS}
    outputs = {"sheet": job.out / "sheet.png", "records": job.out / "records.json"}
    write_image(_sheet(job, moves), outputs["sheet"])
    write_json({"scenes": records}, outputs["records"])
    return Result(
        stop=f"{len(records)} scenes are dragged",
        metrics=metrics,
        outputs=outputs,
        summary="\n".join(_line(sort, row) for sort, row in metrics.items()),
        schedule=drag_of(job).schedule.told,
    )


def averages(records: Sequence[Record]) -> dict[str, Any]:
    """Means over scenes by row (edit, controls, truth, floor), and how many edits succeeded.

    An edit succeeds when its MSE to the truth is below half the input's and the distance that
    is left, by the mean of both judges, below half the move.
    """
    rows = records[0]["scores"]
    table = {
        name: {
            "mse_ratio": fmean(record["scores"][name]["mse_ratio"] for record in records),
            "error_share": {
                judge: fmean(r["scores"][name]["error_share"][judge] for r in records)
                for judge in JUDGES
            },
        }
        for name in rows
    }
    successes = sum(_succeeded(record["scores"]["edit"]) for record in records)
    lengths = [record["length_px"] for record in records]
    return {
        "scenes": len(records),
        "mean_move_px": fmean(lengths),
        "shortest_move_px": min(lengths),
        "successes": successes,
        "rows": table,
    }


def _succeeded(row: Record) -> bool:
    share = fmean(row["error_share"].values())
    return bool(row["mse_ratio"] < SUCCESS_RATIO and share < SUCCESS_SHARE)


def _scene(job: Job, move: Move, folder: Path) -> Record:
    """Drag one scene, or read what an interrupted run of the same settings left."""
    key = _fingerprint(job, move)
    kept = folder.with_suffix(".json")
    if kept.exists():
        record: Record = read_json(kept)
        if record.get("key") == key:
            return record
    subject = from_move(move, size=native_size(job.backbone), seed=job.seed)
    # nobody sees an animation, and no scene is dragged again
    still = replace(job, settings=replace(job.settings, animation_frames=0), cache=NO_CACHE)
    done = drag_of(still)(subject.request)
    record = {
        "key": key,
        "name": subject.name,
        "length_px": float(subject.request.points.lengths.mean()),
        "stop": done.dragged.stop.name,
        "updates": len(done.dragged.trace),
        "scores": scores(done.image, subject, judge_of(job, subject)),
    }
    folder.parent.mkdir(exist_ok=True)
    write_image(done.image, folder.with_suffix(".png"))
    write_json(record, kept)
    return record


def _fingerprint(job: Job, move: Move) -> str:
    """One hash for what decides a scene's record."""
    backbone = job.backbone
    facts = [asdict(job.settings), job.seed, backbone.name, backbone.dtype, dict(backbone.weights)]
    facts += [move.kind, move.name, move.drags]
    return sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _sheet(job: Job, moves: Sequence[tuple[str, Move]]) -> Image.Image:
    """All scenes, none chosen: before, edit, truth; several scenes a row."""
    rows = {}
    for sort in SORTS:
        numbers = [i for i, (one, _) in enumerate(moves) if one == sort]
        for start in range(0, len(numbers), SCENES_A_ROW):
            row = numbers[start : start + SCENES_A_ROW]
            shown = [_tiles(job, moves[i][1], job.out / "scenes" / f"{i:03d}.png") for i in row]
            rows[f"{sort} {row[0]} to {row[-1]}"] = [*chain.from_iterable(shown)]
    return contact_sheet(rows, ["before", "edit", "the true result"] * SCENES_A_ROW)


def _tiles(job: Job, move: Move, edited: Path) -> list[Image.Image]:
    size = native_size(job.backbone)
    side = (TILE_PX, TILE_PX)
    before = move.before.image(size).resize(side, Image.Resampling.LANCZOS)
    arrowed = marked(before, TILE_PX / size, arrows([[*a, *b] for a, b in move.drags_px(size)]))
    return [arrowed, image_to_pil(load_image(edited)), move.after.image(size)]


def _line(sort: str, row: Record) -> str:
    """One line per sort: the edit's figures, then its rivals' likeness."""
    edit, rows = row["rows"]["edit"], row["rows"]
    shares = ", ".join(f"{share:.0%} by {judge}" for judge, share in edit["error_share"].items())
    rivals = ", ".join(
        f"{name} {rows[name]['mse_ratio']:.2f}" for name in rows if name not in ("edit", "truth")
    )
    return (
        f"{sort}: {row['scenes']} scenes, mean move {row['mean_move_px']:.1f} px; "
        f"MSE to the truth {edit['mse_ratio']:.2f} of doing nothing ({rivals}); "
        f"left of the move {shares}; {row['successes']} succeed"
    )
