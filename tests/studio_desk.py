"""A studio for tests: the tab that the documents print, a model in closed form, a client."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import pytest
from documents import ROOT, blocks
from PIL import Image
from starlette.testclient import TestClient

from featurekit.web.http.guard import Guard
from featurekit.web.http.routes import application
from featurekit.web.http.server import Served, guarded
from featurekit.web.opening import Place
from featurekit.web.studio import Studio

NEEDS_AXE = pytest.mark.skipif(
    find_spec("axe_playwright_python") is None,
    reason="no axe: pip install axe-playwright-python",
)
HOST = "http://127.0.0.1:7870"


class Bench:
    """What stands on torch, without it."""

    def load_backbone(self, name):
        return {"model": name}

    def sharing(self, backbone):
        return dict(backbone)

    def shown(self, image):
        return image

    def example(self):
        return Image.new("RGB", (64, 48), "teal")


def printed_tab(folder: Path):
    """Make a package of the blocks that docs/adding-a-plugin.md prints of a tab."""
    page = blocks(ROOT / "docs" / "adding-a-plugin.md")
    code = [one.text for one in page if one.language == "python"][-1]
    (script,) = [one.text for one in page if one.language == "js"]
    name = f"printed_{folder.name.replace('-', '_')}"
    package = folder / "site" / name
    (package / "page").mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "studio.py").write_text(code.replace('files("fk_blur")', f'files("{name}")'))
    (package / "page" / "tab.js").write_text(script)
    sys.path.insert(0, str(folder / "site"))
    try:
        return import_module(f"{name}.studio").make_tab
    finally:
        sys.path.remove(str(folder / "site"))


def opened(folder: Path, tabs, *, bench=Bench, backbone="random") -> Studio:
    """A studio with these tabs by name, all of them there."""
    made = Studio(folder, backbone, bench=bench, tabs=lambda: iter(tabs.items()))
    made.load_tabs()
    return made


@contextmanager
def client(studio: Studio, guard: Guard | None = None, base: str = HOST) -> Iterator[TestClient]:
    """Speaks to a studio as its own page would; errors of ours are raised here."""
    app = guarded(application(studio), guard or Guard())
    with TestClient(app, base_url=base, follow_redirects=False) as made:
        yield made
    studio.close()


def picture(width=64, height=48, colour="olive", kind="PNG") -> bytes:
    """A file of a picture."""
    file = BytesIO()
    Image.new("RGB", (width, height), colour).save(file, kind)
    return file.getvalue()


def served(studio: Studio, **place):
    """A studio at a port of its own, in a thread."""
    one = Served(studio, Place(**{"port": 0, **place}))
    return one, one.in_thread()


def mistakes(caplog):
    """Kinds of the mistakes of ours that a studio has noted; others may log beside it."""
    ours = [one for one in caplog.records if one.name == "featurekit.studio"]
    return [one.exc_info[0] for one in ours]


def until(holds, patience=12_000):
    """Wait until something holds; the page's policy forbids what playwright waits by."""
    for _ in range(patience):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to hold")


def heard(page):
    """All that the page has said to the person since it was loaded; it says each for a while."""
    return page.evaluate("window.saidAll")


def saved(page, tab):
    """What the server keeps of a tab's page; None before that has come."""
    return page.evaluate(
        """async (tab) => (await (await fetch("/state")).json()).tabs
        .find((one) => one.name === tab)?.saved ?? null""",
        tab,
    )


def serious(page):
    """Violations that keep somebody from using the page."""
    spec = find_spec("axe_playwright_python")
    script = Path(spec.submodule_search_locations[0], "axe.min.js").read_text(encoding="utf-8")
    page.evaluate(script)
    found = page.evaluate("axe.run().then((all) => all.violations)")
    return [
        (one["id"], [node["html"] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
