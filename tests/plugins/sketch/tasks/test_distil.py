"""``task=distil`` and drawing with a student: what is written, what goes on, what is refused."""

import sys
from dataclasses import replace

import pytest
from PIL import Image

import featurekit as fk
from featurekit import backbones
from featurekit.cli.router import main
from featurekit.core.errors import ConfigError
from featurekit.core.json_files import read_json
from featurekit.images.io import load_image
from featurekit.measures.model.lines import gradient
from featurekit.scenes import scene
from featurekit_sketch.settings import TWO_SCALES
from featurekit_sketch.tasks import teaching
from featurekit_sketch.tasks.teaching import check_lines, working_side
from featurekit_sketch.training.style_file import TONES, Style

SIDE = 40
STYLE = Style(
    state={},
    backbone="random",
    weights="",
    timesteps=(1,),
    channels={},
    sources=("unet",),
    image_size=(SIDE, SIDE),
    features="noise",
    steps=20,
    seed=0,
    prompt="a face",
    network=TWO_SCALES,
    side_px=SIDE,
)
SHORT = ["plugin=sketch", "backbone=random", "task=distil", "plugin.student_iterations=3"]


class EdgeDrawer:
    """A teacher that draws edges, and counts the pictures."""

    told = "by edges"

    def __init__(self):
        self.drawn = 0

    def __call__(self, image):
        self.drawn += 1
        slopes = gradient(image)
        return (slopes <= slopes.quantile(0.9)).float()


@pytest.fixture(scope="module")
def teacher():
    drawer = EdgeDrawer()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(teaching, "load_style", lambda *_: STYLE)
        patched.setattr(teaching, "drawer_of", lambda *_: drawer)
        yield drawer


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A style's file, and photographs with a broken one among them."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "style.safetensors").write_bytes(b"a style")
    (folder / "other.safetensors").write_bytes(b"another style")
    photos = folder / "photos"
    photos.mkdir()
    for number in range(8):
        scene(number, "face").image(64).crop((0, 0, 64, 50)).save(photos / f"{number}.png")
    (photos / "broken.png").write_bytes(b"broken")
    (photos / "notes.txt").write_text("x")
    return folder


def run(desk, *words):
    given = [f"plugin.style={desk / 'style.safetensors'}", f"image={desk / 'photos'}"]
    return fk.run(fk.compose([*SHORT, *given, *words]))


@pytest.fixture(scope="module")
def distilled(teacher, desk):
    out = desk / "out"
    return out, run(desk, f"out={out}", "plugin.onnx=true")


def test_a_run_writes_the_student_its_exports_and_pictures(distilled):
    out, record = distilled
    assert {one.name for one in out.iterdir() if one.is_file()} >= {
        *("student.safetensors", "student.onnx", "student.pt2", "sheet.png", "curve.png"),
        *("student-training.safetensors", "run.json"),
    }
    found = read_json(out / "run.json")
    assert found["stop"] == "the student is learnt in 3 iterations"
    assert found["metrics"]["pairs"] + len(found["metrics"]["rejected"]) == 8
    assert found["metrics"]["parameters"] < 1_000_000
    assert "kept are sketches with ink on" in found["summary"]
    assert "on pairs kept aside: SSIM" in found["summary"]
    assert "notes.txt" in found["summary"]
    assert found["schedule"] == "by edges"
    assert [one.split(":")[0] for one in record["skipped"]] == ["broken.png"]


def test_the_same_command_draws_nothing_again(distilled, teacher, desk):
    before = teacher.drawn
    again = run(desk, f"out={distilled[0]}", "plugin.onnx=false")
    assert teacher.drawn - before <= 2  # for the clock
    assert again["metrics"]["curve"] == distilled[1]["metrics"]["curve"]


def test_another_folder_of_photographs_is_not_mixed_in(distilled, teacher, desk):
    with pytest.raises(ConfigError, match="out must be a new folder, or one whose pairs"):
        run(desk, f"out={distilled[0]}", f"image={desk / 'photos' / '1.png'}")


def test_rejects_are_shown(teacher, desk, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        scene(number, "face").image(64).save(folder / f"{number}.png")
    Image.new("RGB", (64, 64), "white").save(folder / "blank.png")
    record = run(desk, f"out={tmp_path / 'out'}", f"image={folder}")
    assert record["metrics"]["rejected"] == {"blank.png": "too little ink, 0.0%"}
    assert (tmp_path / "out" / "rejects.png").exists()
    assert "1 of 5 pairs are left out" in record["summary"]


def test_without_photographs_the_world_is_drawn(teacher, desk, tmp_path):
    style = f"plugin.style={desk / 'style.safetensors'}"
    words = [style, "plugin.pairs=6", "plugin.pairs_of=world", f"out={tmp_path / 'out'}"]
    record = fk.run(fk.compose([*SHORT, *words]))
    assert record["metrics"]["pairs"] + len(record["metrics"]["rejected"]) == 6


def test_without_photographs_the_model_s_own_pictures_are_drawn(teacher, desk, tmp_path):
    style = f"plugin.style={desk / 'style.safetensors'}"
    words = [style, "plugin.pairs=3", "plugin.pairs_of=sampled", "plugin.steps=16"]
    before = teacher.drawn
    fk.run(fk.compose([*SHORT, *words, f"out={tmp_path / 'out'}"]))
    assert teacher.drawn - before == 3 + 2
    assert len(list((tmp_path / "out" / "samples").iterdir())) == 3


@pytest.mark.parametrize("name", ["student.safetensors", "student.onnx"])
def test_a_student_sketches_a_folder_and_traces_it(distilled, desk, tmp_path, name):
    words = [f"image={desk / 'photos'}", f"plugin.student={distilled[0] / name}", "plugin.svg=true"]
    out = f"out={tmp_path / 'out'}"
    record = fk.run(fk.compose(["plugin=sketch", "backbone=random", "task=extract", *words, out]))
    found = {one.name for one in (tmp_path / "out").iterdir()}
    assert found >= {"0.png", "0.svg", "7.png", "7.svg", "sheet.png"}
    assert load_image(tmp_path / "out" / "0.png").shape == (1, 3, 50, 64)
    assert (
        '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="50"'
        in (tmp_path / "out" / "0.svg").read_text()
    )
    assert record["metrics"]["pictures"] == 8
    assert record["stop"] == "8 pictures sketched"
    assert record["schedule"].startswith("by a student, in ")


def test_both_students_draw_the_same(distilled, desk, tmp_path):
    found = []
    for name in ("student.safetensors", "student.onnx"):
        out = tmp_path / name
        words = [f"image={desk / 'photos' / '1.png'}", f"plugin.student={distilled[0] / name}"]
        fk.run(
            fk.compose(["plugin=sketch", "backbone=random", "task=extract", *words, f"out={out}"])
        )
        found.append(load_image(out / "1.png"))
    assert float((found[0] - found[1]).abs().max()) < 0.02


def test_a_style_of_colours_is_refused():
    check_lines(STYLE)
    for other in (replace(STYLE, made_of=TONES), replace(STYLE, ink_channels=3)):
        with pytest.raises(ConfigError, match="a student learns to draw lines, but the style dra"):
            check_lines(other)


def test_a_style_without_a_size_of_its_own_has_pairs_of_a_tile():
    config = fk.compose(["plugin=sketch", "plugin.tile_px=96"]).plugin
    assert working_side(STYLE, config) == SIDE
    assert working_side(replace(STYLE, side_px=0), config) == 96


# refused before weights are loaded


class LoadedError(Exception):
    """Weights were to be loaded: nothing was refused before."""


@pytest.fixture
def told(distilled, desk, tmp_path, monkeypatch, capsys):
    def load(*_, **__):
        raise LoadedError

    monkeypatch.setattr(backbones, "load", load)
    monkeypatch.chdir(desk)

    def run(*words, code=2):
        assert main(["run", "plugin=sketch", f"out={tmp_path / 'out'}", *words]) == code
        return capsys.readouterr().err

    return run


EXTRACT = ("task=extract", "image=photos/1.png")
STUDENT = (*EXTRACT, "plugin.student=out/student.safetensors")


@pytest.mark.parametrize(
    "words",
    [
        STUDENT,
        (*STUDENT, "plugin.style=style.safetensors", "plugin.svg=true"),
        (*EXTRACT, "plugin.student=out/student.onnx", "plugin.style=style.safetensors"),
    ],
)
def test_what_a_student_draws_asks_for_no_weights(told, words, tmp_path):
    assert told(*words, code=0)
    assert (tmp_path / "out" / "1.png").is_file()


@pytest.mark.parametrize(
    "words",
    [
        ("task=distil", "plugin.style=style.safetensors", "plugin.onnx=true"),
        ("task=distil", "plugin.style=style.safetensors", "image=photos"),
    ],
)
def test_what_can_work_is_left_to_the_weights(told, words):
    with pytest.raises(LoadedError):
        told(*words)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("task=distil",), "task=distil needs the style that a student is to draw in, got none"),
        (
            ("task=distil", "plugin.style=style.safetensors", "plugin.svg=true"),
            "plugin.svg must be left as it is, got True: task=distil does not use it",
        ),
        (
            ("task=distil", "plugin.style=style.safetensors", "image=photos", "plugin.pairs=9"),
            "plugin.pairs must be left as it is, got 9: all photographs of image are drawn",
        ),
        (
            ("task=distil", "plugin.style=style.safetensors", "plugin.pairs_of=words"),
            "no plugin.pairs_of named 'words'",
        ),
        (("task=distil", "plugin.style=style.safetensors", "plugin.pairs=1"), "plugin.pairs must"),
        (("task=distil", "plugin.style=style.safetensors", "image=none"), "there is no such file"),
        ((*STUDENT, "plugin.style=other.safetensors"), "was distilled from another"),
        ((*STUDENT, "plugin.style=none.safetensors"), "plugin.style must be a file, but there is"),
        ((*EXTRACT, "plugin.student=style.safetensors"), "must be a whole .safetensors file"),
        ((*EXTRACT, "plugin.student=none.onnx"), "gave: No such file or directory"),
        (
            EXTRACT,
            "task=extract needs image and plugin.style (or plugin.student), got no plugin.st",
        ),
        (("plugin.svg=true",), "plugin.svg must be left as it is, got True: task=train does not"),
        (("task=evaluate", "plugin.onnx=true"), "plugin.onnx must be left as it is, got True"),
    ],
)
def test_the_sentence_says_what_is_wrong(told, words, sentence):
    assert sentence in told(*words)


def test_a_changed_graph_is_refused(told, distilled, tmp_path):
    content = bytearray((distilled[0] / "student.onnx").read_bytes())
    content[len(content) // 3] ^= 1
    path = tmp_path / "changed.onnx"
    path.write_bytes(content)
    assert "was changed, is not whole or is another" in told(*EXTRACT, f"plugin.student={path}")


@pytest.mark.parametrize(
    ("module", "words", "extra"),
    [
        ("vtracer", (*STUDENT, "plugin.svg=true"), "svg"),
        ("onnxruntime", (*EXTRACT, "plugin.student=out/student.onnx"), "onnx"),
        ("onnx", ("task=distil", "plugin.style=style.safetensors", "plugin.onnx=true"), "onnx"),
    ],
)
def test_a_missing_extra_is_one_sentence(told, monkeypatch, module, words, extra):
    monkeypatch.setitem(sys.modules, module, None)
    assert f"pip install 'featurekit[{extra}]'" in told(*words)
