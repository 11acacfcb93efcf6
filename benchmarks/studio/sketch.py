"""The tab Sketch in a real session: its picture for the documents, and what a person waits for.

python -m benchmarks.studio.sketch docs/pictures/studio_sketch.jpg    # needs chromium, playwright

Serves a studio with the embedded model in a folder of its own, puts a bundled face on the desk,
draws it in a bundled style and moves the lens over it. Seconds of the wall stand beside those in
which the server's processor worked, as in ``preview.py``.
"""

import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from statistics import quantiles

import psutil
from PIL import Image
from playwright.sync_api import Browser, Page

import featurekit as fk
from benchmarks.studio.session import in_browser, where_to
from featurekit.core.atomic import replacing

SKETCH = "document.querySelector('#pane-sketch').sketch"
SIZE = {"width": 1100, "height": 720}  # px of the page
FACE, FACE_PX, STYLE = 11, 1024, "brush"
QUALITY = 88  # of the JPEG
SAID = {"by its student": "by its student.", "by the style itself": f"{STYLE.capitalize()}."}
PLACES = 40  # that the lens is moved to


def main(words: Sequence[str] | None = None) -> None:
    """Draw, move the lens, and take the page's picture.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    to = where_to(__doc__, words)
    with in_browser() as (browser, address, server):
        page = opened(browser, address)
        pick = page.locator(f"[data-style={STYLE}]")
        sketched(page, server, "by its student", pick.click)
        lens(page)
        sketched(page, server, "by the style itself", page.locator("#sketch-fast").uncheck)
        pick.focus()
        page.keyboard.press("3")
        page.mouse.move(1, 1)
        page.wait_for_timeout(9000)  # the line below is said no more
        taken(page, to)
    print(f"{to}: {to.stat().st_size / 1000:.0f} kB")


def opened(browser: Browser, address: str) -> Page:
    """The tab, with a face on the desk."""
    page = browser.new_page(viewport=SIZE)
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    page.wait_for_selector("[role=tab]:has-text('Sketch')", timeout=120_000)
    put(page, "#choose", "face.png", fk.scenes.scene(FACE, "face").image(FACE_PX))
    page.get_by_role("tab", name="Sketch").click()
    page.wait_for_selector(".sketch-style", timeout=120_000)
    return page


def put(page: Page, button: str, name: str, image: Image.Image) -> None:
    """Choose a picture for the desk, as a person does."""
    file = BytesIO()
    image.save(file, "PNG")
    with page.expect_file_chooser() as chooser:
        page.click(button)
    chosen = {"name": name, "mimeType": "image/png", "buffer": file.getvalue()}
    chooser.value.set_files(files=[chosen])
    page.wait_for_selector("#panes:not([hidden])")


def sketched(page: Page, server: psutil.Process, by: str, asks: Callable[[], None]) -> None:
    """Ask for a sketch and wait until it is seen."""
    began, worked = time.perf_counter(), sum(server.cpu_times()[:2])
    asks()
    until(page, f"document.querySelector('#sketch-state').textContent.includes('{SAID[by]}')")
    spent, work = time.perf_counter() - began, sum(server.cpu_times()[:2]) - worked
    print(f"{FACE_PX} px in {STYLE} {by}: {spent:.2f} s, in which the server worked {work:.2f} s")


def lens(page: Page) -> None:
    """Move the lens over the face; each place waits for its window."""
    page.keyboard.press("2")
    until(page, "sketch.stage.window")
    box = page.locator("#pane-sketch .view").bounding_box() or {}
    taken_ms = []
    for number in range(PLACES):
        page.evaluate(f"{SKETCH}.stage.window = null")
        began = time.perf_counter()
        share = 0.35 + 0.3 * number / PLACES
        page.mouse.move(box["x"] + share * box["width"], box["y"] + 0.45 * box["height"])
        until(page, "sketch.stage.window")
        taken_ms.append(1000 * (time.perf_counter() - began))
    cuts = quantiles(taken_ms, n=20)
    said = page.locator(".sketch-speed").inner_text()
    print(f"lens: {cuts[9]:.0f} ms median, 95% below {cuts[18]:.0f} ms; the last by the {said}")


def taken(page: Page, to: Path) -> None:
    """Write what the page shows."""
    with Image.open(BytesIO(page.screenshot())) as shot, replacing(to) as temporary:
        shot.convert("RGB").save(temporary, "JPEG", quality=QUALITY)


def until(page: Page, what: str, patience_s: float = 300.0) -> None:
    """Wait until something holds in the page, whose policy forbids the usual way."""
    ends = time.monotonic() + patience_s
    while not page.evaluate(f"(() => {{ const sketch = {SKETCH}; return Boolean({what}); }})()"):
        if time.monotonic() > ends:
            raise TimeoutError(what)
        page.wait_for_timeout(10)


if __name__ == "__main__":
    main()
