"""The page in a real browser: pictures, tabs, keys, jobs, undo, what is there after a reload."""

import threading
from dataclasses import replace

import pytest
from studio_desk import (
    NEEDS_AXE,
    heard,
    opened,
    picture,
    printed_tab,
    saved,
    serious,
    served,
    until,
)


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


@NEEDS_AXE
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_shell(page, theme):
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    assert not serious(page)  # the welcome
    put(page)
    page.wait_for_selector("#blur-size:not(:empty)")
    assert not serious(page)


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
    until(lambda: saved(page, "blur") == {"times": 5})
    page.reload()
    page.wait_for_selector("#blur-size:not(:empty)")
    assert page.locator("output").first.inner_text() == "5"


def test_a_job_runs_by_a_key_and_says_so(page):
    put(page)
    page.wait_for_selector("#blur-size:not(:empty)")
    page.keyboard.press("b")
    until(lambda: "Blur: blur is done" in heard(page))
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


def slow_tab(tmp_path, let):
    """The printed tab with a job that waits."""

    def wait(asked, work):
        with work.stage("waiting") as progress:
            while not let.wait(0.01):
                progress(1, 4)
        return {}

    make = printed_tab(tmp_path)
    return lambda desk: replace(make(desk), jobs={"blur": wait})


def test_work_waits_in_a_queue_that_says_so_and_stops(tmp_path, serve, tab_of):
    let = threading.Event()
    one, _ = serve(opened(tmp_path / "desk", {"blur": slow_tab(tmp_path, let)}))
    page = tab_of(one.address)
    put(page)
    page.wait_for_selector("#blur-size:not(:empty)")
    page.click("#blur-go")
    page.wait_for_selector("#job:not([hidden])")
    until(lambda: page.locator("#job").inner_text().split("\n")[0] == "waiting")
    page.click("#blur-go")
    until(lambda: page.locator("#queue").inner_text() == "1 waiting")
    page.reload()
    until(lambda: page.locator("#queue").inner_text() == "1 waiting")
    page.click("#blur-go")
    until(lambda: page.locator("#queue").inner_text() == "2 waiting")
    page.get_by_role("button", name="Do not begin Blur: blur").nth(1).click()
    until(lambda: page.locator("#queue").inner_text() == "1 waiting")
    assert page.locator("#waiting button").count() == 1
    page.click("#stop")
    until(lambda: page.locator("#queue").inner_text() == "")
    assert page.locator("#waiting").inner_text() == ""
    let.set()
    until(lambda: "Blur: blur is done" in heard(page))


def test_a_picture_is_dropped(page):
    page.evaluate(
        """async (bytes) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", {type: "image/png"}));
          for (const kind of ["dragenter", "dragover"])
            document.body.dispatchEvent(new DragEvent(kind,
              {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }""",
        list(picture()),
    )
    assert page.locator("#drop").is_visible()
    page.evaluate(
        """async (bytes) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", {type: "image/png"}));
          document.body.dispatchEvent(new DragEvent("drop",
            {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }""",
        list(picture()),
    )
    page.wait_for_selector("#panes:not([hidden])")
    assert page.locator("#drop").is_hidden()
    until(lambda: any("dropped.png" in one for one in heard(page)))


def test_tabs_are_chosen_by_arrows_and_remembered(tmp_path, serve, tab_of):
    make = printed_tab(tmp_path)
    tabs = {"blur": make, "more": lambda desk: replace(make(desk), name="more", title="More")}
    one, _ = serve(opened(tmp_path / "desk", tabs))
    page = tab_of(one.address)
    put(page)
    page.get_by_role("tab", name="Blur").focus()
    page.keyboard.press("ArrowRight")
    chosen = page.get_by_role("tab", selected=True)
    assert chosen.inner_text() == "More"
    assert page.locator("#pane-more").is_visible()
    page.reload()
    until(lambda: chosen.count() == 1 and chosen.inner_text() == "More")


def test_the_page_says_when_the_studio_ends_and_goes_on_when_it_is_back(tmp_path, serve, tab_of):
    folder, make = tmp_path / "desk", printed_tab(tmp_path)
    first, thread = served(opened(folder, {"blur": make}))
    page = tab_of(first.address)
    put(page)
    page.wait_for_selector("#blur-size:not(:empty)")
    first.stop()
    thread.join(60)
    until(lambda: "does not answer" in page.locator("#said").inner_text())
    port = int(first.address.rstrip("/").rpartition(":")[2])
    serve(opened(folder, {"blur": make}), port=port)
    until(lambda: "The studio is back" in heard(page))
    page.click("#blur-go")
    until(lambda: "Blur: blur is done" in heard(page))
    tab_of.wrong.clear()  # the browser's own lines about the server that was away


def test_what_happens_while_the_state_is_asked_for_anew_is_not_undone_by_it(
    tmp_path, serve, tab_of
):
    folder, make = tmp_path / "desk", printed_tab(tmp_path)
    first, thread = served(opened(folder, {"blur": make}))
    page = tab_of(first.address)
    put(page)
    asked = []
    page.route("**/state", lambda route: asked.append((route, route.fetch())))
    first.stop()
    thread.join(60)
    studio = opened(folder, {"blur": make})
    serve(studio, port=int(first.address.rstrip("/").rpartition(":")[2]))
    until(lambda: page.evaluate("1") and asked)
    newer = studio.put_picture(picture(32, 32), "newer.png", select=True)
    page.wait_for_timeout(500)  # for the event, which comes before the answer
    ((route, answer),) = asked
    route.fulfill(response=answer)
    current = "import('/shell/shell.js').then((m) => m.shell.current)"
    until(lambda: page.evaluate(current) == newer.id)
    page.wait_for_timeout(200)  # for an older state, which would come now
    assert page.evaluate(current) == newer.id
    tab_of.wrong.clear()  # the browser's own lines about the server that was away


def test_a_view_zooms_about_the_pointer_pans_and_fits(page):
    put(page)
    page.wait_for_selector("#blur-size:not(:empty)")
    zoom = page.locator(".view-tools .zoom")
    fitted = zoom.inner_text()
    box = page.locator(".view").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.wheel(0, -400)
    until(lambda: zoom.inner_text() != fitted)
    page.locator(".view").focus()
    page.keyboard.press("0")
    assert zoom.inner_text() == fitted
    page.get_by_role("button", name="Zoom in").click()
    assert zoom.inner_text() != fitted
    with page.expect_request("**/act/blur/size"):
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
