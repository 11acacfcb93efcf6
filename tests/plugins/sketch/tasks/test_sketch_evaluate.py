"""``task=evaluate``: every style beside its controls, kept from run to run."""

import re

import pytest
import torch

import featurekit as fk
from featurekit.core.errors import ConfigError
from featurekit.core.json_files import read_json
from featurekit.images.io import read_tensors
from featurekit.scenes import KINDS
from featurekit.scenes.drawings import STYLES
from featurekit_sketch.metrics.held_out import FIGURES
from featurekit_sketch.tasks import evaluate
from featurekit_sketch.training.style_training import StyleTraining
from featurekit_sketch.two_scales.training import TwoScaleTraining

FAST = ("plugin.samples=1", "plugin.iterations=2", "plugin.views=1", "plugin.tests=1",
        "plugin.side_px=64")  # fmt: skip


def words(out):
    return ["plugin=sketch", "task=evaluate", *FAST, f"out={out}"]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluated")
    return out, fk.run(fk.compose(words(out)))


def test_every_style_has_every_row_kind_and_figure(evaluated):
    out, record = evaluated
    held_out = record["metrics"]["held_out"]
    assert set(held_out) == set(STYLES)
    for table in held_out.values():
        assert set(table) == {
            *("sketch", "vae alone", "random unet", "paper's network and sum", "as released"),
            *("blank paper", "all black", "tuned edges", "XDoG"),
        }
        for kinds in table.values():
            assert set(kinds) == set(KINDS)
            assert all(set(row) == set(FIGURES) for row in kinds.values())
    assert read_json(out / "table.json") == {"held_out": held_out}
    assert {f"sheet_{hand}.png" for hand in STYLES} <= {path.name for path in out.iterdir()}


def test_the_controls_are_other_networks_and_the_edges_need_none(evaluated):
    out, record = evaluated
    kept = {
        row: read_tensors(out / f"brush-{row}" / "training.safetensors")
        for row in ("sketch", "vae-alone", "random-unet")
    }
    of_unet = re.compile(r"weight\.networks\.0\.reduced\.fine_u\w+\.mean")
    name = next(filter(of_unet.fullmatch, kept["sketch"]))
    assert not any(map(of_unet.fullmatch, kept["vae-alone"]))
    assert not torch.equal(kept["sketch"][name], kept["random-unet"][name])
    edges = [table["tuned edges"]["face"]["f1"] for table in record["metrics"]["held_out"].values()]
    assert min(edges) > 0.3


def test_the_same_command_again_learns_nothing_anew(evaluated, monkeypatch):
    out, record = evaluated

    def never(*_, **__):
        raise AssertionError("it was learnt already")

    monkeypatch.setattr(StyleTraining, "learn", never)
    monkeypatch.setattr(TwoScaleTraining, "learn", never)
    again = fk.run(fk.compose(words(out)))
    assert again["metrics"]["held_out"] == record["metrics"]["held_out"]


def test_the_summary_names_each_style_with_its_rows(evaluated):
    lines = evaluated[1]["summary"].splitlines()
    assert [line.split(",")[0] for line in lines] == list(STYLES)
    assert all("tuned edges 0." in line for line in lines)


def test_a_picture_of_the_users_own_has_no_known_truth(tmp_path):
    with pytest.raises(ConfigError, match="task=evaluate sketches bundled scenes"):
        fk.run(fk.compose([*words(tmp_path), "image=me.png"]))


def test_the_bench_is_the_task_with_overrides(evaluated, capsys):
    out, record = evaluated
    assert evaluate.bench(words(out)[2:]) == 0
    assert record["summary"].split()[0] in capsys.readouterr().out
