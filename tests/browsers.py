"""A real browser for the studio's page, where there is one."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from studio_desk import served

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE_MS = 120_000  # of a machine that has much else to do
HEARS = """document.addEventListener("readystatechange", () => {
  const said = document.querySelector("#said");
  if (!said || window.saidAll) return;
  window.saidAll = [];
  new MutationObserver(() => window.saidAll.push(said.textContent))
    .observe(said, { childList: true, characterData: true, subtree: true });
});"""  # what the page says is gone after a while, see studio_desk.heard
MISSING = [
    what
    for what, is_there in (
        (f"no {CHROMIUM}: apt install chromium", CHROMIUM.exists()),
        ("no playwright: pip install playwright", find_spec("playwright") is not None),
    )
    if not is_there
]


@pytest.fixture(scope="session")
def chromium():
    """A browser, started once."""
    if MISSING:
        pytest.skip("; ".join(MISSING))
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def tab_of(chromium):
    """Opens a page at an address; what goes wrong in it fails the test."""
    made, wrong = [], []

    def go(address, width=1100, height=720):
        # still: colours that are on their way to others have contrasts of their own
        size = {"width": width, "height": height}
        page = chromium.new_page(viewport=size, reduced_motion="reduce")
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(HEARS)
        made.append(page)
        own = (address.partition("?")[0], "blob:", "data:")

        def outside(url):
            if not url.startswith(own):
                wrong.append(f"asked elsewhere: {url}")

        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: outside(asked.url))
        # from the start: a chooser that a key opens is lost where waiting for it begins just before
        page.on("filechooser", lambda chooser: None)
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        return page

    go.wrong = wrong
    yield go
    for page in made:
        page.close()
    assert not wrong, wrong


@pytest.fixture
def serve():
    """Serves studios until the test is over."""
    made = []

    def begin(studio, **place):
        one = served(studio, **place)
        made.append(one)
        return one

    yield begin
    for one, thread in made:
        one.stop()
        thread.join(60)
        assert not thread.is_alive()
