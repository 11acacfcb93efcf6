"""``featurekit extract``: the file holds what ``extract`` gives, with a picture for each map."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from spoken import STAGE, sentence

import featurekit as fk
from featurekit.cli.router import main
from featurekit.features.noise_draws import seed_of
from featurekit.images.io import read_tensors


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
            taps=["up2", "mid"], timesteps=[261, 1], seed=seed_of(3, "x.png"),
        )  # fmt: skip
    assert set(found) == {"up2/261", "mid/261", "up2/1", "mid/1"}
    for one in maps:
        torch.testing.assert_close(found[f"{one.tap}/{one.timestep}"], one.tensor)
        with Image.open(out / f"{one.tap}_{one.timestep}.png") as picture:
            assert max(picture.size) >= 256
    assert str(out / "features.safetensors") in capsys.readouterr().out
    with safe_open(out / "features.safetensors", "pt") as file:
        assert json.loads(file.metadata()["taps"]) == ["up2", "mid"]


@pytest.fixture
def album(tmp_path):
    """A folder of three pictures of two sizes, one broken, and a file that is none."""
    folder = tmp_path / "album"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, size in (("a.png", (16, 16)), ("b.jpg", (16, 40)), ("c.png", (16, 16))):
        pixels = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    whole = (folder / "a.png").read_bytes()
    (folder / "broken.png").write_bytes(whole[: len(whole) // 2])
    (folder / "words.txt").write_text("no picture")
    (folder / ".hidden").touch()
    return folder


def test_a_folder_goes_on_past_what_is_broken_and_says_so(album, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["backbone=random", f"image={album}", "taps=[mid]", "batch=2", f"out={out}"]
    assert main(["extract", *words]) == 3
    said = capsys.readouterr()
    assert "skipped broken.png: image must be a whole picture" in said.err
    assert "passed over, no pictures: words.txt" in said.err
    assert said.err.count("skipped") == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.jpg", "c.png"]
    for name in ("a.png", "b.jpg", "c.png"):
        assert str(out / name / "features.safetensors") in said.out
        assert (out / name / "mid_261.png").is_file()
    recipe = fk.Recipe(("mid",), (261,))
    samples = [fk.Sample(name, fk.load_image(album / name)) for name in ("a.png", "b.jpg")]
    for name, maps in fk.Extractor(fk.load_backbone("random"), recipe, batch=1)(samples):
        found = read_tensors(out / name / "features.safetensors")["mid/261"]
        torch.testing.assert_close(found, maps[0].tensor, atol=1e-5, rtol=1e-5)


def test_captions_beside_pictures_are_no_failure(tmp_path, capsys):
    folder = tmp_path / "album"
    folder.mkdir()
    Image.new("RGB", (16, 16), "red").save(folder / "a.png")
    for name in ("a.txt", "a.npz", "._a.png"):
        (folder / name).write_text("no picture")
    words = ["backbone=random", f"image={folder}", "taps=[mid]", f"out={tmp_path}/out"]
    assert main(["extract", *words]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == "passed over, no pictures: a.npz, a.txt"
    assert all(STAGE.fullmatch(line) for line in told[:-1])


def test_a_picture_alone_is_read_as_in_a_folder_of_one(photo, tmp_path):
    words = ["backbone=random", "taps=[mid]", "ensemble=2", "seed=3"]
    for name, image in (("alone", photo), ("folder", photo.parent)):
        assert main(["extract", *words, f"image={image}", f"out={tmp_path.parent / name}"]) == 0
    alone, inside = (
        read_tensors(tmp_path.parent / name / "features.safetensors")
        for name in ("alone", "folder/x.png")
    )
    assert torch.equal(alone["mid/261"], inside["mid/261"])


def test_a_folder_without_a_whole_picture_is_a_mistake(album, tmp_path, capsys):
    for name in ("a.png", "b.jpg", "c.png"):
        (album / name).unlink()
    assert main(["extract", "backbone=random", f"image={album}", f"out={tmp_path}/out"]) == 2
    assert "must hold a picture that can be read" in capsys.readouterr().err
    (album / "broken.png").unlink()
    assert main(["extract", "backbone=random", f"image={album}", f"out={tmp_path}/out"]) == 2
    assert "a folder must hold a picture, but" in capsys.readouterr().err


def test_a_recipe_names_taps_timesteps_and_ensemble_and_words_go_before_it(photo, tmp_path):
    words = ["backbone=random", f"image={photo}", f"out={tmp_path}/out", "recipe=dift_davis"]
    assert main(["extract", *words, "ensemble=antithetic-2"]) == 0
    file = tmp_path / "out" / "features.safetensors"
    assert set(read_tensors(file)) == {"up2/51"}
    with safe_open(file, "pt") as opened:
        assert json.loads(opened.metadata()["ensemble"]) == "antithetic-2"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["taps=[up9]"], r"no tap .*named 'up9'; did you mean"),
        (["taps=[]"], "taps, timesteps and ensemble must ask for something"),
        (["timesteps=[1000]"], "1000"),
        (["timesteps=[1,1]"], r"timesteps must differ from each other, got \[1, 1\]"),
        (["recipe=dift_spiar"], "no recipe named 'dift_spiar'; did you mean dift_spair"),
        (["ensemble=cleen"], "no ensemble policy named 'cleen'"),
        (["ensemble=0"], "draws of the ensemble policy mean must be at least 1, got 0"),
        (["timesteps=[a]"], "timesteps"),
        ([f"seed={2**63}"], "seed must lie in 0 to"),
        (["backbone=nothing"], "no backbone named 'nothing'"),
        (["image=gone.png"], "but there is no such file or folder as 'gone.png'"),
        (["out=/proc/self/x"], "results must be writable to '/proc/self/x'"),
    ],
)
def test_a_mistake_is_one_sentence(photo, tmp_path, capfd, words, message):
    given = ["backbone=random", f"image={photo}", f"out={tmp_path}/out"]
    assert main(["extract", *given, *words]) == 2
    err = capfd.readouterr().err
    assert sentence(err)
    assert re.search(message, err)


def test_a_refusal_leaves_no_folder_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64), "teal").save("me.png")
    for word in ("out=a/b", "store=c/d"):
        assert main(["extract", "image=me.png", "taps=[up9]", "backbone=random", word]) == 2
        assert "no tap named 'up9'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["me.png"]
