"""Bundled plugins on loaded pipelines, which are as they were afterwards."""

from dataclasses import replace

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
from featurekit.pipeline.backbone_of_run import check_kind
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
    assert record["weights"] == dict(fk.load_backbone("embedded").weights)  # its files
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
    pipeline, _ = of_two_encoders()
    pipeline.unet.register_to_config(sample_size=32)  # pictures of 256 px, not of 1024
    backbone = fk.wrap(pipeline, "mine")
    words = ["plugin=sketch", *OF_SMALLER, *SHORT["sketch"], f"out={tmp_path}"]
    record = fk.run(fk.compose(words), backbone=backbone)
    assert record["status"] == "done"
    assert record["metrics"]["samples"] == 1


def test_a_plugin_of_unets_refuses_a_transformer_before_its_weights_are_read(tmp_path):
    small = SMALL["flux_dev"]()
    plugin = replace(load_plugin("sketch"), denoisers=("unet",))
    told = "plugin sketch must have a model with a unet, .* has a transformer; features of it"
    with pytest.raises(BackboneError, match=told):
        check_kind(plugin, fk.compose(["plugin=sketch", *OF_SMALLER]), small.wrapped())
    small.pipeline.save_pretrained(tmp_path)
    for weights in tmp_path.rglob("*.safetensors"):
        weights.unlink()
    with pytest.raises(BackboneError, match=told):
        check_kind(plugin, fk.compose(["plugin=sketch", f"backbone={tmp_path}"]), None)
