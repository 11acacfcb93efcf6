"""The tab Sketch in a real browser, as a person uses it."""

from io import BytesIO
from zipfile import ZipFile

import pytest
from PIL import Image
from sketch_studio import desk_of, drawing, face, small_runs
from studio_desk import NEEDS_AXE, serious, until

from featurekit_sketch.studio import learning
from featurekit_sketch.studio.live import LiveSketches

SIDE = 128
SKETCH = "document.querySelector('#pane-sketch').sketch"
WIDTHS = (320, 360, 1280, 2400)


class Person:
    """Somebody at the page."""

    def __init__(self, page):
        self.page = page
        page.set_default_timeout(60_000)
        page.wait_for_selector("#pane-sketch .sketch-style")

    def knows(self, what):
        return self.page.evaluate(f"(() => {{ const sketch = {SKETCH}; return {what}; }})()")

    def waits(self, what):
        try:
            until(lambda: self.knows(f"Boolean({what})"), 6000)
        except AssertionError as error:
            seen = " ".join(self.page.locator("body").inner_text().split())
            raise AssertionError(f"never {what}: {seen}") from error

    def sees(self, *styles):
        """Wait until the picture is drawn in these, and shown."""
        wanted = ",".join(styles)
        self.waits(
            f"sketch.drawn?.styles.join() === '{wanted}' && !sketch.wanted && !sketch.jobs.size"
            " && sketch.stage.sketch && sketch.text"
        )

    def picks(self, style):
        self.page.locator(f"[data-style='{style}']").click()

    def at(self, x, y):
        """A place of the picture on the screen; x and y are shares."""
        view = "sketch.stage.view"
        place = self.knows(f"{view}.toScreen({x} * {view}.width, {y} * {view}.height)")
        box = self.page.locator("#pane-sketch .view").bounding_box()
        return place[0] + box["x"], place[1] + box["y"]

    def shows(self):
        """A number of what the picture's view shows."""
        return self.page.evaluate(
            """new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
            const canvas = document.querySelector("#pane-sketch .view canvas");
            const { width, height } = canvas, context = canvas.getContext("2d");
            const { data } = context.getImageData(0, 0, width, height);
            let sum = 0; for (let i = 0; i < data.length; i += 41) sum = (sum * 31 + data[i]) % 1e9;
            done(sum); })))"""
        )

    def says(self):
        return self.page.locator("#sketch-state").inner_text()

    def drops(self, content, name="drawing.png"):
        """Drop a file where drawings are taken."""
        self.page.evaluate(
            """([bytes, name]) => {
            const moved = new DataTransfer();
            moved.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
            const places = [...document.querySelectorAll("#sketch-learning [data-takes-pictures]")],
              place = places.find((one) => !one.hidden);
            place.dispatchEvent(new DragEvent("drop", { bubbles: true, dataTransfer: moved }));
            }""",
            [list(content), name],
        )

    def saves(self, button):
        with self.page.expect_download() as download:
            self.page.click(button)
        return download.value.suggested_filename, download.value.path().read_bytes()


@pytest.fixture
def studio(tmp_path):
    made = desk_of(tmp_path / "desk", picture=False)
    made.put_picture(face(side=SIDE), "face.png", select=True)
    made.model.get()
    return made


@pytest.fixture
def person(studio, serve, tab_of):
    one, _ = serve(studio)
    return Person(tab_of(one.address))


def test_a_style_is_picked_mixed_and_undone_and_the_picture_follows(person):
    picture = person.shows()
    assert "Pick a style" in person.says()
    person.picks("brush")
    person.sees("brush")
    brush, python = person.shows(), person.knows("sketch.text")
    assert brush != picture
    assert person.says() == "Drawn: Brush, by its student."
    person.page.click("#sketch-mix")
    person.picks("hatching")
    person.sees("brush", "hatching")
    mixed = person.shows()
    assert mixed != brush
    person.page.locator("#sketch-shares input").first.fill("80")
    person.waits("sketch.choice.shares.join() === '0.8,0.2' && sketch.drawn.shares[0] === 0.8")
    person.sees("brush", "hatching")
    assert person.says() == "Drawn: Brush 80 %, Hatching 20 %."
    assert person.knows("sketch.text") != python
    person.page.keyboard.press("Control+z")
    person.waits("sketch.drawn.shares[0] === 0.5")
    person.page.keyboard.press("Control+z")
    person.sees("brush")
    assert person.shows() == brush
    assert person.knows("sketch.text") == python
    person.page.keyboard.press("c")
    assert "task=extract" in person.page.locator("#python-text").inner_text()
    person.page.keyboard.press("Escape")
    person.page.wait_for_selector("#python-dialog:not([open])", state="attached")
    person.page.keyboard.press("Control+Shift+Z")
    person.sees("brush", "hatching")


def test_the_lens_draws_where_the_pointer_is(person):
    person.picks("brush")
    person.sees("brush")
    person.page.keyboard.press("2")
    person.page.mouse.move(*person.at(0.4, 0.4))
    person.waits("sketch.stage.window")
    first, box = person.shows(), person.knows("sketch.stage.window.box.join()")
    person.page.mouse.move(*person.at(0.7, 0.7))
    person.waits(f"sketch.stage.window.box.join() !== '{box}'")
    assert person.shows() != first
    assert person.knows("sketch.stage.window.box[2]") < SIDE
    assert "student" in person.page.locator(".sketch-speed").inner_text()


def test_a_sketch_is_saved_and_all_is_there_after_a_reload(person, studio):
    person.picks("hatching")
    person.sees("hatching")
    name, content = person.saves("#sketch-save-png")
    assert name == "face-sketch.png"
    with Image.open(BytesIO(content)) as saved:
        assert saved.size == (SIDE, SIDE)
    assert b"<svg" in person.saves("#sketch-save-svg")[1]
    assert person.saves("#sketch-save-record")[1].startswith(b"{")
    person.drops(drawing(side=SIDE))
    person.waits("sketch.teaching.pair")
    person.page.get_by_label("Name of the style").fill("Mine")
    person.page.keyboard.press("Tab")
    person.page.locator("#pane-sketch .view").focus()
    person.page.keyboard.press("3")
    seen = person.shows()
    until(lambda: (studio.tabs_told["tabs"][0]["saved"] or {}).get("shows") == "both")
    person.page.reload()
    again = Person(person.page)
    again.sees("hatching")
    again.waits("sketch.teaching.pair")
    assert again.knows("sketch.stage.shows") == "both"
    assert again.page.get_by_label("Name of the style").input_value() == "Mine"
    assert again.shows() == seen


@pytest.fixture
def held():
    """A learning waits at its fourth iteration until it is stopped, as long as this is set."""
    watched, held = LiveSketches.__call__, {"held": True}

    def watch(self, glimpse):
        watched(self, glimpse)
        if held and glimpse.done == 4:
            until(lambda: self._work.is_stopped, 6000)

    with small_runs(), pytest.MonkeyPatch.context() as patch:
        small = learning.settings_for

        def smaller(task, desk):
            cfg = small(task, desk)
            if task == "distil":
                cfg.plugin.pairs, cfg.plugin.student_iterations = 4, 2
            return cfg

        patch.setattr(learning, "settings_for", smaller)
        patch.setattr(LiveSketches, "__call__", watch)
        yield held


def test_a_style_is_learnt_stopped_gone_on_with_and_made_fast(held, person):
    person.drops(drawing(side=SIDE))
    person.waits("sketch.teaching.pair")
    overlay = person.page.locator(".sketch-overlay")
    until(lambda: overlay.evaluate("(image) => image.complete && image.naturalWidth > 0"))
    assert "edges" in person.page.locator("#sketch-pair").inner_text()
    person.page.get_by_label("Name of the style").fill("Mine")
    picture = person.shows()
    person.page.click("#sketch-learn")
    person.waits("sketch.stage.live && sketch.teaching.live.points.length")
    assert person.shows() != picture
    assert "loss" in person.page.locator("#sketch-step").inner_text()
    person.waits("document.querySelectorAll('#sketch-working img').length === 2")
    person.page.click("#sketch-stop")
    person.page.wait_for_selector("#sketch-go-on:not([hidden])")
    assert "of 8; nothing is lost" in person.page.locator("#sketch-about").inner_text()
    held.clear()
    person.page.click("#sketch-go-on")
    person.waits("sketch.drawn && sketch.drawn.styles[0] === sketch.choice.styles[0]")
    assert person.says() == "Drawn: Mine."
    drawn = person.shows()
    person.page.click("#sketch-distil")
    person.waits("sketch.drawn && sketch.drawn.student && !sketch.jobs.size")
    assert person.says() == "Drawn: Mine, by its student."
    until(lambda: person.shows() != drawn)
    person.page.get_by_label("Rename the style").fill("My lines")
    person.page.keyboard.press("Enter")
    person.waits("sketch.styles.some((one) => one.title === 'My lines')")
    person.page.click("#sketch-remove")
    assert person.page.locator("#sketch-remove").inner_text() == "Remove for good"
    person.page.click("#sketch-remove")
    person.waits("!sketch.styles.some((one) => one.title === 'My lines')")
    assert person.knows("sketch.choice.styles") == []


def test_what_is_no_drawing_is_told_in_a_sentence(person, tab_of):
    person.drops(face(side=SIDE))
    person.page.wait_for_selector("#sketch-refused:not([hidden])")
    assert "drawing" in person.page.locator("#sketch-refused").inner_text()
    assert all("422" in line for line in tab_of.wrong)  # the browser's own lines
    tab_of.wrong.clear()


def test_a_folder_of_three_is_drawn_into_a_zip(person, tmp_path):
    person.picks("brush")
    person.sees("brush")
    folder = tmp_path / "faces"
    folder.mkdir()
    for seed in (1, 2, 3):
        (folder / f"{seed}.png").write_bytes(face(seed))
    (folder / "notes.txt").write_text("no picture")
    person.page.locator("#sketch-folder").set_input_files(folder)
    person.waits("sketch.batch.files.length === 3 && !sketch.batch.adding")
    assert "1 file is no picture" in person.page.locator("#sketch-batches").inner_text()
    person.page.click("#sketch-batch")
    person.waits("sketch.batch.done === 3 && !sketch.jobs.size")
    assert person.page.locator(".sketch-drawn img").count() == 3
    name, content = person.saves("#sketch-zip")
    assert name == "sketches.zip"
    with ZipFile(BytesIO(content)) as found:
        assert {f"{seed}.png" for seed in (1, 2, 3)} <= set(found.namelist())
    person.page.click("#sketch-unbatch")
    person.waits("!sketch.batch.files.length")


def test_the_keyboard_does_it_all(person):
    press = person.page.keyboard.press
    person.page.locator("[data-style='hatching']").focus()
    press("Enter")
    person.sees("hatching")
    first = person.shows()
    press("n")
    person.sees("inline")
    assert person.shows() != first
    press("m")
    person.page.locator("[data-style='brush']").focus()
    press("Space")
    person.sees("inline", "brush")
    person.page.locator("#sketch-shares input").first.focus()
    press("ArrowRight")
    person.waits("sketch.drawn.shares.join() === '0.51,0.49'")
    press("3")
    both = person.shows()
    person.page.get_by_label("Picture to the left").focus()
    press("Home")
    assert person.shows() != both
    press("2")
    size = person.knows("+sketch.stage.lens.value")
    press("[")
    assert person.knows("+sketch.stage.lens.value") < size
    person.page.locator("#pane-sketch .view").focus()
    for _ in range(3):
        press("Shift+ArrowLeft")
    assert person.knows("sketch.stage.at.x") == SIDE / 2 - 30
    person.waits("sketch.stage.window")
    with person.page.expect_file_chooser() as chosen:
        press("l")
    chosen.value.set_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": drawing(side=SIDE)}
    )
    person.waits("sketch.teaching.pair")
    with person.page.expect_download():
        press("s")


@NEEDS_AXE
def test_axe_finds_nothing_serious_at_any_state(held, person):
    def looked_at():
        for theme in ("light", "dark"):
            person.page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
            assert not serious(person.page)

    looked_at()
    person.picks("brush")
    person.sees("brush")
    for key in "123":
        person.page.keyboard.press(key)
        looked_at()
    person.page.click("#sketch-mix")
    person.picks("hatching")
    person.sees("brush", "hatching")
    person.drops(drawing(side=SIDE))
    person.waits("sketch.teaching.pair")
    looked_at()
    person.page.click("#sketch-learn")
    person.waits("sketch.stage.live && sketch.teaching.live.points.length")
    looked_at()
    person.page.click("#sketch-stop")
    person.page.wait_for_selector("#sketch-go-on:not([hidden])")
    looked_at()


def test_the_page_fits_every_width(person):
    person.picks("brush")
    person.sees("brush")
    for width in WIDTHS:
        person.page.set_viewport_size({"width": width, "height": 760})
        for key in "234":
            person.page.keyboard.press(key)
            boxes = person.page.evaluate(
                """[...document.querySelectorAll("#pane-sketch button, #pane-sketch input")]
                .filter((one) => one.offsetParent).map((one) => one.getBoundingClientRect())
                .map(({ left, right }) => [left, right])"""
            )
            assert min(left for left, _ in boxes) >= 0
            assert max(right for _, right in boxes) <= width
        assert person.page.evaluate("document.documentElement.scrollWidth") <= width
