"""A whole model in one file is loaded to the bit, without any network."""

import pickle
import socket
import warnings

import pytest
import torch
from ldm_layout import built, single_file_weights, write_single_file

import featurekit as fk
from featurekit.backbones import load

FAMILIES = ("sd15", "sd21", "sdxl")
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


@pytest.fixture
def no_network(monkeypatch):
    """Refuse every connection."""

    def refused(*_, **__):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


def loaded(path, *given, **named):
    """Load, and pass over the warning that SD 2.x in one file does not say what it predicts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*what its UNet predicts")
        return load(path, "cpu", *given, **named)


def assert_equal(found, model):
    for part in PARTS:
        theirs = getattr(model, part, None)
        if theirs is None:
            continue
        ours, wanted = getattr(found, part).state_dict(), theirs.state_dict()
        assert ours.keys() == wanted.keys(), part
        assert [name for name in wanted if not torch.equal(ours[name], wanted[name])] == [], part


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_is_its_model_to_the_bit(family, models, written, no_network):
    found = loaded(written[family])
    assert_equal(found, models[family])
    assert found.multiple == models[family].multiple
    assert found.noise.prediction == models[family].noise.prediction
    assert torch.equal(found.noise.alpha_bars, models[family].noise.alpha_bars)
    assert not found.unet.training
    assert not any(one.requires_grad for one in found.unet.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_encodes_and_predicts_as_its_model(family, models, written):
    found, model = loaded(written[family]), models[family]
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    told = found.embed("a red face")
    with torch.no_grad():
        z = found.encode(image)
        assert torch.equal(z, model.encode(image))
        assert torch.equal(found.predictor(told)(z, 261), model.predictor(told)(z, 261))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_in_a_file_is_cast(dtype, weights, tmp_path):
    path = write_single_file(tmp_path / "half.safetensors", weights["sd15"], dtype)
    found = loaded(path)
    assert found.dtype == torch.float32
    name = "model.diffusion_model.input_blocks.1.0.in_layers.2.weight"
    own = found.unet.down_blocks[0].resnets[0].conv1.weight
    assert torch.equal(own, weights["sd15"][name].to(dtype).float())
    assert loaded(path, "bfloat16").unet.dtype == torch.bfloat16


def test_averaged_weights_are_told_and_left_out(weights, models, tmp_path):
    own = [name for name in weights["sd15"] if name.startswith("model.diffusion_model.")]
    more = {f"model_ema.{''.join(name.split('.')[1:])}": torch.zeros(1) for name in own}
    path = write_single_file(tmp_path / "ema.safetensors", {**weights["sd15"], **more})
    with pytest.warns(fk.errors.FeatureKitWarning, match=rf"{len(own)} tensors that are left out"):
        found = load(path, "cpu")
    assert_equal(found, models["sd15"])


def test_text_encoders_of_before_text_model_are_read(weights, models, tmp_path):
    """The first files name no text_model, and other programs rename them as well."""
    place = "cond_stage_model.transformer."
    old = {name.replace(f"{place}text_model.", place): one for name, one in weights["sd15"].items()}
    assert_equal(loaded(write_single_file(tmp_path / "o.safetensors", old)), models["sd15"])


def test_a_unet_that_is_told_guidance_is_read_with_it(tmp_path):
    model = built("sd15", time_cond_proj_dim=24)
    path = write_single_file(tmp_path / "lcm.safetensors", single_file_weights(model, "sd15"))
    found = loaded(path)
    assert_equal(found, model)
    assert found.unet.config.time_cond_proj_dim == 24
    assert found.copies(7.5) == 1


def test_a_file_may_be_the_source_of_a_name(written):
    found = loaded("sdxl", source=written["sdxl"])
    assert found.name == "sdxl"
    with pytest.raises(fk.errors.BackboneError, match=r"source of sd15 .* holds one of sdxl"):
        load("sd15", "cpu", source=written["sdxl"])
    with pytest.raises(fk.errors.BackboneError, match=r"source of sdxl .* holds one of sd15"):
        load("sdxl", "cpu", source=written["sd15"])


def test_a_file_is_known_by_its_own_hash(written):
    found = loaded(written["sd15"])
    assert list(found.weights) == ["sd15.safetensors"]
    assert found.altered("unet") == ""


def test_a_backbone_of_a_file_is_pickled_by_it(written, monkeypatch, tmp_path):
    monkeypatch.chdir(written["sd15"].parent)
    text = pickle.dumps(loaded("sd15.safetensors"))
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(text)
    assert again.name == "sd15.safetensors"
    assert_equal(again, loaded(written["sd15"]))


def test_a_missing_or_surplus_weight_is_named(weights, tmp_path):
    name = "model.diffusion_model.input_blocks.1.0.in_layers.2.bias"
    for part, gone in (
        ("unet", name),
        ("vae", "first_stage_model.decoder.conv_in.bias"),
        ("text_encoder", "cond_stage_model.transformer.text_model.final_layer_norm.bias"),
    ):
        fewer = {key: one for key, one in weights["sd15"].items() if key != gone}
        path = write_single_file(tmp_path / f"{part}.safetensors", fewer)
        with pytest.raises(fk.errors.BackboneError, match=rf"the {part} of .* missing .* 1 \["):
            load(path, "cpu")
    more = {
        "model.diffusion_model.input_blocks.1.0.extra.weight": torch.ones(3),
        "first_stage_model.encoder.extra.weight": torch.ones(3),
        "cond_stage_model.transformer.text_model.extra.weight": torch.ones(3),
    }
    for key, one in more.items():
        path = write_single_file(tmp_path / "more.safetensors", {**weights["sd15"], key: one})
        with pytest.raises(fk.errors.BackboneError, match=r"left over|get|extra"):
            load(path, "cpu")


def test_a_weight_of_another_shape_is_named(weights, tmp_path):
    name = "model.diffusion_model.out.2.weight"
    changed = {**weights["sd15"], name: weights["sd15"][name][:, :-1]}
    path = write_single_file(tmp_path / "shape.safetensors", changed)
    with pytest.raises(fk.errors.BackboneError, match=r"of another shape 1 \['conv_out\.weight'\]"):
        load(path, "cpu")
