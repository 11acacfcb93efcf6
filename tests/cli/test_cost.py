"""The cost that a command says before it begins: rows, times one that was measured."""

import re

import pytest
import torch
from diffusers import UNet2DConditionModel
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


@pytest.fixture
def rows_read(monkeypatch):
    """Rows of every call of any UNet."""
    rows, forward = [], UNet2DConditionModel.forward

    def counting(unet, sample, *given, **named):
        rows.append(len(sample))
        return forward(unet, sample, *given, **named)

    monkeypatch.setattr(UNet2DConditionModel, "forward", counting)
    return rows


MEASURING = 2  # rows


@pytest.mark.parametrize(
    "words",
    [
        ["analyse", "timesteps", "count=3", "steps=4", "taps=[mid]"],
        ["analyse", "timesteps", "source=inverted", "count=2", "steps=4", "taps=[mid]"],
        ["analyse", "timesteps", "source=sampled", "count=2", "steps=4", "taps=[mid]"],
        ["analyse", "positions", "count=6", "taps=[mid]"],
        ["analyse", "norms", "count=10", "taps=[mid]"],
        ["analyse", "labels", "pairs=2", "kinds=[face,shapes]", "taps=[mid]"],
        ["pck", "count=2", "categories=[face]", "taps=[mid]", "timesteps=[1,261]"],
        ["pck", "count=2", "categories=[face]", "taps=[mid]", "controls=[]", "ensemble=3"],
    ],
)
def test_an_analysis_tells_the_rows_that_it_reads(tmp_path, capsys, rows_read, words):
    assert main([*words, "backbone=random", f"out={tmp_path / 'out'}"]) == 0
    bound, told = re.search(
        r"^(at least )?(\d+) rows through the network of random, about .* by one of "
        r"64x64 px", capsys.readouterr().err, re.MULTILINE,
    ).groups()  # fmt: skip
    made = sum(rows_read) - MEASURING
    assert int(told) == made or (bound and int(told) <= made <= 1.5 * int(told))


def test_an_analysis_of_own_pictures_tells_their_rows_at_their_size(tmp_path, capsys, rows_read):
    album = tmp_path / "album"
    album.mkdir()
    for number in range(10):
        Image.new("RGB", (40, 24), (20 * number, 10, 200)).save(album / f"{number}.png")
    words = [f"images={album}", "backbone=random", "taps=[mid]", f"out={tmp_path / 'out'}"]
    assert main(["analyse", "norms", *words]) == 0
    assert "10 rows through the network of random" in (told := capsys.readouterr().err)
    assert "by one of 40x24 px" in told
    mask = Image.new("L", (40, 24))
    mask.paste(7, (0, 4, 12, 16))
    mask.save(tmp_path / "mask.png")
    rows_read.clear()
    own = [f"image={album}/0.png", f"mask={tmp_path}/mask.png"]
    assert main(["analyse", "labels", *own, *words]) == 0
    assert "11 rows through the network of random" in capsys.readouterr().err
    assert sum(rows_read) == 11 + MEASURING


def test_guidance_doubles_the_rows():
    plain = InvertOptions(image="a.png", steps=6)
    assert invert._calls(InvertOptions(image="a.png", steps=6, guidance=3.0)) == 2 * invert._calls(
        plain
    )
