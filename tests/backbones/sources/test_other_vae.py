"""Another autoencoder in the place of a model's own, from a folder or one file."""

import pickle

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from ldm_layout import (
    built,
    single_file_weights,
    vae_weights,
    whole_word_configs,
    write_single_file,
)
from reduced import VAE

from featurekit.backbones import load
from featurekit.backbones.folder import bundled_configs
from featurekit.backbones.single_file import kinds
from featurekit.core.errors import BackboneError


@pytest.fixture
def other():
    """An autoencoder of the reduced models' shape with a scaling of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(77)
        config = bundled_configs("sd15")["vae"] | VAE | {"scaling_factor": 0.5}
        return AutoencoderKL.from_config(config).eval()


@pytest.fixture
def alone(other, tmp_path):
    """Its folder."""
    other.save_pretrained(tmp_path / "vae_alone")
    return tmp_path / "vae_alone"


def equal(found, wanted):
    ours, theirs = found.state_dict(), wanted.state_dict()
    assert ours.keys() == theirs.keys()
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_folder_of_one_takes_the_place_of_the_models_own(written, other, alone):
    own, found = load(str(written("sd15")), "cpu"), load(str(written("sd15")), "cpu", vae=alone)
    assert equal(found.vae, other)
    assert not equal(own.vae, other)
    assert found.vae.config.scaling_factor == 0.5
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        assert torch.equal(found.encode(image), other.encode(image).latent_dist.mean * 0.5)
    changed = {name for name in found.weights if found.weights[name] != own.weights.get(name)}
    assert changed == {"vae/diffusion_pytorch_model.safetensors"}
    assert not any(one.requires_grad for one in found.vae.parameters())
    again = pickle.loads(pickle.dumps(found))
    assert equal(again.vae, other)


def test_a_whole_folder_lends_its_own(written, folder, alone, other):
    other.save_pretrained(folder / "vae")
    assert equal(load(str(written("sd15")), "cpu", vae=folder).vae, other)


def test_a_model_whose_own_is_missing_takes_another(folder, alone, other):
    (folder / "vae/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(BackboneError, match="must hold vae/diffusion_pytorch_model"):
        load(str(folder), "cpu")
    assert equal(load(str(folder), "cpu", vae=alone).vae, other)


@pytest.mark.parametrize("prefix", ["", "first_stage_model.", "vae."])
def test_a_file_of_the_first_releases_is_read_by_the_models_config(
    prefix, written, other, tmp_path
):
    more = {"loss.logvar": torch.ones(1), "model_ema.num_updates": torch.ones(1)}
    weights = {prefix + name: one for name, one in vae_weights(other).items()} | more
    path = write_single_file(tmp_path / "kl.safetensors", weights)
    found = load(str(written("sd15")), "cpu", vae=path)
    assert equal(found.vae, other)
    assert found.vae.config.scaling_factor == 0.18215
    assert "vae/kl.safetensors" in found.weights
    assert not any("vae/diffusion" in name for name in found.weights)


def test_the_file_in_a_folder_of_diffusers_is_read_by_the_config_beside_it(written, other, alone):
    found = load(str(written("sd15")), "cpu", vae=alone / "diffusion_pytorch_model.safetensors")
    assert equal(found.vae, other)
    assert found.vae.config.scaling_factor == 0.5


def test_a_single_file_takes_one_with_its_own_or_without(tmp_path, monkeypatch, other, alone):
    monkeypatch.setattr(kinds, "bundled_configs", whole_word_configs)
    weights = single_file_weights(built("sd15"), "sd15")
    bare = {name: one for name, one in weights.items() if "first_stage" not in name}
    for held in (weights, bare):
        path = write_single_file(tmp_path / "model.safetensors", held)
        found = load(path, "cpu", vae=alone)
        assert equal(found.vae, other)
        assert set(found.weights) == {
            "model.safetensors",
            "vae/diffusion_pytorch_model.safetensors",
        }


def test_a_half_model_keeps_another_in_float32_where_it_overflows(written, alone):
    found = load(str(written("sd15")), "cpu", "float16", vae=alone)
    assert (found.unet.dtype, found.vae.dtype) == (torch.float16, torch.float32)


def test_a_small_autoencoder_is_refused_in_one_sentence(written, tmp_path):
    AutoencoderTiny().save_pretrained(tmp_path / "taesd")
    for path in (tmp_path / "taesd", tmp_path / "taesd/diffusion_pytorch_model.safetensors"):
        with pytest.raises(BackboneError, match=r"vae must be an AutoencoderKL, .*(Tiny|TAESD)"):
            load(str(written("sd15")), "cpu", vae=path)


def test_what_holds_none_is_refused(written, tmp_path):
    model = str(written("sd15"))
    path = write_single_file(tmp_path / "lora.safetensors", {"a.lora_A.weight": torch.ones(1)})
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04")
    for given, match in (
        (tmp_path / "nowhere", "vae must be the folder of an AutoencoderKL"),
        (tmp_path, "which is none of these"),
        (path, "holds an update of a model"),
        (tmp_path / "pickle.pt", "is a pickle, and opening one can run any code"),
    ):
        with pytest.raises(BackboneError, match=match):
            load(model, "cpu", vae=given)
    with pytest.raises(BackboneError, match="vae must be left out for embedded"):
        load("embedded", "cpu", vae=tmp_path)


def test_one_of_another_shape_is_refused(written, tmp_path):
    config = bundled_configs("sd15")["vae"] | VAE | {"latent_channels": 16}
    AutoencoderKL.from_config(config).save_pretrained(tmp_path / "sixteen")
    with pytest.raises(BackboneError, match=r"unet in_channels .* must be 16"):
        load(str(written("sd15")), "cpu", vae=tmp_path / "sixteen")
    other = AutoencoderKL.from_config(config | {"block_out_channels": [8, 8, 8, 8]})
    path = write_single_file(tmp_path / "w.safetensors", vae_weights(other))
    with pytest.raises(BackboneError, match=r"the vae of .* exactly the weights"):
        load(str(written("sd15")), "cpu", vae=path)
