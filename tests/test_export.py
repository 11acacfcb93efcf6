"""``featurekit extract``: the file holds what ``extract`` gives, with a picture for each map."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

import featurekit as fk
from featurekit.cli import main
from featurekit.io import read_tensors


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    return tmp_path / "x.png"


def test_the_files_are_those_of_the_maps(photo, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["backbone=random", f"image={photo}", "taps=[up2,mid]", "timesteps=[261,1]", "seed=3"]
    assert main(["extract", *words, f"out={out}"]) == 0
    found = read_tensors(out / "features.safetensors")
    with torch.no_grad():
        maps = fk.extract(
            fk.load_backbone("random"), fk.load_image(photo),
            taps=["up2", "mid"], timesteps=[261, 1], seed=3,
        )  # fmt: skip
    assert set(found) == {"up2/261", "mid/261", "up2/1", "mid/1"}
    for one in maps:
        torch.testing.assert_close(found[f"{one.tap}/{one.timestep}"], one.tensor)
        with Image.open(out / f"{one.tap}_{one.timestep}.png") as picture:
            assert max(picture.size) >= 256
    assert str(out / "features.safetensors") in capsys.readouterr().out
    with safe_open(out / "features.safetensors", "pt") as file:
        assert json.loads(file.metadata()["taps"]) == ["up2", "mid"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["taps=[up9]"], r"no tap .*named 'up9'; did you mean"),
        (["taps=[]"], "taps, timesteps and ensemble must ask for something"),
        (["timesteps=[1000]"], "1000"),
        (["timesteps=[a]"], "timesteps"),
        ([f"seed={2**63}"], "seed must lie in 0 to"),
        (["backbone=nothing"], "no backbone named 'nothing'"),
        (["image=gone.png"], "image must be a picture file, but 'gone.png' is no such file"),
        (["out=/proc/self/x"], "results must be writable to '/proc/self/x'"),
    ],
)
def test_a_mistake_is_one_sentence(photo, tmp_path, capfd, words, message):
    given = ["backbone=random", f"image={photo}", f"out={tmp_path}/out"]
    assert main(["extract", *given, *words]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert re.search(message, err)
