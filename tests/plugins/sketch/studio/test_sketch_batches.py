"""A folder of pictures: what it takes, how its files are called, its ZIP, its limits."""

import json
import zipfile
from io import BytesIO

import pytest
from PIL import Image
from sketch_studio import act, blob, desk_of, does, face, names

from featurekit.core.errors import ConfigError
from featurekit.images.io import load_image
from featurekit_sketch.studio import batches
from featurekit_sketch.studio.batches import name_of

ASKED = {"styles": ["brush"], "shares": [1]}


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    made = desk_of(tmp_path_factory.mktemp("batches") / "desk")
    for number, name in ((10, "holiday/face10.png"), (2, "C:\\me\\face2.JPG"), (3, "face2.jpg")):
        act(made, "batch", {"name": name}, file=face(number))
    return made


@pytest.fixture(scope="module")
def done(studio):
    return does(studio, "batch", {**ASKED, "svg": True, "student": True})


def packed(studio, address):
    return zipfile.ZipFile(BytesIO(blob(studio, address)))


def test_files_are_called_by_their_last_names_and_sorted_by_number(studio):
    assert act(studio, "told")["batch"]["files"] == ["face2-2.jpg", "face2.jpg", "face10.png"]


def test_the_same_file_twice_is_one(studio):
    before = act(studio, "told")["batch"]["files"]
    found = act(studio, "batch", {"name": "face10.png"}, file=face(10))
    assert found == {"files": before, "refused": None}


def test_all_are_drawn_told_and_packed(studio, done):
    result, told, _ = done
    assert names(told) == ["face2-2.jpg", "face2.jpg", "face10.png"]
    assert (result["count"], result["skipped"]) == (3, [])
    with packed(studio, result["zip"]) as files:
        assert sorted(files.namelist()) == sorted(
            [f"{stem}{end}" for stem in ("face2", "face2-2", "face10") for end in (".png", ".svg")]
            + ["run.json"]
        )
        record = json.loads(files.read("run.json"))
        assert (record["status"], record["config"]["task"]) == ("done", "extract")
        sketch = load_image(Image.open(BytesIO(files.read("face10.png"))))
        assert tuple(sketch.shape[-2:]) == (64, 64)
        assert float(sketch.amin()) < 0 < float(sketch.amax())
        assert files.read("face10.svg").startswith(b"<svg")
    kept = act(studio, "export", {"what": "zip"})
    assert kept == {"address": result["zip"], "name": "sketches.zip"}
    assert act(studio, "told")["batch"]["done"] == 3


def test_the_folder_is_there_for_the_next_server(studio, done):
    again = desk_of(studio.folder, picture=False)
    assert act(again, "told")["batch"] == act(studio, "told")["batch"]
    assert blob(again, act(again, "export", {"what": "zip"})["address"])


def test_what_is_no_picture_is_refused_in_a_sentence(studio):
    before = act(studio, "told")["batch"]["files"]
    found = act(studio, "batch", {"name": "/etc/notes.txt"}, file=b"none")
    assert found["files"] == before
    assert found["refused"].startswith("notes.txt.png: ")
    assert str(studio.folder) not in found["refused"]


def test_a_picture_that_was_harmed_is_left_out_and_named(tmp_path):
    studio = desk_of(tmp_path / "desk")
    for seed in (1, 2):
        act(studio, "batch", {"name": f"{seed}.png"}, file=face(seed))
    (tmp_path / "desk/tabs/sketch/batch/pictures/2.png").write_bytes(face(2)[:200])
    result, _, _ = does(studio, "batch", {**ASKED, "student": True})
    assert result["count"] == 1
    (line,) = result["skipped"]
    assert line.startswith("2.png: ")
    assert str(tmp_path) not in line
    assert act(studio, "unbatch") == {"files": [], "done": 0, "zip": None}
    assert act(studio, "told")["batch"]["files"] == []
    with pytest.raises(ConfigError, match="there must be pictures to draw, got none"):
        does(studio, "batch", ASKED)


def test_a_folder_is_not_emptied_while_it_is_drawn(tmp_path, monkeypatch):
    studio, said = desk_of(tmp_path / "desk"), []
    act(studio, "batch", {"name": "a.png"}, file=face(1))

    def empty(*_, **__):
        with pytest.raises(ConfigError, match="must stay while it is drawn; stop that first") as e:
            act(studio, "unbatch")
        said.append(e)
        raise KeyboardInterrupt

    monkeypatch.setattr(batches, "run_for_page", empty)
    with pytest.raises(KeyboardInterrupt):
        does(studio, "batch", ASKED)
    assert len(said) == 1
    assert act(studio, "unbatch")["files"] == []


def test_a_folder_that_is_full_refuses_and_keeps_what_it_has(tmp_path, monkeypatch):
    studio = desk_of(tmp_path / "desk")
    act(studio, "batch", {"name": "a.png"}, file=face(1))
    monkeypatch.setattr(batches, "MOST", 1)
    found = act(studio, "batch", {"name": "b.png"}, file=face(2))
    assert found["files"] == ["a.png"]
    assert "may have 1 pictures, and so many are there" in found["refused"]
    monkeypatch.setattr(batches, "MOST", 9)
    monkeypatch.setattr(batches, "MOST_BYTES", 1000)
    assert "this would be more" in act(studio, "batch", {"name": "b.png"}, file=face(2))["refused"]


@pytest.mark.parametrize(("given", "kept"), [
    ("face.png", "face.png"),
    ("../../etc/passwd", "passwd.png"),
    ("..\\..\\boot.ini", "boot.ini.png"),
    ("C:\\photos\\Ich & du.JPEG", "Ich _ du.jpeg"),
    ("été 日本.webp", "été 日本.webp"),
    ("..", "picture.png"),
    ("", "picture.png"),
    (".hidden.png", "hidden.png"),
    ("a/b/.png", "png.png"),
    ("con.png", "_con.png"),
    ("LPT1.x.jpg", "_LPT1.x.jpg"),
    ("a\x01b\n<c>|d?.png", "a_b_c_d_.png"),
    ("x" * 300 + ".png", "x" * 76 + ".png"),
    ("dots. . .png", "dots.png"),
])  # fmt: skip
def test_names_are_of_letters_that_any_disk_takes(given, kept):
    assert name_of(given) == kept
    assert name_of(kept) == kept
