"""``featurekit analyse`` and ``featurekit pck``: files are written, mistakes are one sentence."""

import json
import re
import shlex

import pytest
from PIL import Image
from spoken import sentence

from featurekit import backbones
from featurekit.cli.analyses import analyse
from featurekit.cli.analyses.analyse import ACTIONS
from featurekit.cli.router import main
from featurekit.features.recipes import recipe
from featurekit.measures.points.pck import pck


@pytest.mark.parametrize(
    ("words", "name", "shown"),
    [
        (["timesteps", "count=2", "steps=5", "taps=[mid]"], "timesteps", "control: equal spacing"),
        (["timesteps", "source=sampled", "count=1", "steps=5", "taps=[mid]"], "timesteps", "best"),
        (["positions", "count=4", "taps=[mid]"], "positions", "random weights"),
        (["norms", "count=2", "taps=[up1]"], "norms", "corners / inside"),
        (["labels", "pairs=1", "kinds=[shapes]"], "labels", "same place"),
    ],
)
@pytest.mark.filterwarnings("ignore:the prompt has")
def test_figures_a_picture_and_a_table_are_made(tmp_path, capsys, words, name, shown):
    assert main(["analyse", *words, "backbone=random", f"out={tmp_path}/out"]) == 0
    figures = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    assert figures["settings"]["backbone"] == "random"
    assert figures["settings"]["seed"] == 0
    assert figures["weights"] == {}
    with Image.open(tmp_path / "out" / f"{name}.png") as picture:
        assert min(picture.size) > 200
    out = capsys.readouterr().out
    assert f"{tmp_path}/out/{name}.png\n" in out
    assert shown in out
    assert not re.search(r"\d\.\d{5}", out)


def test_figures_name_the_weights_that_made_them(tmp_path):
    words = ["norms", "count=1", "taps=[mid]", f"out={tmp_path}/out"]
    assert main(["analyse", *words]) == 0
    figures = json.loads((tmp_path / "out" / "norms.json").read_text())
    weights = figures["weights"]["unet/diffusion_pytorch_model.safetensors"]
    assert re.fullmatch("[0-9a-f]{64}", weights)
    assert figures["settings"]["taps"] == ["mid"]
    assert figures["settings"]["timestep"] == 101


def test_pck_on_scenes_is_written(tmp_path, capsys):
    words = ["backbone=random", "count=1", "categories=[face]", "taps=[mid]", "timesteps=[1,51]"]
    assert main(["pck", *words, f"out={tmp_path}/out"]) == 0
    figures = json.loads((tmp_path / "out" / "pck.json").read_text())
    assert set(figures["categories"]) == {"face"}
    assert 0 <= figures["box"]["points"] <= figures["image"]["points"] <= 1
    assert set(figures["controls"]) == {"random", "pixels"}
    assert "random weights  raw pixels  same place" in capsys.readouterr().out


def test_a_recipe_stands_for_its_words(tmp_path, monkeypatch):
    asked = []

    def spy(backbone, pairs, one, *, progress):
        asked.append(one.recipe)
        return pck(backbone, pairs, one, progress=progress)

    monkeypatch.setattr(analyse, "pck", spy)
    words = ["backbone=random", "count=1", "categories=[shapes]", "recipe=dift_spair", "seed=4"]
    words += ["ensemble=2", "controls=[]"]
    assert main(["pck", *words, f"out={tmp_path}/out"]) == 0
    named = recipe("dift_spair")
    assert (asked[0].taps, asked[0].timesteps) == (named.taps, named.timesteps)
    assert (asked[0].prompt, asked[0].ensemble.draws) == (named.prompt, 2)
    settings = json.loads((tmp_path / "out" / "pck.json").read_text())["settings"]
    assert (settings["taps"], settings["timesteps"]) == (["up1"], [261])
    assert (settings["ensemble"], settings["seed"]) == ("2", 4)
    assert settings["prompt"] == "a photo of a {}"
    assert main(["pck", *words, "prompt='one {category}'", f"out={tmp_path}/out"]) == 0
    assert main(["pck", *words, "prompt=", f"out={tmp_path}/out"]) == 0
    assert [one.prompt for one in asked[1:]] == ["one {category}", ""]


def test_a_persons_pictures_are_labelled_by_one_of_them(tmp_path, capsys):
    album = tmp_path / "album"
    album.mkdir()
    for number in range(2):
        picture = Image.new("RGB", (40, 24), (10, 10, 200))
        picture.paste((250, 240, 0), (10 * number, 4, 10 * number + 12, 16))
        picture.save(album / f"{number}.png")
    (album / "broken.jpg").write_bytes(b"no picture")
    (album / "notes.txt").write_text("words")
    mask = Image.new("L", (40, 24))
    mask.paste(7, (0, 4, 12, 16))
    mask.save(tmp_path / "mask.png")
    words = [f"image={album}/0.png", f"mask={tmp_path}/mask.png", f"images={album}"]
    words += ["backbone=random", "taps=[up3]", f"out={tmp_path}/out"]
    assert main(["analyse", "labels", *words]) == 3
    told = capsys.readouterr()
    assert "skipped broken.jpg: image must be a picture" in told.err
    assert "passed over, no pictures: notes.txt" in told.err
    assert "class 7" in told.out
    for number in range(2):
        with Image.open(tmp_path / "out" / "masks" / f"{number}.png") as found:
            assert (found.mode, found.size) == ("P", (40, 24))
            assert set(found.tobytes()) <= {0, 7}
    figures = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert set(figures["pictures"]) == {"0.png", "1.png"}
    assert (tmp_path / "out" / "labels.png").is_file()


def test_pictures_of_a_folder_are_taken_instead_of_scenes(tmp_path):
    album = tmp_path / "album"
    album.mkdir()
    for number in range(3):
        Image.new("RGB", (40, 24), (80 * number, 10, 200)).save(album / f"{number}.png")
    words = ["backbone=random", "taps=[up1]", "count=2", f"images={album}", f"out={tmp_path}/out"]
    assert main(["analyse", "norms", *words]) == 0
    assert json.loads((tmp_path / "out" / "norms.json").read_text())["images"] == 2


@pytest.mark.parametrize(
    "words", [["timesteps", "steps=5"], ["timesteps", "steps=5", "source=inverted"], ["norms"]]
)
def test_a_broken_picture_is_passed_over_and_told(tmp_path, capsys, words):
    album = tmp_path / "album"
    album.mkdir()
    Image.new("RGB", (40, 24), "red").save(album / "b.png")
    (album / "a.png").write_bytes(b"no picture")
    words = [*words, "backbone=random", "taps=[mid]", f"images={album}", f"out={tmp_path}/out"]
    assert main(["analyse", *words]) == 3
    assert "skipped a.png: image must be" in capsys.readouterr().err


def test_no_folder_stays_behind_where_nothing_was_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["backbone=random", "out=deep/er", "count=1"]
    assert main(["analyse", "norms", *words, "timestep=1000"]) == 2
    assert main(["analyse", "timesteps", *words, "taps=[up9]"]) == 2
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "deep").mkdir()
    assert main(["analyse", "norms", *words, "timestep=1000"]) == 2
    assert list((tmp_path / "deep").iterdir()) == []


def test_what_can_be_known_is_refused_before_a_model_is_loaded(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, size in (("a", (40, 24)), ("b", (24, 40))):
        Image.new("RGB", size, "red").save(tmp_path / f"{name}.png")

    def load(*_, **__):
        pytest.fail("a model was loaded")

    monkeypatch.setattr(backbones, "load", load)
    refused = {
        "analyse norms images=.": "pictures of one size to be compared, got 24x40 px, 40x24 px",
        "analyse norms images=nowhere": "images must be a folder of pictures or one of them",
        "analyse positions images=.": "a probe needs 4 pictures or more",
        "analyse positions count=3": "a probe needs 4 pictures or more",
        "analyse timesteps choose=60": "choose must lie in [1, 24] for 50 steps, or be 0 to",
        "analyse timesteps choose=-1": "choose must lie in [1, 24]",
        "analyse timesteps steps=6 choose=6": "choose must lie in [1, 5] for 6 steps",
        "analyse timesteps steps=3": "steps must be 4 or more, got 3",
        "analyse timesteps source=noise": "no source of latents named 'noise'; did you mean noised",
        "analyse timesteps source=sampled images=.": "images must be left out for source=sampled",
        "analyse labels image=a.png": "must go together, but mask and images is missing",
        "analyse labels image=a.png mask=b.png images=.": "mask must have the size of its picture",
        "analyse labels image=a.png mask=b.png images=. pairs=2": "kinds and pairs are of scenes",
        "analyse labels image=a.png mask=b.png images=. kinds=[face]": "leave them out where image",
        "analyse labels side=64": "side must be left out for scenes, got 64",
        "pck alpha=0": "alpha must be above 0, got 0.0",
        "pck side=5": "side must be 8 px or more, or 0 for what the model knows, got 5",
        "pck controls=[all]": "no control named 'all'",
        """pck "prompt='a {kind}'" """: "may have {category} in braces and nothing else",
        "pck seed=-1": "seed must lie in 0 to",
    }
    for words, message in refused.items():
        assert main(shlex.split(words)) == 2
        err = capsys.readouterr().err
        assert message in err, (words, err)
        assert sentence(err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize("name", ACTIONS)
def test_each_analysis_explains_itself(name, capsys):
    assert main(["analyse", name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"featurekit analyse {name}\n")
    assert "  backbone=embedded " in text


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_lists_every_analysis_with_its_options(word, capsys):
    assert main(["analyse", word]) == 0
    text = capsys.readouterr().out
    told = [
        line.split()[-1] for line in text.splitlines() if line.startswith("featurekit analyse ")
    ]
    assert told == [*ACTIONS]
    assert text.count("  backbone=embedded ") == len(ACTIONS)


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
        (["analyse", "timesteps", "steps=3", "taps=[mid]"], "steps must be 4 or more, got 3"),
        (["analyse", "timesteps", "prompt=x"], "no setting named 'prompt'"),
        (["pck", "count=-1"], "count must be 0, for all of a folder, or more, got -1"),
        (["pck", "count=0"], "at least 1 pair of scenes of each kind is needed, got 0"),
        (["pck", "categories=[fase]"], r"no kind of scene named 'fase'; did you mean face\?"),
        (["pck", "data=nowhere"], "must hold PairAnnotation and JPEGImages, but 'nowhere'"),
        (["pck", "alpha=0", "count=1", "categories=[face]"], "alpha must be above 0, got 0.0"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, capfd, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    given = ["backbone=random"] if len(words) > 1 and "norm" not in words else []
    assert main([*words, *given]) == 2
    err = capfd.readouterr().err
    assert sentence(err)
    assert re.search(message, err), err
