"""A folder that is no Stable Diffusion in the diffusers layout is told what it is."""

import json
import shutil

import pytest

from featurekit.backbones import describe_backbone, load
from featurekit.core.errors import BackboneError


def lay(folder, **files):
    """Write files by their path; JSON from mappings."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content) if isinstance(content, dict) else content)
    return folder


def index(kind, *parts):
    return {"_class_name": kind} | {part: ["diffusers", "Some"] for part in parts}


FOLDERS = {
    "sd3": (
        {
            "model_index.json": index("StableDiffusion3Pipeline", "transformer", "vae"),
            "transformer/config.json": {},
        },
        r"every part of a model must be of a class of diffusers or transformers as installed, but "
        r".* names transformer a diffusers.Some; code that comes with a model is not run",
    ),
    "flux without its index": (
        {"transformer/config.json": {}},
        "a model with a transformer must have a model_index.json",
    ),
    "cascade": (
        {"model_index.json": index("StableCascadePriorPipeline", "prior")},
        "holds StableCascadePriorPipeline, which has none",
    ),
    "a unet": (
        {"config.json": {"_class_name": "UNet2DConditionModel"}},
        r"one part alone, a UNet2DConditionModel; name the folder of the whole pipeline",
    ),
    "a text encoder": (
        {"config.json": {"architectures": ["CLIPTextModel"]}},
        r"one part alone, a CLIPTextModel",
    ),
    "onnx": (
        {"model_index.json": index("OnnxStableDiffusionPipeline", "unet"), "unet/model.onnx": ""},
        r"was exported for ONNX \(unet/model.onnx\)",
    ),
    "a lora": (
        {"pytorch_lora_weights.safetensors": ""},
        r"holds an adapter \(pytorch_lora_weights.safetensors\); name the model",
    ),
    "a checkpoint": (
        {"v1-5.ckpt": "", "notes.txt": ""},
        r"got the file .*v1-5.ckpt; convert it .*from_single_file\('v1-5.ckpt'\)",
    ),
    "pictures": ({"a.png": ""}, r"must hold unet/config.json, .* it holds a.png"),
    "an index that is no JSON": (
        {"model_index.json": "{"},
        "index.json must be readable JSON",
    ),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_another_kind_is_named_in_one_sentence(name, tmp_path):
    files, message = FOLDERS[name]
    lay(tmp_path, **files)
    for way in (load, describe_backbone):
        with pytest.raises(BackboneError, match=message) as refusal:
            way(str(tmp_path))
        assert "\n" not in str(refusal.value)


def test_an_empty_file_of_weights_is_named(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(BackboneError, match=r"must be safetensors, .* is an empty file"):
        load(tmp_path / "model.safetensors")


def test_weights_that_do_not_fit_end_in_one_sentence_and_nothing_else(folder, capfd):
    other = folder / "vae/diffusion_pytorch_model.safetensors"
    shutil.copy(other, folder / "unet/diffusion_pytorch_model.safetensors")
    with pytest.raises(BackboneError, match=r"must (hold exactly|fit)") as refusal:
        load(str(folder), "cpu")
    assert len(str(refusal.value)) < 1000
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("part", "config", "kind"),
    [
        ("vae", {"_class_name": "AutoencoderTiny"}, "AutoencoderTiny"),
        ("text_encoder", {"architectures": ["T5EncoderModel"]}, "T5EncoderModel"),
    ],
)
def test_a_part_of_another_class_is_refused_before_weights_are_read(
    folder, part, config, kind, capfd
):
    path = folder / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    with pytest.raises(BackboneError, match=rf"{part} of .* its config says {kind}; take the"):
        load(str(folder), "cpu")
    assert capfd.readouterr() == ("", "")


def test_settings_that_the_stock_class_refuses_are_told_in_one_sentence(folder):
    path = folder / "unet/config.json"
    config = json.loads(path.read_text()) | {"time_embedding_type": "nothing"}
    path.write_text(json.dumps(config))
    with pytest.raises(BackboneError, match="must fit each other, got: nothing does not exist"):
        load(str(folder), "cpu")


def test_a_tokenizer_with_words_that_the_encoder_does_not_know_is_refused(folder):
    path = folder / "tokenizer/tokenizer.json"
    config = json.loads(path.read_text())
    extra = dict(config["added_tokens"][-1], id=400, content="<more>")
    config["added_tokens"].append(extra)
    path.write_text(json.dumps(config))
    with pytest.raises(BackboneError, match=r"number its words below 336, .* it has 33\d"):
        load(str(folder), "cpu")
