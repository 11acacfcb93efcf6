"""A tab that is there before what it stands on: imported once, when it is first asked."""

import subprocess
import sys

import pytest
from studio_desk import Bench, opened, printed_tab

from featurekit.core.errors import PluginError
from featurekit.web import late as late_module
from featurekit.web.asked import Asked
from featurekit.web.late import IMPORTS, late
from featurekit.web.pages import static_files

FIRST = """
import sys, tempfile
from featurekit.web.studio import Studio
studio = Studio(tempfile.mkdtemp())
studio.load_tabs()
found = [one["name"] for one in studio.tabs_told["tabs"]]
assert {"drag", "look"} <= set(found), (found, studio.faults)
print([name for name in ("torch", "diffusers", "scipy") if name in sys.modules])
"""


@pytest.fixture
def studio(tmp_path, monkeypatch):
    """A studio with the printed tab, late; its page's folder, and what makes the tab each time."""
    make, asked = printed_tab(tmp_path), []

    def tab(desk):
        made = make(desk)

        def whole(given):
            asked.append(given)
            assert given is desk
            if len(asked) == 1:
                raise PluginError("a part of it must be installed, and is not")
            return made

        def found(target, *, of):
            assert IMPORTS._is_owned()  # two threads that import torch at once see halves of it
            return whole

        monkeypatch.setattr(late_module, "resolve", found)
        return late("blur", "Blur", made.files, "blur.whole:tab", desk)

    class Alone(Bench):
        def load_backbone(self, name):
            assert IMPORTS._is_owned()
            return {"model": name}

    studio = opened(tmp_path / "desk", {"blur": tab}, bench=Alone)
    studio.asked = asked
    return studio


def test_the_page_is_there_and_the_rest_is_made_once_by_who_asks(studio):
    placed = studio.placed["blur"]
    assert "tab.js" in placed.files == static_files(placed.tab.files)
    assert not studio.asked
    assert studio.model.get() == {"model": "random"}
    with pytest.raises(PluginError, match="must be installed"):
        studio.act("blur", "size", Asked())
    studio.put_example()
    assert studio.act("blur", "size", Asked())["pixels"] == 64 * 48
    assert studio.act("blur", "size", Asked({"times": 2}))["times"] == 2
    assert sorted(placed.tab.actions) == ["grey", "size"]
    assert list(placed.tab.jobs) == ["blur"]
    assert len(placed.tab.actions) == 2
    assert placed.seen == {}
    assert len(studio.asked) == 2


def test_own_tabs_are_on_the_page_before_torch_is_imported():
    done = subprocess.run(
        [sys.executable, "-c", FIRST], capture_output=True, text=True, check=True, timeout=280
    )
    assert done.stdout.strip() == "[]"
