"""The sketch of the picture on the desk: that of the command, kept, mixed, under the lens."""

import json
from io import BytesIO

import pytest
from PIL import Image
from sketch_studio import act, blob, desk_of, does, face, learnt_desk, png, shelf_of

from featurekit.core.errors import ConfigError, FeatureKitError, UnknownNameError
from featurekit.core.json_files import read_json
from featurekit.images.io import load_image
from featurekit.pipeline.config import compose
from featurekit.pipeline.run import run
from featurekit_sketch.bundled_styles import FOLDER
from featurekit_sketch.distillation.student_drawer import student_drawer
from featurekit_sketch.studio import drawing

MIX = {"styles": ["brush", "hatching"], "shares": [0.7, 0.3]}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A studio with a learnt style and a face on its desk."""
    studio, style = learnt_desk(tmp_path_factory.mktemp("drawing") / "desk")
    studio.put_picture(face(3, 96), "me too.png", select=True)
    return studio, style


def decoded(content):
    """A sketch as the page gets it, (1 3 h w)."""
    return load_image(Image.open(BytesIO(content)))


def drawn(studio, values):
    """The sketch that a job makes."""
    return decoded(blob(studio, does(studio, "draw", values)[0]["picture"]))


def test_a_sketch_leaves_the_record_that_the_command_leaves(desk, tmp_path):
    studio, _ = desk
    picture = studio.shelf.get()
    found = drawn(studio, {"styles": ["brush"], "shares": [1]})
    record = json.loads(blob(studio, act(studio, "export", {"what": "record"})["address"]))
    cfg = compose(["plugin=sketch", "task=extract", "plugin.style=brush", "backbone=embedded"])
    cfg.image, cfg.out = str(picture.path), str(tmp_path)
    wanted = json.loads(json.dumps(run(cfg)))
    for name in record.keys() - {"config", "stages", "notes"}:
        assert record[name] == wanted[name], name
    assert {**record["config"], "out": ""} == {**wanted["config"], "out": ""}
    assert (found == load_image(tmp_path / f"{picture.id}.png")).all()
    assert tuple(found.shape[-2:]) == (96, 96)


@pytest.mark.parametrize("values", [
    {"styles": ["own"], "shares": [1]},
    {"styles": ["own"], "shares": [1], "student": True},
    MIX,
], ids=["style", "student", "mix"])  # fmt: skip
def test_the_lines_of_python_give_the_sketch_to_the_bit(desk, values, tmp_path, monkeypatch):
    studio, style = desk
    values = {**values, "styles": [style if one == "own" else one for one in values["styles"]]}
    found = drawn(studio, values)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(act(studio, "python", values)["text"], names)
    assert (names["sketch"] == found).all()
    assert names["record"]["status"] == "done"
    assert float(found.amin()) < float(found.amax())


def test_what_was_drawn_is_told_kept_and_given_at_once(desk, monkeypatch):
    studio, style = desk
    one, other = {"styles": [style], "shares": [1]}, {"styles": ["brush"], "shares": [1]}
    address = does(studio, "draw", one)[0]["picture"]
    told = act(studio, "told")["drawn"]
    assert told == {
        "styles": [style], "shares": [1.0], "student": False, "picture": address, "svg": True,
    }  # fmt: skip
    assert does(studio, "draw", other)[0]["picture"] != address

    def never(*_):
        raise AssertionError("it was drawn before")

    monkeypatch.setattr(drawing, "run_for_page", never)
    assert does(studio, "draw", one)[0]["picture"] == address
    assert act(studio, "told")["drawn"]["styles"] == [style]


def test_a_sketch_is_there_for_the_next_server_and_not_for_another_picture(tmp_path):
    studio, style = learnt_desk(tmp_path / "desk")
    address = does(studio, "draw", {"style": style})[0]["picture"]
    studio.close()
    again = desk_of(tmp_path / "desk", picture=False)
    assert act(again, "told")["drawn"]["picture"] == address
    assert blob(again, address) == blob(studio, address)
    again.put_picture(face(4), "other.png", select=True)
    assert act(again, "told")["drawn"] is None
    with pytest.raises(ConfigError, match="there must be a sketch to save, got none"):
        act(again, "export", {"what": "png"})


def test_a_stage_names_the_picture_as_the_person_does(desk):
    studio, _ = desk
    _, told, _ = does(studio, "draw", {"styles": ["inline", "brush"], "shares": [0.5, 0.5]})
    stages = {event["job"]["stage"] for kind, event in told if kind == "job"}
    assert "sketching me too.png" in stages
    assert not [one for one in stages if studio.shelf.get().id in one]


def test_old_sketches_make_room_and_the_latest_stays(tmp_path, monkeypatch):
    studio, _ = learnt_desk(tmp_path / "desk")
    monkeypatch.setattr(drawing, "KEPT", 2)
    for share in (0.2, 0.4, 0.6):
        does(studio, "draw", {"styles": ["brush", "hatching"], "shares": [share, 1 - share]})
    kept = list((tmp_path / "desk/tabs/sketch/drawn").iterdir())
    assert len(kept) == 2
    assert act(studio, "told")["drawn"]["shares"] == [0.6, 0.4]


def test_a_mix_lies_between_its_styles(desk):
    studio, _ = desk
    first, second = (drawn(studio, {"style": one}) for one in MIX["styles"])
    mix = drawn(studio, MIX)
    assert not (mix == first).all()
    assert (mix - first).abs().mean() < (mix - second).abs().mean()  # 0.7 of the first
    alone = drawn(studio, {"styles": MIX["styles"], "shares": [1, 0]})
    assert (alone == first).all()


def test_the_lens_draws_a_window_by_the_student_or_by_the_style(desk):
    studio, style = desk
    found = act(studio, "lens", {"style": style, "x": 90, "y": 40, "side": 64, "fast": True})
    assert found["box"] == [32, 8, 64, 64]
    assert found["by"] == "student"
    assert found["ms"] > 0
    _, folder = shelf_of(studio).own(style)
    window = load_image(studio.shelf.get().image.crop((32, 8, 96, 72)))
    ink = student_drawer(folder / "student" / "student.safetensors")(window)
    wanted = decoded(png((2 * ink - 1).expand(-1, 3, -1, -1)))
    assert (decoded(found["parts"]["picture"]) == wanted).all()
    slow = act(studio, "lens", {"style": style, "x": 90, "y": 40, "side": 64, "fast": False})
    assert slow["by"] == "style"
    assert not (decoded(slow["parts"]["picture"]) == wanted).all()
    mixed = act(studio, "lens", {**MIX, "x": 90, "y": 40, "side": 64})
    assert mixed["by"] == "style"


def test_the_lens_is_never_larger_than_the_picture(desk):
    studio, style = desk
    found = act(studio, "lens", {"style": style, "x": -50, "y": 5000, "side": 1024})
    assert found["box"] == [0, 0, 96, 96]


@pytest.mark.parametrize(("values", "words"), [
    ({}, "a style must be chosen to draw in"),
    ({"styles": ["brush", "brush"], "shares": [1, 1]}, "styles that are mixed must differ"),
    ({"styles": ["brush"], "shares": [0]}, "must have a share, none negative"),
    ({"styles": ["brush"], "shares": [-1]}, "must have a share, none negative"),
    ({"styles": ["brush"], "shares": [1, 1]}, "each of 1 styles must have a share"),
    ({"styles": ["brush"], "shares": ["a"]}, "shares must be a number, got 'a'"),
    ({"styles": "brush"}, "styles must be a list of at most 8, got 'brush'"),
    ({**MIX, "student": True}, "a student draws in one style"),
])  # fmt: skip
def test_a_choice_that_cannot_be_drawn_is_one_sentence(desk, values, words):
    studio, _ = desk
    for asks in (
        lambda: does(studio, "draw", values),
        lambda: act(studio, "lens", {**values, "x": 1, "y": 1}),
        lambda: act(studio, "python", values),
    ):
        with pytest.raises(FeatureKitError, match=words):
            asks()


def test_styles_that_cannot_be_mixed_say_so_in_words_of_the_page(desk):
    studio, style = desk
    with pytest.raises(ConfigError, match="learnt with the same seed, settings and kind of ink"):
        does(studio, "draw", {"styles": [style, "brush"], "shares": [1, 1]})
    with pytest.raises(ConfigError, match="learnt with the same seed, settings and kind of ink"):
        act(studio, "lens", {"styles": [style, "brush"], "shares": [1, 1], "x": 1, "y": 1})


@pytest.mark.parametrize("name", ["nobody", "../brush", "brush.safetensors", "s" + 12 * "0", ""])
def test_no_name_but_that_of_a_style_is_taken(desk, name):
    studio, _ = desk
    with pytest.raises(UnknownNameError, match="style"):
        does(studio, "draw", {"style": name})


def test_exports_are_the_files_themselves(desk):
    studio, style = desk
    does(studio, "draw", {"style": style})
    _, folder = shelf_of(studio).own(style)
    for what, path, name in (
        ("style", folder / "run/style.safetensors", "Mine.safetensors"),
        ("student", folder / "student/student.safetensors", "Mine-student.safetensors"),
    ):
        found = act(studio, "export", {"what": what})
        assert found["name"] == name
        assert blob(studio, found["address"]) == path.read_bytes()
    found = act(studio, "export", {"what": "style", "style": "brush"})
    assert blob(studio, found["address"]) == (FOLDER / "brush.safetensors").read_bytes()
    assert act(studio, "export", {"what": "png"})["name"] == "me too-sketch.png"
    svg = blob(studio, act(studio, "export", {"what": "svg"})["address"]).decode()
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg" width="96" height="96"')
    does(studio, "draw", MIX)
    with pytest.raises(ConfigError, match="one style must be chosen to be saved"):
        act(studio, "export", {"what": "style"})
    with pytest.raises(UnknownNameError, match="what"):
        act(studio, "export", {"what": "../run.json"})
    with pytest.raises(ConfigError, match="there must be a folder that was drawn"):
        act(studio, "export", {"what": "zip"})


def test_a_style_of_another_model_is_told_and_refused_in_words_of_the_page(tmp_path):
    studio, style = learnt_desk(tmp_path / "desk")
    backbone = studio.model.get()
    studio.model._found = type("Other", (), {"name": "sd15", "weights": {}})()
    studio._own.clear()
    studio._bench = lambda: type("Bench", (), {"sharing": lambda self, one: one})()
    told = {one["id"]: one for one in act(studio, "told")["styles"]}
    assert not told["brush"]["fits"]
    assert not told[style]["fits"]
    assert told[style]["why"] == (
        "a style must be of the backbone that draws, 'sd15', got one of 'embedded'; open the "
        "studio with backbone=embedded, or learn the style on 'sd15'"
    )
    assert backbone.name == "embedded"


def test_a_record_of_an_interrupted_sketch_is_drawn_again(desk):
    studio, style = desk
    does(studio, "draw", {"style": style})
    kept, _ = studio.placed["sketch"].tab.jobs["draw"].__self__.latest()
    record = kept.folder / "run.json"
    record.write_text(record.read_text().replace('"done"', '"running"'))
    assert act(studio, "told")["drawn"] is None
    does(studio, "draw", {"style": style})
    assert read_json(record)["status"] == "done"
