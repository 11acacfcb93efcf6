"""How soon the studio is there, how soon Look shows something, and what its server holds.

python benchmarks/studio.py                      # needs chromium and playwright
python benchmarks/studio.py --acts 1000

Starts the command in a folder of its own and drives its page as a person would. Seconds count from
the command; the model is loaded in the background meanwhile. Memory is the resident set of the
server after the first acts and after all of them.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

import featurekit as fk

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def main(words: Sequence[str] | None = None) -> None:
    """Start, drive and weigh a studio.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--acts", type=int, default=200)
    asked = parser.parse_args(words)
    with TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        began = time.perf_counter()
        server = begin(folder)
        try:
            drive(browser, server, began, asked.acts)
        finally:
            server.terminate()
            server.wait()
            browser.close()


def begin(folder: Path) -> "subprocess.Popen[str]":
    """The command, with a folder of its own."""
    words = ["studio", "browser=false", "port=0", f"folder={folder / 'studio'}"]
    return subprocess.Popen(
        [sys.executable, "-m", "featurekit", *words], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(os.environ),
    )  # fmt: skip


def drive(browser: Browser, server: "subprocess.Popen[str]", began: float, acts: int) -> None:
    """Time what a person waits for, then ask many times and weigh the server."""
    process = psutil.Process(server.pid)

    def since() -> str:
        spent = process.cpu_times()
        worked = spent.user + spent.system
        return f"{time.perf_counter() - began:6.2f} s, in which the server worked {worked:5.2f} s"

    address = (server.stdout.readline() if server.stdout else "").strip()
    print(f"address            {since()}")
    page = browser.new_page(viewport={"width": 1100, "height": 720})
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    print(f"page ready         {since()}")
    page.wait_for_selector("[role=tab]:has-text('Look')", timeout=120_000)
    print(f"tabs               {since()}")
    put(page)
    page.wait_for_selector("text=Timestep", timeout=120_000)
    print(f"model, Look ready  {since()}")
    start = time.perf_counter()
    box = page.locator(".view:visible").first.bounding_box() or {}
    with page.expect_response("**/act/look/match"):
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector(".field .number >> nth=0")
    print(f"first heat map     {time.perf_counter() - start:6.2f} s after the click")
    weigh(address, server.pid, acts)


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


def weigh(address: str, pid: int, acts: int) -> None:
    """Ask for matches at many timesteps, as many as fill the memory of readings many times over."""
    process, sizes, spent = psutil.Process(pid), [], []
    for number in range(acts):
        asked = {"x": number % 900, "y": 500, "tap": "up2", "side": 64, "timestep": number % 999}
        request = urllib.request.Request(
            f"{address}act/look/match", json.dumps(asked).encode(),
            {"content-type": "application/json"},
        )  # fmt: skip
        start = time.perf_counter()
        with urllib.request.urlopen(request) as answer:
            answer.read()
        spent.append(time.perf_counter() - start)
        sizes.append(process.memory_info().rss / 2**20)
    early = sizes[min(20, acts - 1)]
    print(f"server after 20 acts {early:.0f} MiB, after {acts} {sizes[-1]:.0f} MiB")
    print(f"a match at a new timestep {sorted(spent)[acts // 2] * 1000:.0f} ms, median")


if __name__ == "__main__":
    main()
