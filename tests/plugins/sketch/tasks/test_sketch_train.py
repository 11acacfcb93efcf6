"""``plugin=sketch`` from the settings to the folder of results, and every refusal on the way."""

import json
import re

import pytest
import torch
from PIL import Image

import featurekit as fk
from featurekit.cli.router import main
from featurekit.core.errors import ConfigError, ImageError, UnknownNameError
from featurekit.core.json_files import read_json
from featurekit.images.io import read_tensors
from featurekit.scenes import scene
from featurekit_sketch.metrics.figures import FIGURES

FAST = ["plugin.samples=2", "plugin.iterations=3", "plugin.views=2", "plugin.tests=1",
        "plugin.side_px=64"]  # fmt: skip


def run(*words):
    return fk.run(fk.compose(["plugin=sketch", *words]))


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A style that was learnt from the bundled scene, badly."""
    out = tmp_path_factory.mktemp("learnt")
    return out, run(*FAST, f"out={out}")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A style of the paper's network, learnt badly from the bundled scene."""
    out = tmp_path_factory.mktemp("published")
    return out, run(*FAST, "plugin.network=published", f"out={out}")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    scene(5, "face").image(64).save(path)
    return path


@pytest.fixture
def drawing(tmp_path):
    path = tmp_path / "drawing.png"
    scene(5, "face").drawing(64).save(path)
    return path


def test_the_default_run_writes_a_style_a_sheet_a_curve_and_figures(learnt):
    out, record = learnt
    assert {path.name for path in out.iterdir() if path.is_file()} >= {
        *("style.safetensors", "sheet.png", "curve.png", "pair.png", "run.json")
    }
    found = read_json(out / "run.json")
    assert found["status"] == "done"
    assert found["metrics"] == record["metrics"]
    table = found["metrics"]["held_out"]["brush"]
    assert set(table) == {"sketch", "edges"}
    assert set(table["sketch"]) == set(table["edges"]) >= {"face", "vehicle", "flowers"}
    assert set(table["sketch"]["face"]) == set(FIGURES)
    assert "F1" in found["summary"]
    *_, controls = found["summary"].splitlines()
    assert controls.endswith("on VAE features alone and on a random UNet: see task=evaluate")
    assert set(found["metrics"]["loss"]) == {"drawn", "own", "total"}


def test_the_published_network_says_what_stands_for_lpips_and_what_each_layer_counts(published):
    found = published[1]
    assert "open_clip" in found["metrics"]["perceptual"]
    lost, *_ = found["summary"].splitlines()
    assert lost.startswith(f"perceptual loss: {found['metrics']['perceptual']}, since no plugin.lp")
    mixing = found["metrics"]["mixing"]
    assert len(mixing["low"]["timesteps"]) == len(mixing["top"]["timesteps"]) == 13
    assert 0 < mixing["top"]["first_level"] < 1


def test_the_same_run_again_samples_and_learns_nothing_anew(learnt):
    out, record = learnt
    before = {path: path.stat().st_mtime_ns for path in (out / "samples").iterdir()}
    style = read_tensors(out / "style.safetensors")
    again = run(*FAST, f"out={out}")
    assert {path: path.stat().st_mtime_ns for path in (out / "samples").iterdir()} == before
    after = read_tensors(out / "style.safetensors")
    assert all(torch.equal(after[name], one) for name, one in style.items())
    assert again["metrics"]["held_out"] == record["metrics"]["held_out"]


def test_extract_draws_a_picture_at_its_own_size(learnt, tmp_path):
    scene(7, "building").image(72).crop((0, 0, 70, 72)).save(tmp_path / "wide.png")
    record = run(
        "task=extract",
        f"image={tmp_path / 'wide.png'}",
        f"plugin.style={learnt[0] / 'style.safetensors'}",
        f"out={tmp_path / 'out'}",
    )
    assert record["skipped"] == []
    assert record["schedule"].startswith("DDIM, ")
    with Image.open(tmp_path / "out" / record["outputs"]["wide"]) as drawn:
        assert drawn.size == (70, 72)


def test_the_cost_of_many_tiles_is_said_before_they_are_drawn(published, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    scene(7, "building").image(72).save(folder / "a.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:8])  # has no size
    style = f"plugin.style={published[0] / 'style.safetensors'}"
    words = ["task=extract", f"image={folder}", style, "plugin.tile_px=32"]
    record = run(*words, "plugin.overlap_px=16", f"out={tmp_path / 'many'}")
    (told,) = record["notes"]
    assert re.fullmatch(
        r"16 parts of 32 px in 1 picture, about .* by one part, which took .* s", told
    )
    assert run(*words, "plugin.overlap_px=0", f"out={tmp_path / 'few'}")["notes"] == []


def test_a_style_draws_from_its_file_what_the_run_that_learnt_it_draws(learnt, tmp_path):
    table = learnt[1]["metrics"]["held_out"]["brush"]["sketch"]["face"]
    assert 0 < table["l1"] < 1
    file = learnt[0] / "style.safetensors"
    first, second = tmp_path / "first", tmp_path / "second"
    scene(9, "face").image(64).save(tmp_path / "one.png")
    for out in (first, second):
        run("task=extract", f"image={tmp_path / 'one.png'}", f"plugin.style={file}", f"out={out}")
    assert (first / "one.png").read_bytes() == (second / "one.png").read_bytes()


def test_a_folder_goes_on_past_broken_files_and_ends_with_code_3(learnt, tmp_path, shell):
    folder = tmp_path / "photos"
    folder.mkdir()
    scene(1, "face").image(64).save(folder / "a.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:100])
    (folder / "notes.txt").write_text("no picture")
    style = learnt[0] / "style.safetensors"
    done = shell(
        *("run", "plugin=sketch", "task=extract", f"image={folder}", f"plugin.style={style}"),
        f"out={tmp_path / 'out'}",
    )
    assert done.returncode == 3, done.stderr
    assert "passed over, no pictures: notes.txt" in done.stdout
    assert "b.png: image" in done.stdout
    skipped = json.loads((tmp_path / "out" / "run.json").read_text())["skipped"]
    assert [line.split(":")[0] for line in skipped] == ["b.png"]
    assert (tmp_path / "out" / "a.png").exists()


def test_files_beside_the_pictures_are_no_failure(learnt, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    scene(1, "face").image(64).save(folder / "a.png")
    for name in ("a.txt", "a.json", "Thumbs.db", "._a.png"):
        (folder / name).write_text("no picture")
    style = learnt[0] / "style.safetensors"
    words = "task=extract", f"image={folder}", f"plugin.style={style}", f"out={tmp_path / 'out'}"
    record = run(*words)
    assert (record["status"], record["skipped"]) == ("done", [])
    assert record["summary"] == "passed over, no pictures: Thumbs.db, a.json, a.txt"


def test_the_users_own_pair_is_learnt_and_the_targets_are_sketched(picture, drawing, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other" / picture.name
    other.parent.mkdir()
    scene(6, "vehicle").image(64).save(other)
    record = run(
        *FAST,
        f"image={picture}",
        f"plugin.drawing={drawing}",
        f"plugin.targets=[{picture},{other}]",
        "prompt=a face",
        f"out={out}",
    )
    assert "held_out" not in record["metrics"]
    stages = [stage["name"] for stage in record["stages"]]
    assert stages[-2:] == ["sketching picture", "sketching picture_png"]  # none is lost
    assert (out / "targets.png").exists()
    assert (out / "pair.png").exists()
    assert "does not know 1 of 2 pictures" in record["summary"]
    assert any("does not know 1 of 2 pictures" in note for note in record["notes"])


def test_a_mended_drawing_is_told_of_and_shown(picture, drawing, tmp_path):
    Image.eval(scene(5, "face").drawing(64), lambda level: 255 - level).save(drawing)
    out = tmp_path / "out"
    words = [f"image={picture}", f"plugin.drawing={drawing}", f"out={out}"]
    with pytest.raises(ImageError, match=r"got light lines on dark; .*plugin\.fit=true"):
        run(*FAST, *words)
    record = run(*FAST, *words, "plugin.fit=true")
    assert "inverted" in record["metrics"]["mended"][0]
    assert (out / "overlay.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["image=x.png"], r"from a picture and its drawing, got image alone; give plugin\.drawing"),
        (["plugin.drawing=x.png"], r"got plugin\.drawing alone; give image=FILE"),
        (["plugin.iterations=0"], r"plugin\.iterations must lie in 1 to 1e\+06, got 0"),
        (["plugin.overlap_px=64", "plugin.tile_px=64"], r"overlap_px must be less than"),
        (["plugin.mix={a: -1, b: 2}"], r"none negative .* got \{'a': -1, 'b': 2\}"),
        (["plugin.mix=[1]"], r"plugin\.mix must be shares of styles by name, .* got \[1\]"),
        (["plugin.mix={a: 1}"], r"plugin\.mix must be left as it is, .* task=train does not use"),
        (["plugin.ink=grey", "plugin.network=published"], r"learnt as they are, .* leave out one"),
        (["plugin.l1=3"], r"plugin\.network=two_scales does not use it; leave it out"),
        (["plugin.steps=15"], r"plugin\.steps must lie in 16 to 1000, got 15"),
        (["plugin.style=x.st"], r"plugin\.style must be left as it is, .* task=train does not use"),
        (
            ["task=extract", "image=x.png"],
            r"needs image and plugin\.style .*, got no plugin\.style",
        ),
        (["task=evaluate", "image=x.png"], r"task=evaluate sketches bundled scenes"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_any_work(words, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        run(*words, f"out={tmp_path / 'out'}")


def test_extract_writes_no_sketch_over_a_picture_nor_beside_it(tmp_path, monkeypatch, capsys):
    scene(1, "face").image(32).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    monkeypatch.chdir(tmp_path)
    told = r"out must be another folder than the one of the image, .*; choose another out"
    for image, out in (
        ("a.png", "."),
        (".", "."),
        (str(tmp_path), "."),
        ("a.png", str(tmp_path)),
        ("../" + tmp_path.name, "./"),
    ):
        words = ["task=extract", f"image={image}", "plugin.style=none.safetensors", f"out={out}"]
        with pytest.raises(ConfigError, match=told):
            run("backbone=random", *words)
    assert main(["run", "plugin=sketch", "backbone=random", *words]) == 2
    assert "choose another out" in capsys.readouterr().err
    assert (tmp_path / "a.png").read_bytes() == before
    assert {one.name for one in tmp_path.iterdir()} == {"a.png"}


def test_a_picture_that_a_link_leads_to_is_not_replaced_either(tmp_path):
    out, folder = tmp_path / "out", tmp_path / "photos"
    out.mkdir()
    folder.mkdir()
    scene(1, "face").image(32).save(out / "a.png")
    (folder / "a.png").symlink_to(out / "a.png")
    words = ["task=extract", f"image={folder}", "plugin.style=none.safetensors", f"out={out}"]
    with pytest.raises(ConfigError, match=r"a\.png' is one of the given files; choose another out"):
        run("backbone=random", *words)


@pytest.mark.parametrize("name", ["pair.png", "curve.png", "targets.png"])
def test_learning_replaces_none_of_the_pictures_it_is_given(picture, drawing, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    given = {"pair.png": picture, "curve.png": drawing, "targets.png": picture}
    given[name].rename(out / name)
    given[name] = out / name
    image, ink, target = given.values()
    pair = [f"image={image}", f"plugin.drawing={ink}", f"plugin.targets=[{target}]"]
    with pytest.raises(ConfigError, match=r"^out must be .* choose another out"):
        run("backbone=random", *FAST, *pair, f"out={out}")


def test_a_style_is_read_as_it_was_learnt(learnt, tmp_path):
    style = learnt[0] / "style.safetensors"
    scene(1, "face").image(32).save(tmp_path / "a.png")
    words = [f"image={tmp_path / 'a.png'}", f"plugin.style={style}", f"out={tmp_path / 'out'}"]
    with pytest.raises(ConfigError, match=r"with plugin\.features=noise, got inversion"):
        run("task=extract", *words, "plugin.features=inversion")


def test_an_unknown_drawing_style_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(
        UnknownNameError, match=r"no plugin\.drawing_style named 'brsh'; did you mean brush"
    ):
        run("plugin.drawing_style=brsh", f"out={tmp_path / 'out'}")


def test_an_unknown_ink_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(UnknownNameError, match=r"no plugin\.ink named 'oil'; known: colour, grey"):
        run("plugin.ink=oil", f"out={tmp_path / 'out'}")
