"""The report: what it tells of a training that went on from a model, and the CLIP that ships."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from featurekit.backbones import open_clip
from featurekit.core.errors import TrainingError
from featurekit.scenes import WATCHED
from featurekit.training import retrieval
from featurekit.training.loop import checkpoints
from featurekit.training.loop.checkpoints import Progress
from featurekit.training.recipe import RUNS, SMALL
from featurekit.training.report import _known, _stages
from featurekit.training.stages import RECORD, Workshop


def kept(folder, stage, progress):
    path = folder / f"{stage}.ckpt.safetensors"
    checkpoints.save(path, progress, {"w": torch.zeros(1)}, recipe=SMALL, stage=stage)


def progress(**changes):
    history = [{"samples": 10.0, "loss": 1.0}]
    return replace(Progress(samples=10, seconds=5.0, history=history), **changes)


def test_a_training_from_nothing_tells_its_own_samples(tmp_path):
    for name in RUNS:
        kept(tmp_path, name, progress())
    told = _stages(Workshop(SMALL, tmp_path))
    assert {name: told[name]["samples"] for name in told} == dict.fromkeys(RUNS, 10)
    assert told["unet"]["started"] == "random weights"


def test_a_training_from_a_model_adds_to_what_that_one_saw(tmp_path):
    start, folder = tmp_path / "model", tmp_path / "new"
    start.mkdir(), folder.mkdir()
    before = {"samples": 100, "seconds": 50.0, "started": "random weights"}
    before["history"] = [{"samples": 100.0, "loss": 2.0}]
    record = {"stages": dict.fromkeys(RUNS, before)}
    (start / RECORD).write_text(json.dumps(record))
    kept(folder, "unet", progress(before=100, started="model"))
    told = _stages(Workshop(SMALL, folder, start))
    assert told["unet"]["samples"] == 110
    assert told["unet"]["seconds"] == 55.0
    assert [entry["samples"] for entry in told["unet"]["history"]] == [100.0, 110.0]
    assert told["vae"] == before


def test_a_training_begins_with_the_samples_that_its_model_has_seen(tmp_path):
    record = {"stages": {"unet": {"samples": 86}}}
    (tmp_path / RECORD).write_text(json.dumps(record))
    begun = Workshop(SMALL, tmp_path / "new", tmp_path).begin("unet")
    assert asdict(begun) == asdict(Progress(started=tmp_path.name, before=86))


def test_a_model_without_a_record_or_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=rf"found no {RECORD}"):
        _known(tmp_path)
    with pytest.raises(TrainingError, match="must know how 'vae' was trained, found no checkpoint"):
        _stages(Workshop(SMALL, tmp_path))


def test_the_clip_that_ships_finds_most_captions_of_scenes_it_was_never_watched_by():
    found = retrieval.measure_retrieval(
        open_clip.load(device="cpu"), progress=lambda done, total: None
    )
    assert WATCHED % 64 == 0
    assert found.figures["retrieval"] >= 0.85
    assert 0.3 < found.figures["retrieval_drawings"] <= 1  # by chance 1 of 64
