"""A tab that is there before what it stands on: imported once, when it is first asked."""

import subprocess
import sys

import pytest
from studio_desk import opened, printed_tab

from featurekit.core.errors import PluginError
from featurekit.web.asked import Asked
from featurekit.web.late import late
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
def studio(tmp_path):
    """A studio with the printed tab, late; its page's folder, and what makes the tab each time."""
    make, asked = printed_tab(tmp_path), []

    def tab(desk):
        made = make(desk)

        def whole():
            asked.append(desk)
            if len(asked) == 1:
                raise PluginError("a part of it must be installed, and is not")
            return made

        return late("blur", "Blur", made.files, whole)

    studio = opened(tmp_path / "desk", {"blur": tab})
    studio.asked = asked
    return studio


def test_the_page_is_there_and_the_rest_is_made_once_by_who_asks(studio):
    placed = studio.placed["blur"]
    assert "tab.js" in placed.files == static_files(placed.tab.files)
    assert not studio.asked
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
