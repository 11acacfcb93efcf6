"""A file that holds no whole Stable Diffusion is refused in one sentence that names what it is."""

import json
import pickle

import pytest
import torch
from ldm_layout import whole_word_configs, write_single_file

from featurekit.backbones import describe_backbone, load
from featurekit.core.errors import BackboneError, ScheduleError, UnknownNameError
from featurekit.diffusion.noise_schedule import Schedule

ONE = torch.ones(2, 2)
FIRST = "model.diffusion_model.input_blocks.0.0.weight"
READS = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"

KINDS = {
    "flux": ({"double_blocks.0.img_attn.norm.key_norm.scale": ONE}, "FLUX, a transformer"),
    "flux of other programs": (
        {
            "model.diffusion_model.double_blocks.0.img_attn.qkv.weight": ONE,
            "text_encoders.clip_l.transformer.text_model.encoder.layers.0.a.weight": ONE,
            "vae.decoder.conv_in.weight": ONE,
        },
        "FLUX, a transformer",
    ),
    "flux 2": (
        {"double_stream_modulation_img.lin.weight": ONE, "double_blocks.0.img_attn.a": ONE},
        r"FLUX\.2, a transformer",
    ),
    "sd3": (
        {"model.diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight": ONE},
        "SD3, a transformer",
    ),
    "z-image": ({"cap_embedder.0.weight": ONE, "layers.0.attention.qkv.weight": ONE}, "Z-Image"),
    "diffusers transformer": (
        {"transformer_blocks.0.attn.to_q.weight": ONE},
        "a transformer or a part of one",
    ),
    "kohya lora": (
        {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": ONE},
        "LoRA.; give it as lora_file",
    ),
    "diffusers lora": ({"unet.conv_in.lora_A.weight": ONE}, "LoRA.; give it as lora_file"),
    "loha": ({"lora_unet_conv_in.hada_w1_a": ONE}, "an update of a model"),
    "controlnet": ({"control_model.input_blocks.0.0.weight": ONE}, "a ControlNet"),
    "controlnet with its model": ({"control_model.zero.weight": ONE, FIRST: ONE}, "a ControlNet"),
    "diffusers controlnet": ({"controlnet_cond_embedding.conv_in.weight": ONE}, "a ControlNet"),
    "ip-adapter": ({"image_proj.proj.weight": ONE}, "an IP-Adapter"),
    "embedding": ({"emb_params": ONE}, "a textual inversion"),
    "vae": ({"encoder.conv_in.weight": ONE}, "an autoencoder alone; give it as vae"),
    "vae with prefix": ({"first_stage_model.encoder.conv_in.weight": ONE}, "an autoencoder alone"),
    "diffusers vae": ({"encoder.down_blocks.0.resnets.0.conv1.weight": ONE}, "an autoencoder"),
    "taesd": ({"encoder.layers.0.weight": ONE, "decoder.layers.3.conv.0.weight": ONE}, "TAESD"),
    "text encoder": ({"text_model.encoder.layers.0.mlp.fc1.weight": ONE}, "a text encoder alone"),
    "diffusers unet": (
        {"conv_in.weight": ONE, "down_blocks.0.resnets.0.conv1.weight": ONE},
        "one network alone in the names of diffusers",
    ),
    "bare unet": ({"input_blocks.0.0.weight": ONE}, "a UNet alone"),
    "ema": ({"model_ema.diffusion_modelinput_blocks00weight": ONE}, "averaged weights"),
    "something": ({"a.weight": ONE, "b": ONE, "c": ONE}, r"3 tensors of an unknown .* \(a\.weight"),
    "nothing": ({}, r"0 tensors of an unknown architecture \(none\)"),
}


def refused(path, match):
    for way in (lambda one: load(one, "cpu"), describe_backbone):
        with pytest.raises(BackboneError, match=match) as refusal:
            way(str(path))
        assert "\n" not in str(refusal.value)
        assert str(path) in str(refusal.value)


@pytest.mark.parametrize("kind", KINDS)
def test_another_architecture_is_named(kind, tmp_path):
    tensors, match = KINDS[kind]
    refused(write_single_file(tmp_path / "it.safetensors", tensors), match)


@pytest.mark.parametrize(
    ("channels", "match"),
    [
        (9, "an inpainting model, whose UNet takes 9 channels"),
        (8, "InstructPix2Pix"),
        (7, "an upscaling model"),
        (5, "conditioned on depth"),
    ],
)
def test_a_unet_with_other_inputs_is_named(channels, match, weights, tmp_path):
    changed = {**weights["sd15"], FIRST: torch.zeros(16, channels, 3, 3)}
    refused(write_single_file(tmp_path / "in.safetensors", changed), match)


def test_words_of_another_width_are_named(weights, tmp_path):
    changed = {**weights["sd15"], READS: torch.zeros(16, 24)}
    refused(write_single_file(tmp_path / "w.safetensors", changed), "words of 24, 32 channels")


def test_the_refiner_is_named(weights, tmp_path):
    changed = {
        name.replace("embedders.1.", "embedders.0."): one
        for name, one in weights["sdxl"].items()
        if "embedders.0." not in name
    }
    refused(write_single_file(tmp_path / "r.safetensors", changed), "the refiner of")


def test_labels_beside_small_models_and_edm_are_named(weights, tmp_path):
    more = {"model.diffusion_model.label_emb.0.0.weight": ONE}
    path = write_single_file(tmp_path / "u.safetensors", {**weights["sd21"], **more})
    refused(path, r"a UNet that is told pictures or classes beside .* 2\.x")
    more = {"edm_mean": ONE}
    path = write_single_file(tmp_path / "p.safetensors", {**weights["sdxl"], **more})
    refused(path, r"Playground v2\.5")


def test_a_model_without_text_encoder_is_refused(weights, tmp_path):
    bare = {name: one for name, one in weights["sd15"].items() if name.startswith("model.")}
    path = write_single_file(tmp_path / "unet.safetensors", bare)
    refused(path, "must hold its text encoders, .* has none")


def test_a_model_without_autoencoder_says_how_to_give_one(weights, tmp_path):
    bare = {name: one for name, one in weights["sd15"].items() if "first_stage" not in name}
    path = write_single_file(tmp_path / "m.safetensors", bare)
    with pytest.raises(BackboneError, match=r"has none; give one as vae \(backbone\.vae="):
        load(path, "cpu")
    assert describe_backbone(str(path))  # of which the autoencoder is the family's


FILES = {
    "a text": (b"this is no model\n", "is a text file"),
    "a page": (b"<!DOCTYPE html><html>", "is a web page"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
    "a zip": (b"PK\x03\x04" + bytes(99), "a pickle or a zip archive"),
    "gguf": (b"GGUF" + bytes(99), "GGUF"),
    "nothing": (b"", "is an empty file"),
    "noise": (bytes(range(128, 255)) * 3, "is a pickle|damaged or cut short"),
    "other noise": (bytes(range(200, 255)) * 9, "damaged or cut short"),
}


@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_safetensors_file_is_named(kind, tmp_path):
    content, match = FILES[kind]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    refused(path, match)


def test_a_truncated_file_is_refused(written, tmp_path):
    content = written["sd15"].read_bytes()
    path = tmp_path / "cut.safetensors"
    for length in (20, 4000, len(content) - 1):
        path.write_bytes(content[:length])
        refused(path, "it is damaged or cut short")


@pytest.mark.parametrize("ending", ["ckpt", "pt", "pth", "bin"])
def test_a_pickle_is_never_opened(ending, tmp_path):
    path = tmp_path / f"model.{ending}"
    path.write_bytes(pickle.dumps({"state_dict": {}}))
    refused(path, rf"got the file .*convert it once .*from_single_file\('model\.{ending}'\)")


# what is told besides the architecture


def file_of(tmp_path, weights, *marks, **words):
    more = {mark: torch.ones(0) for mark in marks}
    return write_single_file(tmp_path / "v.safetensors", {**weights, **more}, **words)


def test_a_file_of_sd2_that_says_nothing_warns_what_is_taken(written):
    with pytest.warns(UserWarning, match=r"both: v_prediction is taken; .*prediction='epsilon'"):
        found = load(written["sd21"], "cpu")
    assert found.noise.prediction == "v_prediction"
    assert "its file says nothing" in found.noise.remark


def test_the_user_says_what_a_file_does_not(written):
    found = load(written["sd21"], "cpu", prediction="epsilon")
    assert found.noise.prediction == "epsilon"
    assert found.noise.remark == "prediction epsilon as was asked for"
    assert load(written["sd15"], "cpu", prediction="v_prediction").noise.prediction[0] == "v"
    with pytest.raises(UnknownNameError, match="no prediction named 'v'"):
        load(written["sd21"], "cpu", prediction="v")


@pytest.mark.parametrize(
    ("family", "marks", "words", "prediction"),
    [
        ("sdxl", ["v_pred"], {}, "v_prediction"),
        ("sd21", ["v_pred"], {}, "v_prediction"),
        ("sd21", [], {"modelspec.prediction_type": "epsilon"}, "epsilon"),
        ("sd21", [], {"modelspec.architecture": "stable-diffusion-v2-512"}, "epsilon"),
        ("sd21", [], {"modelspec.architecture": "stable-diffusion-v2-768-v"}, "v_prediction"),
        ("sd15", [], {"modelspec.prediction_type": "v"}, "v_prediction"),
        ("sd15", [], {"modelspec.title": "v"}, "epsilon"),
    ],
)
def test_a_file_says_what_it_predicts(family, marks, words, prediction, weights, tmp_path):
    path = file_of(tmp_path, weights[family], *marks, **words)
    found = load(path, "cpu")  # without a warning, which would end the test
    assert found.noise.prediction == prediction


def test_another_prediction_is_another_model_to_its_fingerprint(written):
    usual, other = (
        load(written["sd21"], "cpu", prediction=one) for one in ("v_prediction", "epsilon")
    )
    told = usual.embed("a")
    assert usual.predictor(told).fingerprint != other.predictor(told).fingerprint
    assert usual.weights != other.weights


def test_levels_without_signal_are_known_of_a_file_and_refused_where_they_must(weights, tmp_path):
    found = load(file_of(tmp_path, weights["sdxl"], "v_pred", "ztsnr"), "cpu")
    assert found.noise.alpha_bars[-1] < 1e-6
    with pytest.raises(ScheduleError, match="signal"):
        Schedule.ddim(found.noise, steps=5)


def test_nothing_but_the_header_is_read_to_describe_a_file(written, tmp_path, models):
    """A file of holes as long as the header says, without a weight in it."""
    content = written["sdxl"].read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    assert json.loads(content[8:length])
    path = tmp_path / "holes.safetensors"
    with path.open("wb") as file:
        file.write(content[:length])
        file.truncate(len(content))
    listed = describe_backbone(str(path))
    assert [tap.name for tap in listed] == list(models["sdxl"].activations)
    assert whole_word_configs("sdxl")["unet"]["block_out_channels"] == [16, 32, 64]
