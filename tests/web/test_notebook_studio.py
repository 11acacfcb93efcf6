"""``fk.studio``: a server beside the program, its page in a frame."""

import json
import urllib.request
from dataclasses import replace

import pytest
from PIL import Image
from studio_desk import mistakes, printed_tab, until
from traitlets import TraitError

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
    shown, _ = opened._repr_mimebundle_()
    assert f'<iframe src="{opened.address}"' in shown["text/html"]
    assert any("widget" in kind for kind in shown)
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


def test_without_anywidget_it_is_a_frame_that_knows_as_much(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "import_fault", lambda name: "gone" * (name == "anywidget"))
    opened = fk.studio(Image.new("RGB", (64, 48), "teal"), folder=tmp_path)
    assert f'<iframe src="{opened.address}"' in opened._repr_html_()
    assert opened.picture["width"] == 64
    assert opened.tabs == {}
    opened.put(Image.new("RGB", (32, 48), "olive"))
    assert opened.picture["width"] == 32
    opened.close()


def test_a_widget_follows_the_page_and_is_not_followed_by_it(tmp_path, monkeypatch):
    pytest.importorskip("anywidget")
    tab = printed_tab(tmp_path)
    monkeypatch.setattr(Studio, "_announced", lambda studio: iter({"blur": tab}.items()))
    monkeypatch.setattr(Studio, "warm_up", lambda studio: studio.load_tabs())
    opened = fk.studio(Image.new("RGB", (64, 48), "teal"), folder=tmp_path / "studio")
    until(lambda: opened.tabs == {"blur": {}})
    asked = urllib.request.Request(f"{opened.address}tab-state/blur", b'{"times": 3}', method="PUT")
    urllib.request.urlopen(asked, timeout=60).close()
    until(lambda: opened.tabs == {"blur": {"times": 3}})
    with pytest.raises(TraitError, match="read-only"):
        opened.tabs = {}
    opened.close()


def test_what_fails_while_a_change_is_heard_ends_no_following(tmp_path, monkeypatch, caplog):
    pytest.importorskip("anywidget")

    def seen(saved):
        return {"halves": 12 / saved["times"]} if saved else {}

    def tab(desk):
        return replace(printed_tab(tmp_path)(desk), seen=seen)

    monkeypatch.setattr(Studio, "_announced", lambda studio: iter({"blur": tab}.items()))
    monkeypatch.setattr(Studio, "warm_up", lambda studio: studio.load_tabs())
    opened = fk.studio(Image.new("RGB", (64, 48), "teal"), folder=tmp_path / "studio")
    until(lambda: opened.tabs == {"blur": {}})

    def saves(times):
        body = b'{"times": %d}' % times
        asked = urllib.request.Request(f"{opened.address}tab-state/blur", body, method="PUT")
        urllib.request.urlopen(asked, timeout=60).close()

    saves(0)
    until(lambda: "mistake of ours, ZeroDivisionError" in opened.tabs["blur"].get("error", ""))

    def hear(change):
        raise RuntimeError("a mistake of the notebook")

    opened.observe(hear, "tabs")
    saves(3)
    until(lambda: opened.tabs == {"blur": {"halves": 4}})
    saves(4)
    until(lambda: opened.tabs == {"blur": {"halves": 3}})
    opened.close()
    assert mistakes(caplog) == [ZeroDivisionError, RuntimeError, RuntimeError]


def test_a_missing_extra_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "import_fault", lambda name: "gone")
    with pytest.raises(fk.errors.ConfigError, match=r"needs starlette and uvicorn, not installed; "
                       r"pip install 'featurekit\[studio\]'"):  # fmt: skip
        fk.studio(folder=tmp_path)
