"""A studio with the embedded model, in a folder of its own, and a browser that shows its page.

No command: the scripts beside it drive the page. They need chromium and playwright.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def begin(folder: Path) -> "subprocess.Popen[str]":
    """The command, with a folder of its own; its first line is the address of the page."""
    words = ["studio", "browser=false", "port=0", f"folder={folder / 'studio'}"]
    return subprocess.Popen(
        [sys.executable, "-m", "featurekit", *words], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


@contextmanager
def begun(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Its address and its process, for as long as the block lasts."""
    server = begin(folder)
    try:
        yield (
            (server.stdout.readline() if server.stdout else "").strip(),
            psutil.Process(server.pid),
        )
    finally:
        server.terminate()
        server.wait()


@contextmanager
def in_browser() -> Iterator[tuple[Browser, str, psutil.Process]]:
    """A browser, the address of a studio that has just begun, and its server."""
    with (
        TemporaryDirectory() as name,
        sync_playwright() as driver,
        begun(Path(name)) as (address, server),
    ):
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser, address, server
        browser.close()


def where_to(says: str, words: Sequence[str] | None) -> Path:
    """Where a script's picture goes, its only word."""
    parser = argparse.ArgumentParser(description=says.splitlines()[0])
    parser.add_argument("to", type=Path)
    to: Path = parser.parse_args(words).to
    return to
