"""The stage ``clip`` of ``featurekit train-embedded``, at a size that takes seconds."""

import json
import shutil
from dataclasses import replace

import pytest
from safetensors.torch import load_file

from featurekit.backbones.open_clip import CONFIG, WEIGHTS, load
from featurekit.cli.router import main
from featurekit.training import recipe, stages
from featurekit.training.loop import checkpoints
from featurekit.training.networks import clip
from featurekit.training.recipe import SMALL, Run

STAGES = "stages=[scenes,clip]"
SMALLEST = replace(
    SMALL,
    name="smallest",
    size=32,
    scenes=8,
    drawings=6,
    clip=Run(samples=16, batch=8, rate=1e-3, average=0.9, warm_up=2),
)


@pytest.fixture(scope="module", autouse=True)
def smallest():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "RECIPES", {"smallest": SMALLEST})
        patch.setattr(stages, "WATCHED", 64)
        patch.setattr(clip, "SETTLED", 1)
        yield


def train(folder, *words):
    return main(["train-embedded", "recipe=smallest", f"folder={folder}", "workers=1", *words])


@pytest.fixture(scope="module")
def made(tmp_path_factory, smallest):
    """What the stage leaves, and a model's folder beside it."""
    folder = tmp_path_factory.mktemp("made")
    assert train(folder, STAGES) == 0
    model = folder / "embedded"
    shutil.copytree(folder / "tokenizer", model / "tokenizer")
    (model / "model_index.json").write_text("{}")
    (model / "training.json").write_text(json.dumps({"stages": {"clip": {"samples": 24}}}))
    return folder


@pytest.fixture
def start(tmp_path, made):
    """A model's folder with a CLIP beside it."""
    return shutil.copytree(made, tmp_path / "a") / "embedded"


def test_the_stage_leaves_a_model_that_open_clip_loads(made):
    model = load(str(made / "open_clip"))
    assert model.size == (32, 32)
    assert model.embed_text(["a red house", "a blue dog"]).shape == (2, 128)


def test_the_clip_beside_a_model_is_gone_on_with(tmp_path, start):
    assert train(tmp_path / "b", STAGES, f"start={start}", "clip_samples=8") == 0
    progress, tensors = checkpoints.load(
        tmp_path / "b" / "clip.ckpt.safetensors", recipe=SMALLEST, stage="clip"
    )
    assert (progress.before, progress.samples, progress.started) == (24, 8, "embedded")
    stored = load_file(start.parent / "open_clip" / WEIGHTS)["text_projection"].float()
    moved = tensors["weights/text_projection"] - stored
    # one step of the warm-up away, up to the rounding of the folder
    assert 0 < float(moved.abs().max()) < 0.02 * float(stored.std())


def test_without_a_clip_beside_the_model_it_begins_from_random_weights(tmp_path, start):
    shutil.rmtree(start.parent / "open_clip")
    assert train(tmp_path / "b", STAGES, f"start={start}", "clip_samples=8") == 0
    progress, _ = checkpoints.load(
        tmp_path / "b" / "clip.ckpt.safetensors", recipe=SMALLEST, stage="clip"
    )
    assert (progress.before, progress.started) == (0, "random weights")


@pytest.mark.parametrize(("old", "new"), [('"embed_dim": 128', '"embed_dim": 64'), ("{", "")])
def test_a_clip_of_another_shape_is_not_gone_on_with(tmp_path, start, capsys, old, new):
    config = start.parent / "open_clip" / CONFIG
    config.write_text(config.read_text().replace(old, new))
    assert train(tmp_path / "b", STAGES, f"start={start}") == 2
    assert "a CLIP to go on with must have" in capsys.readouterr().err
    assert not (tmp_path / "b" / "clip.ckpt.safetensors").exists()


def test_without_scenes_nothing_is_drawn(tmp_path, capsys):
    assert train(tmp_path / "b", "stages=[clip]") == 2
    assert "stage 'clip' needs what stage 'scenes' makes" in capsys.readouterr().err
    assert not list((tmp_path / "b").glob("*"))
