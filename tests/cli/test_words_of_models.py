"""What commands are told beside a model: an update, another autoencoder, what it predicts."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from small_parts import autoencoder
from small_transformers import flux

import featurekit as fk
from featurekit.backbones.folder import bundled_configs
from featurekit.cli.router import main
from featurekit.images.io import read_tensors


@pytest.fixture
def photo(tmp_path):
    Image.new("RGB", (64, 64), (90, 30, 200)).save(tmp_path / "x.png")
    return tmp_path / "x.png"


@pytest.fixture
def style(tmp_path):
    """A LoRA for the embedded model."""
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0"
    unet = fk.load_backbone("random", "cpu").unet
    rows, columns = unet.get_parameter(f"{name.removeprefix('unet.')}.weight").shape
    halves = {
        f"{name}.lora_A.weight": torch.ones(1, columns) * 0.3,
        f"{name}.lora_B.weight": torch.arange(rows).float()[:, None] / rows,
    }
    save_file(halves, tmp_path / "style.safetensors")
    return tmp_path / "style.safetensors"


def test_features_are_those_of_the_model_with_its_update(photo, style, tmp_path):
    words = ["extract", "backbone=random", f"image={photo}", "taps=[mid]", "timesteps=[261]"]
    given = {
        "plain": [],
        "whole": [f"lora_file={style}"],
        "none": [f"lora_file={style}", "lora_scale=0"],
    }
    found = {}
    for name, more in given.items():
        assert main([*words, *more, f"out={tmp_path / name}"]) == 0
        found[name] = read_tensors(tmp_path / name / "features.safetensors")["mid/261"]
    assert torch.equal(found["plain"], found["none"])
    assert not torch.allclose(found["plain"], found["whole"], atol=1e-4)


def test_a_store_of_one_update_takes_no_features_of_another(photo, style, tmp_path, capsys):
    words = ["extract", "backbone=random", f"image={photo}", "taps=[mid]", f"store={tmp_path}/s"]
    assert main([*words, f"lora_file={style}"]) == 0
    capsys.readouterr()
    assert main([*words, f"lora_file={style}", "lora_scale=0.5"]) == 2
    assert "weights" in capsys.readouterr().err


def test_an_inversion_and_an_analysis_name_what_they_were_made_with(photo, style, tmp_path):
    more = ["backbone=random", f"lora_file={style}", "lora_scale=0.5"]
    assert main(["invert", *more, f"image={photo}", "steps=4", f"out={tmp_path / 'i'}"]) == 0
    record = json.loads((tmp_path / "i/run.json").read_text())
    assert "lora/style.safetensors" in record["weights"]
    assert record["config"]["lora_scale"] == 0.5
    where = ["images=", "count=2", "taps=[mid]", f"out={tmp_path / 'a'}"]
    assert main(["analyse", "norms", *more, *where]) == 0
    made = json.loads((tmp_path / "a/norms.json").read_text())
    assert made["weights"]["lora/style.safetensors"] == record["weights"]["lora/style.safetensors"]


def test_taps_are_those_of_the_other_autoencoder(style, tmp_path, capsys):
    config = bundled_configs("sd15")["vae"] | {"layers_per_block": 3}
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae/config.json").write_text(json.dumps(config))
    words = ["taps", "backbone=sd15", "taps=[vae.encoder.down0.**]"]
    assert main(words) == 0
    plain = capsys.readouterr().out
    assert main([*words, f"vae={tmp_path / 'vae'}", f"lora_file={style}"]) == 0
    said = capsys.readouterr()
    assert "resnet2" in said.out
    assert "resnet2" not in plain
    assert "a LoRA changes no tap" in said.err


def test_taps_of_a_transformer_take_another_autoencoder_too(tmp_path, capsys):
    flux().pipeline.save_pretrained(tmp_path / "flux")
    autoencoder(layers_per_block=2).save_pretrained(tmp_path / "deeper")
    words = ["taps", f"backbone={tmp_path / 'flux'}", "taps=[vae.encoder.down0.**]"]
    assert main([*words, f"vae={tmp_path / 'deeper'}"]) == 0
    assert "resnet1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("lora_scale=0.5", "lora_scale must go with a lora_file"),
        ("prediction=eps", "no prediction named 'eps'; did you mean epsilon"),
        ("lora_file=nowhere.safetensors", "lora_file must be an existing .safetensors file"),
        ("vae=nowhere", "vae must be "),
    ],
)
@pytest.mark.parametrize("command", ["taps", "extract"])
def test_wrong_words_are_one_sentence(command, word, said, photo, tmp_path, capsys):
    """The same one of every command."""
    rest = {"taps": [], "extract": [f"image={photo}", f"out={tmp_path / 'o'}"]}[command]
    assert main([command, "backbone=embedded", word, *rest]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in told
