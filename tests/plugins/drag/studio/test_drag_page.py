"""The tab Drag in a real browser, as a person uses it."""

from io import BytesIO

import pytest
from drag_person import DRAG, Person, brushed
from drag_sessions import subject
from drag_studio import SCENE, desk_of, does, place_of, png, rows
from PIL import Image
from studio_desk import until

from featurekit_drag.studio import apply

SIDE = 64


@pytest.fixture(scope="module")
def sun():
    """Where the scene's sun is and where it goes, in shares."""
    (row,) = subject(SCENE, SIDE).points.rows
    return [value / SIDE for value in row]


@pytest.fixture
def studio(tmp_path):
    made = desk_of(tmp_path / "desk", picture=False)
    made.put_picture(png(SIDE), "sun.png", select=True)
    made.model.get()
    return made


@pytest.fixture
def person(studio, serve, tab_of):
    one, _ = serve(studio)
    found = Person(tab_of(one.address))
    found.page.wait_for_selector("#pane-drag .drag-tools")
    found.waits("drag && drag.told")
    return found


def test_pulls_pins_and_strokes_are_points_numbers_and_undone(person, tab_of):
    person.pulls((0.2, 0.3), (0.4, 0.5))
    person.pulls((0.7, 0.7), (0.6, 0.8))
    person.page.keyboard.press("p")
    person.page.mouse.click(*person.at(0.5, 0.25))
    found = person.points()
    assert list(found) == ["From 1", "To 1", "From 2", "To 2", "Pin"]
    assert found["To 1"] == pytest.approx([0.4 * SIDE, 0.5 * SIDE], abs=0.6)
    assert "No mask: everything may move" in person.page.locator("#drag-mask-said").inner_text()
    brushed(person, 0.2, 0.3, 0.4, 0.5)
    with_mask = person.page.locator("#drag-mask-said").inner_text()
    assert "may move; the rest stays" in with_mask
    person.page.keyboard.press("e")
    person.pulls((0.2, 0.3), (0.25, 0.3))
    assert person.page.locator("#drag-mask-said").inner_text() != with_mask
    person.page.keyboard.press("l")
    person.pulls((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9))
    assert person.knows("Math.round(100 * (drag.doc.mask.runs[1] / drag.doc.mask.width))") > 70
    for _ in range(7):
        person.page.keyboard.press("Control+z")
    assert person.points() == {}
    assert person.knows("drag.doc.mask") is None
    for _ in range(7):
        person.page.keyboard.press("Control+Shift+Z")
    assert person.points() == found
    assert person.knows("drag.doc.mask !== null")
    assert all("422" in line for line in tab_of.wrong)  # of a handle that was erased from the mask
    tab_of.wrong.clear()


def test_clicks_and_keys_do_without_pulling(person):
    person.page.get_by_label("Click, then click, instead of pulling").check()
    person.page.mouse.click(*person.at(0.25, 0.25))
    person.page.mouse.click(*person.at(0.5, 0.25))
    before = person.points()
    assert before["To"] == pytest.approx([0.5 * SIDE, 0.25 * SIDE], abs=0.6)
    person.page.keyboard.press("ArrowRight")
    person.page.keyboard.press("Shift+ArrowDown")
    x, y = before["To"]
    assert person.points()["To"] == pytest.approx([x + 1, y + 10], abs=0.06)
    person.page.get_by_label("To 2, x in pixels").fill("20")
    person.page.keyboard.press("Enter")
    assert person.points()["To"][0] == 20
    person.page.locator("#pane-drag .view").focus()
    person.page.keyboard.press("Delete")
    assert person.points() == {}
    for key in ("Enter", *["ArrowRight"] * 5, "Enter"):
        person.page.keyboard.press(key)
    assert person.points()["To"] == [SIDE / 2 + 5, SIDE / 2]
    person.page.keyboard.press("b")
    size = person.knows("drag.tools.brush")
    person.page.keyboard.press("]")
    assert person.knows("drag.tools.brush") > size
    person.page.keyboard.press("[")
    person.page.keyboard.press("[")
    assert person.knows("drag.tools.brush") < size


def test_the_preview_follows_the_pointer_within_two_frames(person, sun):
    x, y, u, v = sun
    brushed(person, x, y, u, v)
    person.pulls((x, y), (u, v), drop=False)
    person.waits("drag.preview.cut && drag.preview.isShown")
    shown = person.shows()
    person.page.mouse.move(*person.at(u, v + 0.1))
    person.page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    assert person.shows() != shown
    person.page.mouse.up()
    person.waits("drag.preview.exact")
    assert person.knows("drag.preview.exact.width") == SIDE
    assert person.knows("drag.preview.frames.length") > 1


def test_a_handle_outside_the_mask_is_told_in_a_sentence(person, tab_of):
    brushed(person, 0.2, 0.2, 0.3, 0.2)
    person.pulls((0.8, 0.8), (0.7, 0.8))
    person.waits("drag.isRefused")
    assert "mask" in person.page.locator("#drag-state").inner_text()
    assert all("422" in line for line in tab_of.wrong)  # the browser's own lines
    tab_of.wrong.clear()


def halted(monkeypatch):
    """Have the next edit wait, after its first step, until somebody stops it; gives the waiting."""
    plain, halts = apply._stepped, []

    def stepped(session, stage, work):
        if not halts:
            halts.append(session.step())
            until(lambda: work.is_stopped)
        return plain(session, stage, work)

    monkeypatch.setattr(apply, "_stepped", stepped)
    return halts


def test_an_edit_is_stopped_resumed_undone_compared_saved_and_there_after_a_reload(
    person, studio, sun, monkeypatch
):
    x, y, u, v = sun
    brushed(person, x, y, u, v)
    person.pulls((x, y), (u, v))
    edits = halted(monkeypatch)
    person.page.click("#drag-apply")
    person.page.locator("#drag-stop").click()
    person.page.wait_for_selector("#drag-resume:not([hidden])")
    assert person.page.locator("#drag-state").inner_text() == "Stopped; nothing is lost."
    assert len(edits) == 1
    person.page.click("#drag-resume")
    person.waits("drag.told.edit && !drag.job && drag.images.result")
    assert person.page.locator("#drag-result [role=meter]").count() == 1
    assert person.page.locator("#drag-result .thumbs button").count() > 1
    result = person.shows()
    person.page.keyboard.press("k")
    until(lambda: person.shows() != result)
    person.page.keyboard.press("k")
    until(lambda: person.shows() == result)
    person.page.keyboard.press("Control+z")
    person.waits("!drag.told.edit")
    person.page.keyboard.press("Control+Shift+Z")
    person.waits("drag.told.edit && drag.images.result")
    with person.page.expect_download() as download:
        person.page.click("#drag-save-picture")
    with Image.open(BytesIO(download.value.path().read_bytes())) as saved:
        assert saved.size == (SIDE, SIDE)
    asked, now = person.knows("drag.doc.drags"), person.knows("drag.told.now")
    until(lambda: studio.tabs_told["tabs"][0]["saved"] is not None)
    place_of(studio).keeper.flush()
    person.page.reload()
    person.page.wait_for_selector("#pane-drag .drag-tools")
    person.waits("drag && drag.told && drag.images.result")
    assert person.knows("drag.doc.drags") == asked
    assert person.knows("drag.told.now") == now
    person.page.click("#drag-accept")
    person.waits("!drag.told.edit")
    until(lambda: person.points() == {})
    assert person.page.locator("#drag-history .drag-steps button").count() == 3
    person.page.locator("#drag-history .drag-steps button").nth(1).click()
    person.waits("drag.told.edit")
    person.waits("drag.doc.drags.length === 1")


def test_a_result_that_comes_late_does_not_cover_what_is_pulled_meanwhile(person, studio):
    does(studio, "apply", {"points": rows()})
    held = []
    person.page.route("**/act/drag/picture", lambda route: held.append(route))
    person.page.reload()
    person.page.wait_for_selector("#pane-drag .drag-tools")
    person.waits("drag && drag.told && drag.told.edit")
    person.pulls((0.2, 0.3), (0.4, 0.5))
    until(lambda: person.page.wait_for_timeout(1) or held)
    held[0].continue_()
    person.waits("drag.images.result")
    assert person.knows("drag.shows") == "plan"
    assert "To" in person.points()


def test_the_largest_picture_is_dropped_dragged_applied_and_saved_whole(tmp_path, serve, tab_of):
    wide = Image.effect_noise((8192, 64), 60).convert("RGB")  # as fine as pixels are
    wide.paste(Image.open(BytesIO(png(SIDE))), (4096, 0))
    file = BytesIO()
    wide.save(file, "PNG")
    studio = desk_of(tmp_path / "desk", picture=False)
    studio.model.get()
    person = Person(tab_of(serve(studio)[0].address))
    chosen = {"name": "wide.png", "mimeType": "image/png", "buffer": file.getvalue()}
    with person.page.expect_file_chooser() as chooser:
        person.page.click("#choose")
    chooser.value.set_files(files=[chosen])
    person.page.wait_for_selector("#pane-drag .drag-tools")
    person.waits("drag && drag.told && drag.view.width === 8192")
    ((x, y, u, v),) = rows()
    mask = {"width": 1024, "height": 8, "runs": [512, *[8, 1016] * 7, 8, 504]}  # the scene alone
    drag = {"x": 4096 + x, "y": y, "u": 4096 + u, "v": v}
    person.page.evaluate(
        f"(asked) => {DRAG}.change('pull', {{ ...{DRAG}.doc, ...asked }})",
        {"drags": [drag], "mask": mask},
    )
    person.waits("drag.preview.exact")
    assert person.knows("drag.preview.exact.naturalWidth") == 8192
    person.page.click("#drag-apply")
    person.waits("drag.told.edit && !drag.job && drag.images.result")
    with person.page.expect_download() as download:
        person.page.click("#drag-save-picture")
    with Image.open(BytesIO(download.value.path().read_bytes())) as saved:
        assert saved.size == (8192, 64)
        left = (0, 0, 4096, 64)
        assert saved.crop(left).tobytes() == wide.crop(left).tobytes()
        assert saved.tobytes() != wide.tobytes()


def test_the_example_is_of_its_own_picture_alone(person, studio, tab_of):
    person.page.evaluate(f"{DRAG}.example()")
    person.waits("drag.picture.name === 'dog.png' && drag.told && drag.doc.drags.length === 1")
    target = person.knows("drag.doc.drags[0].u")
    nearer = f"{{ ...{DRAG}.doc, drags: [{{ ...{DRAG}.doc.drags[0], u: {target - 9} }}] }}"
    person.page.evaluate(f"{DRAG}.change('nearer', {nearer})")
    person.page.evaluate(f"{DRAG}.example()")  # whose picture is on the desk already
    person.waits(f"drag.doc.drags[0].u === {target}")
    studio.put_picture(png(96), "other.png", select=True)
    person.waits("drag.picture.name === 'other.png' && drag.told")
    assert person.knows("drag.doc.drags.length") == 0
    assert not person.knows("drag.doc.mask")
    tab_of.wrong.clear()  # what was asked about the picture before may be refused
