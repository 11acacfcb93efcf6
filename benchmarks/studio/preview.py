"""How the tab Drag keeps up with a pointer, and what a person waits for beside it.

python -m benchmarks.studio.preview                      # needs chromium and playwright
python -m benchmarks.studio.preview --moves 600 --edits 200

Serves a studio with the embedded model in a folder of its own and drives its page. A frame is the
time in which the page lays the layers and draws them over the picture, with WebGL where the browser
has it and without. Seconds of the wall stand beside those in which the server's processor worked,
which are what they would be on a machine that does nothing else.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

import featurekit as fk
from benchmarks.records.recording import recorded, recorded_to, typed
from benchmarks.studio.session import CHROMIUM, FLAGS, begun

DRAG = "document.querySelector('#pane-drag').drag"
PHOTO_PX = 1024
COLUMNS = (
    "what",
    {"title": "ms by the wall, of frames the median", "format": ",.1f"},
    {"title": "95 % below", "format": ",.1f"},
    {"title": "CPU s of the server", "format": ".2f"},
    {"title": "the server holds then, MiB", "format": ".0f"},
)


def main(words: Sequence[str] | None = None) -> None:
    """Time frames, previews and edits.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=300)
    parser.add_argument("--edits", type=int, default=1)
    recorded_to(parser)
    asked = parser.parse_args(words)
    before, rows, samples = os.getloadavg()[0], [], {}
    with (
        TemporaryDirectory() as name,
        sync_playwright() as driver,
        begun(Path(name)) as (address, server),
    ):
        for flags in ([], ["--disable-3d-apis"]):
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS + flags)
            row, taken_ms = frames(browser, address, asked.moves)
            row[0] = f"{row[0]}, {'WebGL forbidden' if flags else 'as the browser has it'}"
            print(*row, flush=True)
            rows.append(row)
            samples[f"{row[0]}, ms"] = taken_ms
            if not flags:
                more, samples["server after each edit, MiB"] = waits(
                    browser, address, server, asked.edits
                )
                rows += more
            browser.close()
    settings = {"moves": asked.moves, "edits": asked.edits, "photo_px": PHOTO_PX,
                "load_before": round(before, 1)}  # fmt: skip
    command = typed("studio.preview", words)
    recorded(asked.record, command, COLUMNS, rows, settings=settings, samples=samples)


def opened(browser: Browser, address: str) -> Page:
    """The tab, with the bundled scene and its drag."""
    page = browser.new_page(viewport={"width": 1100, "height": 760})
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    page.wait_for_selector("[role=tab]:has-text('Drag')", timeout=120_000)
    if page.locator("#example").is_visible():
        page.click("#example")
    page.get_by_role("tab", name="Drag").click()
    page.wait_for_selector("#pane-drag .drag-tools")
    until(page, "drag.told")
    page.evaluate(f"{DRAG}.example()")
    shown = "(drag.images.result || !drag.told.edit)"  # before that it would come over the plan
    until(page, f"drag.picture.name === 'dog.png' && drag.told && {shown}")
    page.evaluate(f"{DRAG}.look('plan')")
    until(page, "drag.preview.exact")
    return page


def until(page: Page, what: str, patience_s: float = 300.0) -> None:
    """Wait until something holds in the page, whose policy forbids the usual way."""
    ends = time.monotonic() + patience_s
    while not page.evaluate(f"(() => {{ const drag = {DRAG}; return Boolean({what}); }})()"):
        if time.monotonic() > ends:
            raise TimeoutError(what)
        page.wait_for_timeout(20)


def frames(browser: Browser, address: str, moves: int) -> tuple[list[object], list[float]]:
    """Move the target to and fro, and say how long the page took for each frame."""
    page = opened(browser, address)
    page.evaluate(f"{DRAG}.preview.frames.length = 0")
    x, y = at(page, "drag.doc.drags[0].u", "drag.doc.drags[0].v")
    page.mouse.move(x, y)
    page.mouse.down()
    for number in range(moves):
        page.mouse.move(x + 3 * (number % 40 - 20), y - number % 17)
        time.sleep(0.016)
    page.mouse.up()
    found = page.evaluate(f"[{DRAG}.preview.renderer.name, {DRAG}.preview.frames]")
    cuts = quantiles(found[1], n=20)
    name = f"a frame of the preview by {found[0]}, of {len(found[1])}"
    row: list[object] = [name, cuts[9], cuts[18], None, None]
    page.close()
    return row, found[1]


def at(page: Page, x: str, y: str) -> tuple[float, float]:
    """A place of the picture on the screen."""
    place = page.evaluate(
        f"(() => {{ const drag = {DRAG}; return drag.view.toScreen({x}, {y}); }})()"
    )
    box = page.locator("#pane-drag .view").bounding_box() or {"x": 0, "y": 0}
    return place[0] + box["x"], place[1] + box["y"]


def waits(
    browser: Browser, address: str, server: psutil.Process, edits: int
) -> tuple[list[list[object]], list[float]]:
    """Time what a person waits for: an edit of the scene, the first preview of a photograph."""
    page = opened(browser, address)
    rows: list[list[object]] = []

    def timed(name: str, what: Callable[[], Any]) -> None:
        began, worked = time.perf_counter(), sum(server.cpu_times()[:2])
        what()
        spent, work = time.perf_counter() - began, sum(server.cpu_times()[:2]) - worked
        rows.append([name, 1000 * spent, None, work, server.memory_info().rss / 2**20])
        print(*rows[-1], flush=True)

    def edit() -> None:
        before = page.evaluate(f"{DRAG}.told.now")
        page.click("#drag-apply")
        until(page, f"drag.told.now !== {before} && !drag.job && drag.images.result")

    timed("apply on the bundled scene, until its result is seen", edit)
    sizes = [server.memory_info().rss / 2**20]
    for _ in range(edits - 1):
        page.evaluate(f"{DRAG}.look('plan')")
        edit()
        sizes.append(server.memory_info().rss / 2**20)
    if edits > 1:
        rows.append([f"after {edits} edits", None, None, None, sizes[-1]])
    file = BytesIO()
    photograph().save(file, "JPEG", quality=92)
    name, content = "photo.jpg", file.getvalue()

    def put() -> None:
        with page.expect_file_chooser() as chooser:
            page.click("#open")
        chosen = {"name": name, "mimeType": "image/jpeg", "buffer": content}
        chooser.value.set_files(files=[chosen])
        until(page, f"drag.picture.name === 'photo.jpg' && drag.view.width === {PHOTO_PX}")
        page.mouse.move(*at(page, "0.5 * drag.view.width", "0.5 * drag.view.height"))
        page.mouse.down()
        page.mouse.move(*at(page, "0.55 * drag.view.width", "0.5 * drag.view.height"))
        page.mouse.move(*at(page, "0.6 * drag.view.width", "0.5 * drag.view.height"))
        until(page, "drag.preview.isShown")

    timed(f"a picture of {PHOTO_PX} px put on the desk and pulled, until its preview is seen", put)
    page.mouse.up()
    page.close()
    return rows, sizes


def photograph() -> Any:  # noqa: ANN401 - a Pillow image
    """A picture of the size of a photograph."""
    return fk.scenes.scene(5, "animal").image(PHOTO_PX)


if __name__ == "__main__":
    main()
