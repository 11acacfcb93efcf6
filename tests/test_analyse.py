"""``featurekit analyse`` and ``featurekit pck``: files are written, mistakes are one sentence."""

import json
import re

import pytest
from PIL import Image

from featurekit.analyse import ACTIONS
from featurekit.cli import main


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["timesteps", "count=2", "steps=5", "taps=[mid]"], "timesteps"),
        (["positions", "count=4", "taps=[mid]"], "positions"),
        (["norms", "count=2", "taps=[up1]"], "norms"),
        (["labels", "pairs=1", "kinds=[shapes]"], "labels"),
    ],
)
@pytest.mark.filterwarnings("ignore:the prompt has")
def test_figures_and_a_picture_are_written(tmp_path, capsys, words, name):
    assert main(["analyse", *words, "backbone=random", f"out={tmp_path}/out"]) == 0
    figures = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    assert figures
    with Image.open(tmp_path / "out" / f"{name}.png") as picture:
        assert min(picture.size) > 200
    assert f"{tmp_path}/out/{name}.png\n" in capsys.readouterr().out


def test_pck_on_scenes_is_written(tmp_path):
    words = ["backbone=random", "count=1", "categories=[face]", "taps=[mid]", "timesteps=[1,51]"]
    assert main(["pck", *words, f"out={tmp_path}/out"]) == 0
    figures = json.loads((tmp_path / "out" / "pck.json").read_text())
    assert set(figures["categories"]) == {"face"}
    assert 0 <= figures["box"]["points"] <= figures["image"]["points"] <= 1


def test_a_recipe_stands_for_its_words(tmp_path, capsys):
    words = ["backbone=random", "count=1", "categories=[shapes]", "recipe=dift_davis"]
    assert main(["pck", *words, "ensemble=1", f"out={tmp_path}/out"]) == 0
    assert (tmp_path / "out" / "pck.png").is_file()


def test_pictures_of_a_folder_are_taken_instead_of_scenes(tmp_path):
    album = tmp_path / "album"
    album.mkdir()
    for number in range(3):
        Image.new("RGB", (40, 24), (80 * number, 10, 200)).save(album / f"{number}.png")
    words = ["backbone=random", "taps=[up1]", "count=2", f"images={album}", f"out={tmp_path}/out"]
    assert main(["analyse", "norms", *words]) == 0
    assert json.loads((tmp_path / "out" / "norms.json").read_text())["images"] == 2


@pytest.mark.parametrize("name", ACTIONS)
def test_each_analysis_explains_itself(name, capsys):
    assert main(["analyse", name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"featurekit analyse {name}\n")
    assert "  backbone=embedded " in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["analyse"], "must be told what: timesteps, positions, norms, labels; got none"),
        (["analyse", "norm"], r"no analysis named 'norm'; did you mean norms\?"),
        (["analyse", "norms", "taps=[up9]"], "no tap named 'up9'"),
        (["analyse", "norms", "count=0"], "count must be at least 1 picture, got 0"),
        (["analyse", "norms", "seed=-1"], "seed must lie in 0 to"),
        (["analyse", "norms", "timestep=1000"], "1000"),
        (
            ["analyse", "labels", "pairs=0"],
            "at least 1 pair of scenes of each kind is needed, got 0",
        ),
        (["analyse", "timesteps", "steps=3", "taps=[mid]"], "4 timesteps that rise"),
        (["analyse", "timesteps", "prompt=x"], "no setting named 'prompt'"),
        (["pck", "count=-1"], "count must be 0, for all of a folder, or more, got -1"),
        (["pck", "count=0"], "at least 1 pair of scenes of each kind is needed, got 0"),
        (["pck", "categories=[fase]"], r"no kind of scene named 'fase'; did you mean face\?"),
        (["pck", "data=nowhere"], "must hold PairAnnotation and JPEGImages, but 'nowhere'"),
        (["pck", "alpha=0", "count=1", "categories=[face]"], "alpha 0.0 and side_px 64"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, capfd, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    given = ["backbone=random"] if len(words) > 1 and "norm" not in words else []
    assert main([*words, *given]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert re.search(message, err), err
