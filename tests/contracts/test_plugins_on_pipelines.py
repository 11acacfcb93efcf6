"""Bundled plugins on loaded pipelines: of a UNet all serve, of a transformer some are refused."""

import subprocess
import sys

import pytest
import torch
from diffusers import StableDiffusionPipeline
from pipelines import of_two_encoders
from small_transformers import SMALL
from test_plugins import BUNDLED, SHORT

import featurekit as fk
from featurekit.backbones.folder import embedded_folder
from featurekit.backbones.loaded.alterations import state
from featurekit.core.errors import BackboneError
from featurekit.pipeline.registry import load_plugin
from featurekit_drag import Session

OF_SMALLER = ["backbone=embedded"]  # whose settings hold; the networks are the pipeline's


@pytest.fixture(scope="module")
def pipeline():
    """The embedded model as a user of diffusers loads it, whose weights want gradients."""
    return StableDiffusionPipeline.from_pretrained(embedded_folder(), local_files_only=True)


def networks_of(pipeline):
    return (pipeline.unet, pipeline.vae, pipeline.text_encoder)


@pytest.mark.parametrize("name", BUNDLED)
def test_a_plugin_runs_on_a_loaded_pipeline_and_leaves_it_as_it_was(name, pipeline, tmp_path):
    before = [state(network) for network in networks_of(pipeline)]
    words = [f"plugin={name}", *OF_SMALLER, *SHORT[name], f"out='{tmp_path}'"]
    record = fk.run(fk.compose(words), backbone=fk.wrap(pipeline, "mine"))
    assert record["status"] == "done"
    assert set(record["weights"]) == {"unet", "vae", "text_encoder"}  # hashes of what it has
    assert record["outputs"]
    assert [state(network) for network in networks_of(pipeline)] == before
    for network in networks_of(pipeline):
        assert all(w.requires_grad and w.grad is None for w in network.parameters())


def test_a_drag_on_it_is_the_drag_on_the_same_model(pipeline, tmp_path):
    words = ["plugin=drag", *OF_SMALLER, *SHORT["drag"]]
    pictures = []
    for at, given in (("own", None), ("wrapped", fk.wrap(pipeline, "mine"))):
        cfg = fk.compose([*words, f"out='{tmp_path / at}'"])
        fk.run(cfg, backbone=given)
        pictures.append(fk.load_image(tmp_path / at / "edit.png"))
    assert (pictures[0] - pictures[1]).abs().max() <= 2 / 127.5  # two grey levels


def test_a_session_takes_the_settings_of_a_model_of_its_shape(pipeline):
    wrapped = fk.wrap(pipeline, "mine")
    assert wrapped.settings_of == "sd15"
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    session = Session.open(wrapped, picture, "a face")
    assert session.preview([[20, 20, 30, 24]]).shape[-2:] == (64, 64)


def test_a_style_is_learnt_on_a_model_of_two_text_encoders(tmp_path):
    """What the network is told beside states, the pooled text, comes with each of its words."""
    backbone = fk.wrap(of_two_encoders()[0], "mine")
    words = ["plugin=sketch", *OF_SMALLER, *SHORT["sketch"], f"out={tmp_path}", "plugin.side_px=64"]
    record = fk.run(fk.compose(words), backbone=backbone)
    assert record["status"] == "done"
    assert record["metrics"]["samples"] == 1


@pytest.mark.parametrize(
    "name", [name for name in BUNDLED if "transformer" not in load_plugin(name).denoisers]
)
def test_a_transformer_is_refused_before_any_work(name, tmp_path):
    small = SMALL["flux_dev"]()
    words = [f"plugin={name}", *OF_SMALLER, f"out='{tmp_path}'"]
    with pytest.raises(BackboneError, match=f"plugin {name} must have a model with a unet, .* has"):
        fk.run(fk.compose(words), backbone=small.wrapped())
    small.pipeline.save_pretrained(tmp_path / "model")
    asked = [f"plugin={name}", f"backbone={tmp_path / 'model'}", f"out={tmp_path / 'run'}"]
    ended = subprocess.run(
        [sys.executable, "-m", "featurekit", "run", *asked], capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert "has a transformer; features of it can be read with extract" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_session_on_a_transformer_is_refused():
    picture = torch.zeros(1, 3, 64, 64)
    with pytest.raises(BackboneError, match="a drag must have a model with a unet"):
        Session.open(SMALL["flux_dev"]().wrapped(), picture)
