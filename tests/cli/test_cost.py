"""The cost that a command says before it begins: rows, times one that was measured."""

import re

import pytest
import torch
from PIL import Image

from featurekit.backbones import load
from featurekit.cli import cost, invert
from featurekit.cli.cost import FEW_CALLS, say_cost
from featurekit.cli.options import InvertOptions
from featurekit.cli.router import main


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(cost, "say", lines.append)
    return lines


def test_rows_are_multiplied_with_one_that_is_measured_at_the_size(backbone, said, monkeypatch):
    now = iter([10.0, 10.25])
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(now))
    sizes = []
    handle = backbone.unet.register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape))
    say_cost(backbone, (40, 72), 120, of="3 pictures: ")
    handle.remove()
    assert said == [
        "3 pictures: 120 rows through the network of random, about 30 s by one of 72x40 px, which "
        "took 0.25 s"
    ]
    assert {tuple(size[2:]) for size in sizes} == {
        tuple(backbone.encode(torch.zeros(1, 3, 40, 72)).shape[2:])
    }


def test_what_is_soon_done_is_not_measured(backbone, said, monkeypatch):
    monkeypatch.setattr(cost.time, "perf_counter", lambda: pytest.fail("it was measured"))
    say_cost(backbone, (40, 72), FEW_CALLS - 1)
    assert said == []


def test_extract_tells_its_rows_for_a_folder(tmp_path, capsys):
    folder = tmp_path / "album"
    folder.mkdir()
    for name in "abc":
        Image.new("RGB", (30, 20)).save(folder / f"{name}.png")
    words = ["backbone=random", f"image={folder}", "taps=[mid]", "timesteps=[1,261]", "ensemble=2"]
    assert main(["extract", *words, f"out={tmp_path / 'out'}"]) == 0
    assert "3 pictures: 12 rows through the network of random, about" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["method=ddim"],
        ["method=ddim", "refine=2"],
        ["method=anderson"],
        ["method=residual"],
        ["method=edict"],
        ["method=edit_friendly"],
    ],
)
def test_invert_tells_at_most_the_calls_that_it_makes(tmp_path, capsys, words):
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    given = [f"image={tmp_path / 'a.png'}", "backbone=random", "steps=6", f"out={tmp_path / 'o'}"]
    assert main(["invert", *given, *words]) == 0
    told = capsys.readouterr()
    most = int(re.search(r"at most (\d+) rows", told.err)[1])
    made = int(re.search(r"in (\d+) calls", told.out)[1])
    assert made <= most <= 1.5 * made


def test_guidance_doubles_the_rows():
    plain = InvertOptions(image="a.png", steps=6)
    assert invert._calls(InvertOptions(image="a.png", steps=6, guidance=3.0)) == 2 * invert._calls(
        plain
    )
