"""``fk.studio``: a server beside the program, its page in a frame."""

import json
import urllib.request

import pytest
from PIL import Image

import featurekit as fk
from featurekit.web import opening
from featurekit.web.studio import Studio


@pytest.fixture(autouse=True)
def unloaded(monkeypatch):
    monkeypatch.setattr(Studio, "warm_up", lambda studio: None)


def test_it_opens_beside_the_program_and_closes(tmp_path):
    opened = fk.studio(Image.new("RGB", (64, 48), "teal"), folder=tmp_path)
    with urllib.request.urlopen(opened.address + "state", timeout=60) as answer:
        state = json.load(answer)
        policy = answer.headers["content-security-policy"]
    assert [(one["width"], one["height"]) for one in state["pictures"]] == [(64, 48)]
    assert "frame-ancestors 'self' http://localhost:*" in policy
    assert f'<iframe src="{opened.address}"' in opened._repr_html_()
    with pytest.raises(fk.errors.OutputError, match="folder must not be in use"):
        fk.studio(folder=tmp_path)
    opened.close()
    again = fk.studio(folder=tmp_path)
    assert repr(again) == f"studio at {again.address}"
    again.close()


def test_a_file_is_taken_as_it_is(tmp_path):
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "me.png")
    opened = fk.studio(tmp_path / "me.png", folder=tmp_path / "studio")
    with urllib.request.urlopen(opened.address + "state", timeout=60) as answer:
        assert json.load(answer)["pictures"][0]["name"] == "me.png"
    opened.close()
    opened.close()  # twice is once


def test_what_is_no_picture_leaves_the_folder_free(tmp_path):
    with pytest.raises(fk.errors.ImageError, match=r"'none\.png' is none"):
        fk.studio("none.png", folder=tmp_path)
    fk.studio(folder=tmp_path).close()


def test_a_missing_extra_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "import_fault", lambda name: "gone")
    with pytest.raises(fk.errors.ConfigError, match=r"needs starlette and uvicorn, not installed; "
                       r"pip install 'featurekit\[studio\]'"):  # fmt: skip
        fk.studio(folder=tmp_path)
