"""The tab Look in a real browser, and the page for everybody: axe, three widths, both themes."""

import pytest
from studio_desk import NEEDS_AXE, Bench, opened, saved, serious, until

import featurekit as fk
from featurekit.web.look.tab import look_tab
from featurekit.web.workbench import Workbench

WIDTHS = (360, 1100, 2400)


class Embedded(Bench):
    """The embedded model."""

    def load_backbone(self, name):
        return fk.load_backbone("embedded")

    def sharing(self, backbone):
        return Workbench().sharing(backbone)


@pytest.fixture(scope="module")
def address(chromium, tmp_path_factory):
    """A studio of two pictures, shared by the tests here."""
    from studio_desk import served

    folder = tmp_path_factory.mktemp("look")
    studio = opened(folder / "desk", {"look": look_tab}, bench=Embedded, backbone="embedded")
    for seed in (8, 3):
        file = folder / f"face{seed}.png"
        fk.scenes.scene(seed, "face").image(512).save(file)
        studio.put_file(file)
    one, thread = served(studio)
    yield one.address
    one.stop()
    thread.join(60)


@pytest.fixture
def page(address, tab_of):
    made = tab_of(address)
    made.wait_for_selector("text=Timestep")
    return made


def pixels(page, which=0):
    """Numbers of what a view shows, to be compared."""
    return page.evaluate(
        f"""(() => {{ const canvas = document.querySelectorAll(".view canvas")[{which}];
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        let sum = 0; for (let i = 0; i < data.length; i += 97) sum = (sum * 31 + data[i]) % 1e9;
        return sum; }})()"""
    )


def click(page, x, y):
    box = page.locator(".view").first.bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def copied(page):
    """What is copied as Python now; nothing before there is anything to see."""
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    return page.locator("#python-text").inner_text()


def test_a_click_shows_where_else_the_features_are_and_the_best_match(page):
    page.get_by_role("button", name="Second picture: face8.png").click()
    page.wait_for_selector(".stage.two")
    until(lambda: page.locator(".view").nth(1).is_visible())
    before = pixels(page), pixels(page, 1)
    click(page, 0.56, 0.52)
    page.wait_for_selector("#look-found:not([hidden])")
    assert "Best match at" in page.locator("#look-found").inner_text()
    until(lambda: pixels(page) != before[0] and pixels(page, 1) != before[1])
    x = page.locator(".points input").first
    assert 200 < float(x.input_value()) < 350
    first = page.locator("#look-found").inner_text()
    x.fill("150")
    x.press("Tab")
    until(lambda: page.locator("#look-found").inner_text() != first)
    page.keyboard.press("Escape")
    page.locator(".view").first.focus()
    page.keyboard.press("Control+z")
    until(lambda: page.locator("#look-found").inner_text() == first)


def test_it_works_by_the_keyboard_alone_and_is_there_after_a_reload(page):
    page.locator(".view").first.focus()
    for _ in range(6):
        page.keyboard.press("Shift+ArrowLeft")
    with page.expect_response("**/act/look/match"):
        page.keyboard.press("Enter")
    until(lambda: page.locator(".points input").first.input_value() == "196")
    until(lambda: ((saved(page, "look") or {}).get("point") or {}).get("x") == 196)
    with page.expect_response("**/act/look/match"):
        page.reload()
    until(lambda: page.locator(".points input").first.input_value() == "196")


def test_colours_and_words_are_shown_and_copied_as_python(page):
    page.locator(".view").first.focus()
    with page.expect_response("**/act/look/colours"):
        page.keyboard.press("3")
    with page.expect_response("**/act/look/colours"):
        page.get_by_label("Tap").select_option("up1")
    page.locator(".view").first.focus()
    until(lambda: 'taps="up1"' in copied(page))
    assert ".to_pil()" in page.locator("#python-text").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("4")
    page.get_by_label("What the picture shows").fill("a sad face")
    page.get_by_label("What the picture shows").press("Enter")
    with page.expect_response("**/act/look/words"):
        page.get_by_role("button", name="face", exact=True).click()
    page.locator(".view").first.focus()
    until(lambda: 'token_indices("a sad face", "face")' in copied(page))
    page.keyboard.press("Escape")
    page.keyboard.press("1")


@NEEDS_AXE
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("mode", ["1", "3", "4"])
def test_axe_finds_nothing_serious(page, theme, mode):
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    page.locator(".view").first.focus()
    page.keyboard.press(mode)
    if mode == "1":
        page.keyboard.press("Enter")
        page.wait_for_selector(".points input")
        page.get_by_role("button", name="Second picture: face8.png").click()
        page.wait_for_selector("#look-found:not([hidden])")
    if mode == "4":
        page.get_by_label("What the picture shows").fill("a sad face")
        page.get_by_label("What the picture shows").press("Enter")
    page.locator(".view").first.focus()
    page.wait_for_timeout(300)
    assert not serious(page)
    page.keyboard.press("?")
    assert not serious(page)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_its_width(address, tab_of, width):
    page = tab_of(address, width=width, height=720 if width < 2000 else 1300)
    page.wait_for_selector("text=Timestep")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("Open a picture", "Copy as Python", "Light or dark", "Keyboard help"):
        box = page.locator(f"[title^='{name}']").first.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    assert page.locator(".view").first.bounding_box()["height"] > 150
