"""A wrapped pipeline is known by the files that it was loaded from, while it answers as they do."""

import json
from importlib.resources import files

import pytest
import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from pipelines import of_two_encoders
from safetensors.torch import load_file, save_file

import featurekit as fk
from featurekit.backbones.loaded.first_files import FirstFiles

EMBEDDED = files("featurekit") / "weights" / "embedded"
UNET = "unet/diffusion_pytorch_model.safetensors"


def shipped(**how):
    return StableDiffusionPipeline.from_pretrained(EMBEDDED, **how)


@pytest.fixture
def wrapped():
    """The shipped model as somebody's pipeline."""
    return fk.wrap(shipped())


@pytest.fixture(scope="module")
def known():
    return dict(fk.load_backbone("embedded").weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_it_has_the_hashes_of_the_model_that_is_loaded_from_there(known, dtype):
    pipeline = shipped()
    assert dict(fk.wrap(pipeline.to(dtype=dtype)).weights) == known
    if dtype is torch.bfloat16:
        pipeline.to(dtype=torch.float32)  # which does not bring back what was rounded away
        found = dict(fk.wrap(pipeline).weights)
        assert found.keys() == {"unet", "vae", "text_encoder"}


def changed_weight(pipeline):
    with torch.no_grad():
        next(pipeline.unet.parameters()).view(-1)[0] += 1e-3


def changed_setting(pipeline):
    pipeline.enable_freeu(1.1, 1.1, 1.2, 1.2)


def adapted(pipeline):
    pipeline.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False))


@pytest.mark.parametrize("change", [changed_weight, changed_setting, adapted])
def test_what_changes_its_answers_is_no_longer_of_the_file(wrapped, known, change):
    assert dict(wrapped.weights) == known
    change(wrapped.pipeline)
    found = dict(wrapped.weights)
    assert found.keys() == {*known, "unet"} - {UNET}
    assert all(found[name] == known[name] for name in known if name != UNET)


def test_an_adapter_that_is_switched_off_changes_nothing(wrapped, known):
    adapted(wrapped.pipeline)
    wrapped.pipeline.unet.disable_adapters()
    assert dict(wrapped.weights) == known


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped model that may be spoilt."""
    shipped().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_folder_has_the_hashes_that_it_is_loaded_with(folder):
    found = dict(fk.wrap(StableDiffusionPipeline.from_pretrained(folder)).weights)
    assert found == dict(fk.load_backbone(str(folder)).weights)


@pytest.mark.parametrize("what", ["other numbers", "cut short", "gone"])
def test_files_that_are_others_now_are_not_its_files(folder, what):
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    path = folder / UNET
    if what == "other numbers":
        tensors = load_file(path)
        tensors["conv_in.bias"] += 1
        save_file(tensors, path)
    elif what == "cut short":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.unlink()
    found = dict(fk.wrap(pipeline).weights)
    assert "unet" in found
    assert UNET not in found


def test_two_encoders_and_shards_are_known(tmp_path):
    pipeline, _ = of_two_encoders()
    pipeline.save_pretrained(tmp_path, max_shard_size="300KB")
    again = type(pipeline).from_pretrained(tmp_path)
    found = dict(fk.wrap(again).weights)
    assert found == dict(fk.load_backbone(str(tmp_path)).weights)
    assert len(json.dumps(found)) > 64 * 6
    assert not found.keys() & {"unet", "vae", "text_encoder", "text_encoder_2"}


def test_a_network_that_came_from_nowhere_has_no_files():
    pipeline, _ = of_two_encoders()
    assert not FirstFiles(pipeline.unet).are_answered
    assert fk.wrap(pipeline).weights.keys() == {"unet", "vae", "text_encoder", "text_encoder_2"}
