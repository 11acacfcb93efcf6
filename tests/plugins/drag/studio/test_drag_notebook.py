"""The studio in a notebook: traits of the widget follow what is dragged on its page."""

from io import BytesIO

import numpy as np
import pytest
from browsers import PATIENCE_MS
from drag_sessions import subject
from drag_studio import SCENE, SIZE, act, desk_of, does, masked, png, rows
from notebook_page import shown
from PIL import Image
from studio_desk import until

import featurekit as fk
from featurekit.web.studio import Studio
from featurekit_drag.studio.tab import make_tab

pytest.importorskip("anywidget")


@pytest.fixture
def view(tmp_path, monkeypatch):
    """A studio with the tab Drag, as a cell of a notebook opens it."""
    monkeypatch.setattr(Studio, "_announced", lambda studio: iter({"drag": make_tab}.items()))
    monkeypatch.setattr(Studio, "warm_up", lambda studio: studio.load_tabs())
    made = fk.studio(Image.open(BytesIO(png())), folder=tmp_path)
    yield made
    made.close()


@pytest.fixture
def page(view, chromium):
    """The notebook."""
    with shown(view) as address:
        made = chromium.new_page(viewport={"width": 1100, "height": 900}, reduced_motion="reduce")
        made.set_default_timeout(PATIENCE_MS)
        made.goto(address)
        yield made
        made.close()


def studio_frame(page):
    frame = page.wait_for_selector("iframe").content_frame()
    frame.wait_for_selector("#pane-drag .drag-tools")
    until(lambda: frame.evaluate("document.querySelector('#pane-drag').drag?.view.width") == SIZE)
    return frame


def test_traits_follow_a_drag_and_a_mask(view, page):
    frame = studio_frame(page)
    heard = []
    view.observe(lambda change: heard.append(change.new), "tabs")
    until(lambda: view.tabs["drag"].get("points") == [])
    box = frame.locator("#pane-drag .view").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 20, y)
    page.mouse.move(x + 40, y)
    page.mouse.up()
    until(lambda: view.tabs["drag"]["points"])
    ((from_x, from_y, to_x, to_y),) = view.tabs["drag"]["points"]
    assert from_y == to_y == pytest.approx(SIZE / 2, abs=1)
    assert to_x > from_x == pytest.approx(SIZE / 2, abs=1)
    assert heard[-1] == view.tabs
    assert view.picture == {"id": view.picture["id"], "name": "picture.png", "width": SIZE,
                            "height": SIZE}  # fmt: skip
    frame.locator("#pane-drag .view").focus()
    page.keyboard.press("b")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y)
    page.mouse.up()
    until(lambda: view.tabs["drag"]["mask"])
    with Image.open(view.tabs["drag"]["mask"]) as mask:
        assert mask.size == (SIZE, SIZE)
        assert 0 < np.asarray(mask).mean() < 255
    view.put(Image.new("RGB", (48, 32), "teal"))
    until(lambda: view.picture["width"] == 48)
    until(lambda: view.tabs["drag"]["points"] == [])


def test_a_page_that_does_not_come_is_told_and_one_that_comes_is_not(view, page):
    note = page.locator("#cell p")
    page.clock.install()
    page.reload()
    studio_frame(page)
    page.clock.run_for(60_000)
    assert note.is_hidden()
    foreign = page.evaluate("postMessage({ featurekit: 'ready' }, '*')")
    assert foreign is None
    page.evaluate("model.told('height', 300)")
    assert page.locator("iframe").evaluate("(frame) => frame.style.height") == "300px"
    page.evaluate("leave()")
    assert page.evaluate("model.heard.size") == 0


def test_a_message_of_another_page_is_not_the_studios(view, page):
    page.clock.install()
    page.route(f"{view.address}**", lambda route: route.abort())
    page.reload()
    page.wait_for_selector("iframe", state="attached")  # the page is there before the widget is
    page.evaluate("postMessage({ featurekit: 'ready' }, '*')")
    page.evaluate("new Promise((done) => { onmessage = done; postMessage(0, '*'); })")
    page.clock.run_for(60_000)
    note = page.locator("#cell p")
    assert note.is_visible()
    assert f"its page is at {view.address}" in note.inner_text()


def test_what_is_seen_is_what_a_run_takes(tmp_path):
    studio = desk_of(tmp_path / "desk")
    drag = studio.placed["drag"]
    assert drag.seen["points"] == []
    assert drag.seen["step"] is None
    key = studio.shelf.told["current"]
    (row,) = rows()
    inside = subject(SCENE, SIZE).mask[0, 0].numpy() > 0
    ends = np.flatnonzero(np.diff(np.concatenate([[False], inside.ravel(), [False]])))
    runs = np.diff(np.concatenate([[0], ends, [inside.size]])).tolist()
    mask = {"width": SIZE, "height": SIZE, "runs": runs}
    one, still = dict(zip("xyuv", row, strict=True)), {"x": 9, "y": 9, "u": 9, "v": 9}
    doc = {"drags": [one, still], "pins": [{"x": 3, "y": 4.5}], "mask": mask, "mode": "move",
           "prompt": "a sun", "seed": 3}  # fmt: skip
    studio.save_page("drag", {"pictures": {key: doc}})
    seen = drag.seen
    assert seen["points"] == rows()
    assert seen["pins"] == [[3, 4.5]]
    assert (seen["mode"], seen["prompt"], seen["seed"]) == ("move", "a sun", 3)
    assert seen["mask"].endswith(f"{masked(studio)}.png")
    act(studio, "told")
    assert (drag.seen["step"], drag.seen["run"]) == (0, None)
    does(studio, "apply", {"points": rows(), "mask": masked(studio)})
    seen = drag.seen
    assert seen["step"] == 2
    assert fk.load_image(f"{seen['run']}/edit.png").shape[-1] == SIZE
    act(studio, "go", {"step": 1})
    assert (drag.seen["step"], drag.seen["run"]) == (1, None)
    doc["regions"] = [{"mask": mask, "dx": 2, "dy": 0}, {"mask": mask, "dx": 0, "dy": 0}]
    studio.save_page("drag", {"pictures": {key: doc}})
    assert drag.seen["points"] == []
    assert [row[1:] for row in drag.seen["regions"]] == [[2, 0]]


@pytest.mark.parametrize(
    ("doc", "sentence"),
    [
        ({"drags": [{"x": "1"}]}, "x must be a number"),
        ({"mask": 3}, "height must be given"),
        ({"mask": {"width": 2, "height": 2, "runs": [5]}}, "whole numbers up to 4"),
        ({"mask": {"width": 2, "height": 2, "runs": "all"}}, "a list of at most"),
    ],
)
def test_what_no_page_saves_is_an_error_in_words(tmp_path, doc, sentence):
    studio = desk_of(tmp_path / "desk")
    studio.save_page("drag", {"pictures": {studio.shelf.told["current"]: doc}})
    assert sentence in studio.placed["drag"].seen["error"]
