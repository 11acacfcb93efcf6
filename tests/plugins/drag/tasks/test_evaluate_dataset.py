"""``plugin.dataset``: samples dragged and measured, kept, gone on with, and left out by name."""

import json
import math

import pytest
import torch
from drag_data import write_dragbench, write_own
from optimising import OPTIMISING
from PIL import Image
from safetensors.torch import save_file

import featurekit as fk
from featurekit.cli.router import main
from featurekit.core.errors import BackboneError, ConfigError, UnknownNameError
from featurekit.measures.perceptual import alexnet
from featurekit_drag.tasks import evaluate_dataset

SMALL = [
    "plugin=drag",
    *OPTIMISING,
    "backbone=random",
    "device=cpu",
    "task=evaluate",
    "plugin.steps=4",
    "plugin.updates=1",
    "plugin.lora_steps=0",
]
SIZE = (40, 36)


def run(data, out, *words, **more):
    return fk.run(fk.compose([*SMALL, f"plugin.dataset={data}", f"out={out}", *words]), **more)


def kept(out):
    return {one.name: one.stat().st_mtime_ns for one in (out / "samples").rglob("*.json")}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three samples of DragBench that can be used, and two that cannot."""
    root = tmp_path_factory.mktemp("data")
    write_dragbench(root / "art" / "one", [[10, 12], [22, 17]], size=SIZE)
    write_dragbench(root / "art" / "two", [[20, 20], [24, 23], [8, 9], [16, 15]], size=SIZE, seed=1)
    write_dragbench(root / "zoo" / "three", [[9, 20], [30, 20]], size=SIZE, seed=2, protocol=0)
    broken = write_dragbench(root / "art" / "cut", [[9, 20], [30, 20]], size=SIZE)
    (broken / "meta_data.pkl").write_bytes((broken / "meta_data.pkl").read_bytes()[:40])
    (root / "zoo" / "empty").mkdir()
    return root


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("measured")
    heard = []
    record = run(data, out, say=heard.append)
    return record, out, json.loads((out / "records.json").read_text()), heard


def test_nothing_done_scores_the_mean_move_over_all_drags(done):
    record, _, _, _ = done
    lengths = [13, 5, 10, 21]
    table = record["metrics"]
    assert (table["dataset"], table["samples"], table["pairs"]) == ("DragBench-DR", 3, 4)
    assert table["mean_move_px"] == pytest.approx(sum(lengths) / 4)
    noop = table["rows"]["noop"]
    assert noop["md_px"] == pytest.approx(sum(lengths) / 4)
    assert noop["masked_md_px"] == pytest.approx(sum(lengths) / 4)
    width, height = SIZE
    shares = [math.hypot(x / width, y / height) for x, y in ((12, 5), (4, 3), (8, 6), (21, 0))]
    expected = 100 * (shares[0] + (shares[1] + shares[2]) / 2 + shares[3]) / 3
    assert noop["disc_md_x100"] == pytest.approx(expected)
    assert table["categories"]["zoo"]["rows"]["noop"]["md_px"] == pytest.approx(21)


def test_every_figure_that_can_be_said_is(done):
    record, _, _, heard = done
    for row in record["metrics"]["rows"].values():
        assert all(row[name] is not None for name in ("md_px", "masked_md_px", "disc_md_x100"))
        assert list(row["dai"]) == ["1", "5", "10", "20"]
        assert all(row[name] is None for name in ("if", "if_outside", "mse_ratio", "md_px_std"))
    assert any("image fidelity is left out" in line for line in heard)


def test_samples_that_cannot_be_used_are_named_and_counted(done):
    record, _, records, _ = done
    assert record["stop"] == "3 of 5 samples are dragged and measured"
    assert "3 samples, 2 skipped" in record["summary"]
    assert record["metrics"]["skipped"] == 2
    assert [one.partition(":")[0] for one in record["skipped"]] == ["zoo/empty", "art/cut"]
    assert "meta_data.pkl is no whole pickle" in record["skipped"][1]
    assert records["skipped"] == record["skipped"]


def test_records_table_and_sheet_are_there(done):
    record, out, records, _ = done
    names = {"records": "records.json", "table": "table.md", "sheet": "sheet.png"}
    assert record["outputs"] == names
    assert [one["name"] for one in records["samples"]] == ["art/one", "art/two", "zoo/three"]
    assert records["samples"][0]["points"] == [[10.5, 12.5, 22.5, 17.5]]
    assert sorted(kept(out)) == ["one.json", "three.json", "two.json"]
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > 6 * 256
    page = (out / "table.md").read_text()
    assert "| zoo | 1 | 1 |" in page
    with Image.open(out / "samples" / "art" / "one.png") as edit:
        assert edit.size == SIZE


def test_the_summary_has_a_line_for_each_row(done):
    first, edit, noop = done[0]["summary"].splitlines()
    assert first.startswith("DragBench-DR: 3 samples, 2 skipped, 4 drags, mean move 12.25 px")
    assert edit.startswith("edit: MD px ")
    assert noop.startswith("noop: MD px 12.25, masked MD px 12.25, disc MD x100 ")


def test_the_same_command_goes_on_and_drags_only_what_is_missing(done, data):
    record, out, _, _ = done
    before = kept(out)
    (out / "samples" / "art" / "two.json").unlink()
    again = run(data, out)
    after = kept(out)
    assert again["metrics"] == record["metrics"]
    assert [name for name in after if after[name] != before[name]] == ["two.json"]


def test_other_settings_or_another_sample_are_dragged_anew(done, data, tmp_path):
    root, out = tmp_path / "data", tmp_path / "out"
    write_dragbench(root / "art" / "one", [[10, 12], [22, 17]], size=SIZE)
    run(root, out)
    first = kept(out)["one.json"]
    run(root, out, "plugin.updates=2")
    second = kept(out)["one.json"]
    assert second != first
    (root / "art" / "one" / "meta_data.pkl").unlink()
    write_dragbench(root / "new" / "one", [[10, 12], [22, 18]], size=SIZE)
    (root / "new" / "one" / "meta_data.pkl").rename(root / "art" / "one" / "meta_data.pkl")
    (root / "new" / "one" / "original_image.png").unlink()
    assert run(root, out, "plugin.updates=2")["metrics"]["mean_move_px"] == pytest.approx(
        math.hypot(12, 6)
    )
    assert kept(out)["one.json"] != second


def test_an_interrupted_run_says_how_to_go_on_and_keeps_what_is_done(data, tmp_path, monkeypatch):
    measure = evaluate_dataset.benchmark_rows
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(evaluate_dataset, "benchmark_rows", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"run the same command with out=.* to go on"):
        run(data, tmp_path)
    assert list(kept(tmp_path)) == ["one.json"]


def random_lpips(path):
    drawn = torch.Generator().manual_seed(1)
    weights = {}
    for name, weight in alexnet.empty().state_dict().items():
        weights[f"features.{name}"] = torch.randn(weight.shape, generator=drawn) / 20
    for i, width in enumerate(alexnet.WIDTHS):
        weights[f"lin{i}.model.1.weight"] = torch.rand(1, width, 1, 1, generator=drawn)
    save_file(weights, path)
    return path


def test_true_targets_lpips_and_seeds(tmp_path):
    root = tmp_path / "data"
    write_own(root / "faces" / "one", [[10, 12, 22, 17]], size=SIZE, prompt="a face")
    write_own(root / "faces" / "two", [[10, 12, 22, 17]], size=SIZE, mask=False)
    weights = random_lpips(tmp_path / "lpips.safetensors")
    record = run(root, tmp_path / "out", f"plugin.lpips={weights}", "plugin.metric_seeds=3")
    rows = record["metrics"]["rows"]
    assert list(rows) == ["edit", "noop", "truth"]
    assert rows["noop"]["if"] == rows["noop"]["if_outside"] == 1
    assert rows["noop"]["mse_ratio"] == 1
    assert rows["truth"]["mse_ratio"] == rows["truth"]["lpips_truth"] == 0
    assert rows["edit"]["if"] < 1
    assert rows["edit"]["lpips_truth"] > 0
    assert rows["noop"]["md_px_std"] == pytest.approx(0, abs=1e-9)
    assert rows["truth"]["md_px_std"] is not None
    assert not [line for line in record["notes"] if "left out" in line]


def test_a_data_set_without_a_usable_sample_is_an_error(tmp_path):
    write_dragbench(tmp_path / "data" / "art" / "one", [[3, 4]], size=SIZE)
    with pytest.raises(ConfigError, match="must have a sample that can be used; art/one: points"):
        run(tmp_path / "data", tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task=edit"], "plugin.dataset is what task=evaluate drags, got task=edit"),
        (["prompt=a face"], "has pictures, points, masks and prompts of its own"),
        (["plugin.points=[[1,2,3,4]]"], "plugin.points"),
        (["plugin.dataset=null", "plugin.metric_seeds=3"], "are for a data set"),
        (["plugin.dataset=null", "plugin.lpips=x"], "are for a data set"),
        (["plugin.dataset=nowhere"], "must be a folder that can be read"),
        (["plugin.metric_seeds=0"], "metric_seeds must lie in 1 to"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_weights(data, tmp_path, words, said):
    stages = []
    with pytest.raises(ConfigError, match=said):
        run(data, tmp_path, *words, say=stages.append)
    assert stages == []


def test_a_file_without_the_weights_of_lpips_is_refused(data, tmp_path):
    heard = []
    with pytest.raises(ConfigError, match=r"tensors must be in a whole \.safetensors file"):
        run(data, tmp_path, "plugin.lpips=nowhere.safetensors", say=heard.append)
    assert heard == []  # no weights were loaded
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(BackboneError, match=r"has no features\.0\.weight"):
        run(data, tmp_path, f"plugin.lpips={tmp_path / 'other.safetensors'}", say=heard.append)
    assert list((tmp_path / "samples").glob("**/*")) == []


def test_a_tap_that_is_none_is_refused(data, tmp_path):
    with pytest.raises(UnknownNameError, match="no tap named 'up9'"):
        run(data, tmp_path, "plugin.judge_tap=up9")


def test_the_command_ends_with_the_code_of_inputs_left_out(data, done, capsys):
    _, out, _, _ = done
    words = [*SMALL, f"plugin.dataset={data}", f"out={out}"]
    assert main(["run", *words]) == 3
    assert "3 of 5 samples are dragged and measured" in capsys.readouterr().out
