"""Every notebook in examples/ runs from top to bottom, and is kept without its outputs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "examples").glob("*.ipynb"))
SAID = {
    "drag.ipynb": ["redraw of what was uncovered: 2 of 2", "4 candidates", "back to 4 candida"],
    "sketch.ipynb": ["2 styles are learnt in 6 iterations", "1 picture sketched", "of ink: 0."],
    "transformer.ipynb": ["single1.norm t=260 (1, 32, 8, 8)", "comes back to 0.0e+00"],
}
FEWER = {  # what a notebook says, which is good enough to be looked at: what it says here
    "sketch.ipynb": {
        '"plugin.iterations=60"': '"plugin.iterations=6"',
        '"plugin.samples=4"': '"plugin.samples=2"',
        '"plugin.views=8"': '"plugin.views=2"',
    },
}


def test_each_notebook_has_something_that_it_must_say():
    assert [path.name for path in NOTEBOOKS] == list(SAID)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_kept_without_outputs(path):
    book = json.loads(path.read_text(encoding="utf-8"))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    assert "".join(book["cells"][0]["source"]).startswith("# ")
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert len(code) >= 3
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_from_top_to_bottom(path, tmp_path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    for said, fewer in FEWER.get(path.name, {}).items():
        assert code.count(said) == 1
        code = code.replace(said, fewer)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all(line in done.stdout for line in SAID[path.name]), done.stdout
