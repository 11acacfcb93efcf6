"""Every script in examples/ runs as printed, from any folder, and finds what it says it finds."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
NUMBERS = r"\[([\d.]+), ([\d.]+)\]"


def off_px(out: str, found: str) -> float:
    """How far the two points of a line lie apart."""
    u, v, x, y = (float(number) for number in re.search(found, out).groups())
    return ((u - x) ** 2 + (v - y) ** 2) ** 0.5


def decibels(out: str) -> dict[str, float]:
    """Likeness of what came back, by how it went."""
    lines = re.findall(r"^(.*?): ([\d.]+|inf) dB against the VAE's picture", out, re.MULTILINE)
    return {name: float(value) for name, value in lines}


def finds_the_nose(out: str) -> bool:
    return off_px(out, rf"is found at {NUMBERS}, where it is: {NUMBERS}") < 6.4


def finds_and_says_the_nose(out: str) -> bool:
    off = off_px(out, rf"is found at {NUMBERS} in the other face\n.* is: {NUMBERS}")
    return off < 6.4 and f"off by {off:.1f} px" in out


def comes_back(out: str) -> bool:
    found = decibels(out)
    plain, refined, exact = (
        found["DDIM"],
        found["DDIM, refined twice"],
        found["DDIM with residuals"],
    )
    return 25 < plain < refined - 6 and refined > 45 and exact > 90


def comes_back_four_ways(out: str) -> bool:
    found = decibels(out)
    moved = [float(one) for one in re.findall(r"moves the clean latent by ([\d.]+)", out)]
    from_disk = float(re.search(r"from disk: off by ([\d.e-]+)", out).group(1))
    return len(found) == 4 and min(found.values()) > 58 and min(moved) > 0 and from_disk < 1e-5


def is_shared(out: str) -> bool:
    said = ("other features: True", "another identity: True", "has a gradient: True", "one: False")
    return all(line in out for line in said)


FIGURES: dict[str, Callable[[str], bool]] = {
    "features.py": finds_the_nose,
    "inversion.py": comes_back_four_ways,
    "invert_and_return.py": comes_back,
    "read_features.py": finds_and_says_the_nose,
    "wrap_a_pipeline.py": is_shared,
}


def test_each_example_has_a_figure_that_is_checked():
    assert [path.name for path in EXAMPLES] == list(FIGURES)


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_and_says_what_it_did(script, tmp_path):
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert FIGURES[script.name](done.stdout), done.stdout


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_a_notebook_of_cells(script):
    cells = re.split(r"^# %%", script.read_text(), flags=re.MULTILINE)
    assert cells[0] == ""
    words = [cell for cell in cells[1:] if cell.startswith(" [markdown]\n")]
    assert words[0].startswith(" [markdown]\n# # ")
    assert len(words) >= 2
    for cell in words:
        assert all(line.startswith("#") for line in cell.strip().splitlines()[1:])
    assert len(cells) - 1 - len(words) >= 3


@pytest.mark.parametrize(
    ("check", "out"),
    [
        (finds_the_nose, "is found at [31.1, 51.0], where it is: [32.0, 30.6]"),
        (
            finds_and_says_the_nose,
            "is found at [1.0, 1.0] in the other face\nit truly is: [9.0, 1.0]\noff by 8.0 px",
        ),
        (
            comes_back,
            "DDIM: 35.8 dB against the VAE's picture\n"
            "DDIM, refined twice: 36.8 dB against the VAE's picture\n"
            "DDIM with residuals: inf dB against the VAE's picture",
        ),
        (
            comes_back_four_ways,
            "".join(f"{name}: 40.0 dB against the VAE's picture\n" for name in "abcd")
            + "moves the clean latent by 0.1\nfrom disk: off by 0",
        ),
        (
            is_shared,
            "other features: True\nanother identity: True\nthe latent has a gradient: True\n"
            "a weight has one: True",
        ),
    ],
)
def test_a_figure_that_is_not_reached_is_seen(check, out):
    assert not check(out)
