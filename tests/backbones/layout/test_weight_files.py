"""Weights as they lie: shards, variants, and what lies there that is none."""

import json
import shutil
from hashlib import sha256

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from featurekit.backbones import load
from featurekit.backbones.folder import embedded_folder
from featurekit.backbones.layout.weight_files import FIRST_WRITTEN, patterns, weight_files
from featurekit.core.errors import BackboneError

UNET, TEXT = "unet/diffusion_pytorch_model", "text_encoder/model"


@pytest.fixture(scope="module")
def sharded(written, tmp_path_factory):
    """The same narrow model, UNet and text encoder in shards; do not change it."""
    folder = shutil.copytree(written("sd15"), tmp_path_factory.mktemp("sharded") / "model")
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    for part, network, size in (
        ("unet", pipe.unet, "400KB"),
        ("text_encoder", pipe.text_encoder, "40KB"),
    ):
        shutil.rmtree(folder / part)
        network.save_pretrained(folder / part, max_shard_size=size)
    return folder


def same_weights(one, other):
    for name in ("unet", "vae", "text_encoder"):
        found, meant = (getattr(model, name).state_dict() for model in (one, other))
        assert found.keys() == meant.keys()
        assert all(torch.equal(tensor, meant[key]) for key, tensor in found.items())


def test_shards_are_read_and_each_has_its_hash(sharded, written):
    model = load(str(sharded), "cpu")
    same_weights(model, load(str(written("sd15")), "cpu"))
    shards = [name for name in model.weights if name.startswith("unet/")]
    assert len(shards) > 2
    assert len({model.weights[name] for name in shards}) == len(shards)
    assert sum(name.startswith("text_encoder/") for name in model.weights) > 1


def test_a_left_over_index_counts_as_it_does_in_the_libraries(sharded, folder):
    for part, stem in (("unet", UNET), ("text_encoder", TEXT)):
        for path in (sharded / part).glob("*model*safetensors*"):
            shutil.copy(path, folder / part)
        whole = folder / f"{stem}.safetensors"
        assert (weight_files(folder, part).paths == (whole,)) is (part == "text_encoder")
    next((folder / "unet").glob("*-00001-of-*")).unlink()
    with pytest.raises(BackboneError, match=r"every shard .* found no .*-00001-of-.* remove the"):
        load(str(folder), "cpu")


@pytest.mark.parametrize("text", ["{", "{}", '{"weight_map": 3}'])
def test_an_index_that_names_no_shards_is_refused(folder, text):
    (folder / f"{UNET}.safetensors.index.json").write_text(text)
    with pytest.raises(BackboneError, match="must be JSON with a weight_map"):
        weight_files(folder, "unet")


@pytest.mark.parametrize("name", ["../weights.safetensors", "weights.bin"])
def test_an_index_that_leads_elsewhere_is_refused(folder, name):
    path = folder / f"{UNET}.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a": name}}))
    (folder / "unet/weights.bin").touch()
    (folder / "weights.safetensors").touch()
    with pytest.raises(BackboneError, match="must lie beside it as safetensors"):
        weight_files(folder, "unet")


@pytest.mark.parametrize("variant", ["fp16", "bf16", "non_ema", "of_mine"])
def test_a_variant_is_read_where_there_is_no_plain_file(written, folder, variant):
    (folder / f"{UNET}.safetensors").rename(folder / f"{UNET}.{variant}.safetensors")
    model = load(str(folder), "cpu")
    same_weights(model, load(str(written("sd15")), "cpu"))
    assert f"{UNET}.{variant}.safetensors" in model.weights


def test_shards_of_a_variant_are_read(written, folder):
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    shutil.rmtree(folder / "unet")
    pipe.unet.save_pretrained(folder / "unet", max_shard_size="400KB", variant="fp16")
    model = load(str(folder), "cpu")
    same_weights(model, load(str(written("sd15")), "cpu"))
    assert len(weight_files(folder, "unet").paths) > 2
    assert weight_files(folder, "unet").variant == "fp16"


def test_the_plain_file_comes_before_a_variant(folder):
    shutil.copy(folder / f"{UNET}.safetensors", folder / f"{UNET}.fp16.safetensors")
    assert weight_files(folder, "unet") == ((folder / f"{UNET}.safetensors",), "")


def test_two_variants_of_unknown_names_are_left_to_the_user(folder):
    for name in ("one", "two"):
        shutil.copy(folder / f"{UNET}.safetensors", folder / f"{UNET}.{name}.safetensors")
    assert weight_files(folder, "unet").variant == ""
    (folder / f"{UNET}.safetensors").unlink()
    with pytest.raises(BackboneError, match=r"one set of weights, it holds the variants one, two"):
        weight_files(folder, "unet")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("diffusion_flax_model.msgpack", "Flax"),
        ("model.onnx", "ONNX"),
        ("openvino_model.xml", "OpenVINO"),
    ],
)
def test_weights_for_another_library_are_named(folder, name, kind):
    (folder / f"{UNET}.safetensors").rename(folder / "unet" / name)
    with pytest.raises(BackboneError, match=rf"found only those for {kind} \(unet/{name}\)"):
        load(str(folder), "cpu")


def test_a_hub_is_asked_for_shards_and_then_for_variants():
    plain, others = patterns(variants=False), patterns(variants=True)
    assert f"{UNET}.safetensors.index.json" in plain
    assert f"{UNET}-*-of-*.safetensors" in plain
    assert f"{UNET}.non_ema.safetensors" in others
    assert not {name for name in plain if "fp16" in name}
    assert not set(plain) & set(others)


# the files that ship


def test_the_shipped_text_encoder_has_the_names_that_every_transformers_reads():
    names = load_file(embedded_folder() / f"{TEXT}.safetensors")
    assert len(names) == 52
    assert all(name.startswith("text_model.") for name in names)


def test_it_has_the_numbers_that_version_01_shipped(tmp_path):
    """Written as it was, it is the same file to the byte, and it goes on under that name."""
    path = embedded_folder() / f"{TEXT}.safetensors"
    was = {name.removeprefix("text_model."): one for name, one in load_file(path).items()}
    save_file(was, tmp_path / "was", metadata={"format": "pt"})
    new, old = (sha256(one.read_bytes()).hexdigest() for one in (path, tmp_path / "was"))
    assert {new: old} == FIRST_WRITTEN
    assert load("embedded", "cpu").weights[f"{TEXT}.safetensors"] == old


def test_the_shipped_tokenizer_lies_there_in_both_forms():
    folder = embedded_folder() / "tokenizer"
    whole = json.loads((folder / "tokenizer.json").read_text())["model"]
    assert json.loads((folder / "vocab.json").read_text()) == whole["vocab"]
    listed = (folder / "merges.txt").read_text().splitlines()[1:]
    assert listed == [one if isinstance(one, str) else " ".join(one) for one in whole["merges"]]
