"""The page in a real browser: pictures, tabs, keys, jobs, undo, what is there after a reload."""

import pytest
from studio_desk import opened, picture, printed_tab, until


@pytest.fixture
def page(tmp_path, serve, tab_of):
    studio = opened(tmp_path / "desk", {"blur": printed_tab(tmp_path)})
    one, _ = serve(studio)
    return tab_of(one.address)


def put(page, name="me.png", content=None):
    """Choose a file, as a person does."""
    with page.expect_file_chooser() as chooser:
        page.click("#choose")
    file = {"name": name, "mimeType": "image/png", "buffer": content or picture()}
    chooser.value.set_files(files=[file])
    page.wait_for_selector("#panes:not([hidden])")


def test_a_picture_is_chosen_and_the_tab_shows_it(page):
    assert page.locator("#welcome").is_visible()
    put(page)
    until(lambda: page.locator("#blur-size").inner_text() == "3072 pixels")
    assert page.locator("#said").inner_text() == "me.png: 64 \u00d7 48 px"
    box = page.locator(".view").bounding_box()
    x, y = box["width"] // 2, box["height"] // 2
    context = "document.querySelector('.view canvas').getContext('2d')"
    middle = f"[...{context}.getImageData({x}, {y}, 1, 1).data]"
    until(lambda: page.evaluate(middle)[:3] == [128, 128, 0])


def test_what_is_no_picture_is_told(page, tab_of):
    with page.expect_file_chooser() as chooser:
        page.click("#choose")
    chooser.value.set_files(files=[{"name": "a.png", "mimeType": "image/png", "buffer": b"none"}])
    page.wait_for_selector("#said.wrong")
    assert "picture must be a picture in a known format, but 'a.png' is none" in (
        page.locator("#said").inner_text().lower()
    )
    tab_of.wrong.clear()  # the browser's own line about the 422


def test_a_change_is_undone_done_again_and_there_after_a_reload(page):
    put(page)
    page.wait_for_selector("#blur-size:not(:empty)")
    page.locator("input[type=range]").fill("5")
    page.keyboard.press("Control+z")
    assert page.locator("output").first.inner_text() == "1"
    page.keyboard.press("Control+Shift+Z")
    assert page.locator("output").first.inner_text() == "5"
    with page.expect_response("**/tab-state/blur"):
        pass
    page.reload()
    page.wait_for_selector("#blur-size:not(:empty)")
    assert page.locator("output").first.inner_text() == "5"


def test_a_job_runs_by_a_key_and_says_so(page):
    put(page)
    page.wait_for_selector("#blur-size:not(:empty)")
    page.keyboard.press("b")
    until(lambda: page.locator("#said").inner_text() == "Blur: blur is done")
    assert page.locator("#job").is_hidden()


def test_the_keyboard_clicks_on_the_picture(page):
    put(page)
    page.wait_for_selector("#blur-size:not(:empty)")
    page.locator(".view").focus()
    with page.expect_request("**/act/blur/size"):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowDown")
        page.keyboard.press("Enter")
    assert page.locator(".view [role=status]").inner_text() == "x 33, y 34"


def test_help_lists_the_keys_of_the_tab_and_letters_can_be_turned_off(page):
    put(page)
    page.wait_for_selector("#blur-size:not(:empty)")
    page.keyboard.press("?")
    assert "blur" in page.locator("#help-body dl").first.inner_text()
    page.get_by_label("Single letters are keys").uncheck()
    page.get_by_role("button", name="Close").click()
    before = page.evaluate("document.documentElement.dataset.theme")
    page.keyboard.press("d")
    assert page.evaluate("document.documentElement.dataset.theme") == before


def test_the_theme_is_remembered(page):
    page.keyboard.press("d")
    chosen = page.evaluate("document.documentElement.dataset.theme")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == chosen == "dark"
