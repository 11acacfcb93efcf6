"""How soon the studio is there, how soon Look shows something, and what its server holds.

python -m benchmarks.studio.opening                      # needs chromium and playwright
python -m benchmarks.studio.opening --acts 1000

Starts the command in a folder of its own and drives its page as a person would. Seconds count from
the command; the model is loaded in the background meanwhile. Memory is the resident set of the
server after the first acts and after all of them.
"""

import argparse
import json
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

import featurekit as fk
from benchmarks.records.recording import recorded, recorded_to, typed
from benchmarks.studio.session import CHROMIUM, FLAGS, begin

EARLY = 20  # acts after which the server is weighed first
COLUMNS = (
    "what",
    {"title": "s by the wall", "format": ".2f"},
    {"title": "CPU s of the server", "format": ".2f"},
    {"title": "the server holds then, MiB", "format": ".0f"},
)


def main(words: Sequence[str] | None = None) -> None:
    """Start, drive and weigh a studio.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--acts", type=int, default=200)
    recorded_to(parser)
    asked = parser.parse_args(words)
    with TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        began = time.perf_counter()
        server = begin(folder)
        try:
            rows, samples = drive(browser, server, began, asked.acts)
        finally:
            server.terminate()
            server.wait()
            browser.close()
    settings = {"acts": asked.acts, "picture_px": 1024, "backbone": "embedded"}
    command = typed("studio.opening", words)
    recorded(asked.record, command, COLUMNS, rows, settings=settings, samples=samples)


def drive(
    browser: Browser, server: "subprocess.Popen[str]", began: float, acts: int
) -> tuple[list[list[object]], dict[str, list[float]]]:
    """Time what a person waits for, then ask many times and weigh the server."""
    process = psutil.Process(server.pid)
    rows: list[list[object]] = []

    def seen(what: str, start: float = began, worked: float = 0.0) -> None:
        passed, spent = time.perf_counter() - start, worked_s(process) - worked
        rows.append([what, passed, spent, process.memory_info().rss / 2**20])
        print(*rows[-1], flush=True)

    address = (server.stdout.readline() if server.stdout else "").strip()
    seen("the address is printed, from the command on")
    page = browser.new_page(viewport={"width": 1100, "height": 720})
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    seen("the page is ready, from the command on")
    page.wait_for_selector("[role=tab]:has-text('Look')", timeout=120_000)
    seen("the tabs are there, from the command on")
    put(page)
    page.wait_for_selector("text=Timestep", timeout=120_000)
    seen("the model and Look are ready, from the command on")
    start, worked = time.perf_counter(), worked_s(process)
    box = page.locator(".view:visible").first.bounding_box() or {}
    with page.expect_response("**/act/look/match"):
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector(".field .number >> nth=0")
    seen("the first heat map, from the click on", start, worked)
    more, samples = weigh(address, process, acts)
    return rows + more, samples


def worked_s(process: psutil.Process) -> float:
    """Seconds that its processor has worked."""
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def put(page: Page) -> None:
    """Choose a picture, and the tab."""
    with page.expect_file_chooser() as chooser:
        page.click("#choose")
    file = BytesIO()
    fk.scenes.scene(3, "face").image(1024).save(file, "PNG")
    chooser.value.set_files(
        files=[{"name": "me.png", "mimeType": "image/png", "buffer": file.getvalue()}]
    )
    page.wait_for_selector("#panes:not([hidden])")
    page.get_by_role("tab", name="Look").click()


def weigh(
    address: str, process: psutil.Process, acts: int
) -> tuple[list[list[object]], dict[str, list[float]]]:
    """Ask for matches at many timesteps, as many as fill the memory of readings many times over."""
    passed, spent, sizes = [], [], []
    for number in range(acts):
        asked = {"x": number % 900, "y": 500, "tap": "up2", "side": 64, "timestep": number % 999}
        request = urllib.request.Request(
            f"{address}act/look/match", json.dumps(asked).encode(),
            {"content-type": "application/json"},
        )  # fmt: skip
        start, worked = time.perf_counter(), worked_s(process)
        with urllib.request.urlopen(request) as answer:
            answer.read()
        passed.append(time.perf_counter() - start)
        spent.append(worked_s(process) - worked)
        sizes.append(process.memory_info().rss / 2**20)
    early = min(EARLY, acts)
    rows: list[list[object]] = [
        [f"a match at a new timestep, median of the first {early}",
         median(passed[:early]), median(spent[:early]), sizes[early - 1]],
        [f"the same of all {acts}", median(passed), median(spent), sizes[-1]],
    ]  # fmt: skip
    return rows, {"s of a match by the wall": passed, "CPU s": spent, "MiB after it": sizes}


if __name__ == "__main__":
    main()
