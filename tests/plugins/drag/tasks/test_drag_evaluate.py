"""``task=evaluate``: averages by hand, a sheet of every scene, and kept records that are reused."""

import json

import pytest
from PIL import Image

import featurekit as fk
from featurekit.core.errors import ConfigError
from featurekit.pipeline.registry import load_plugin, resolve
from featurekit_drag.tasks import evaluate
from featurekit_drag.tasks.evaluate import averages

SMALL = [
    "plugin=drag",
    "backbone=random",
    "device=cpu",
    "task=evaluate",
    "plugin.scenes=1",
    "plugin.steps=4",
    "plugin.updates=1",
    "plugin.lora_steps=0",
]
ROWS = ["edit", "noop", "erase", "blur", "shifted_copy", "truth", "vae_floor"]


def run(out, *words):
    return fk.run(fk.compose([*SMALL, f"out={out}", *words]))


def times(out):
    return {path.name: path.stat().st_mtime_ns for path in sorted((out / "scenes").iterdir())}


def sheet_of(out):
    with Image.open(out / "sheet.png") as sheet:
        return sheet.convert("RGB")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluated")
    record = run(out)
    return record, out, json.loads((out / "records.json").read_text())["scenes"]


def row(ratio, patch, feature):
    return {"mse_ratio": ratio, "error_share": {"patch": patch, "feature": feature}}


def scene(length, edit, noop=(1, 1, 1)):
    return {"length_px": length, "scores": {"edit": row(*edit), "noop": row(*noop)}}


def test_averages_are_means_over_scenes_of_every_row():
    table = averages([scene(10, (0.2, 0.1, 0.5)), scene(14, (0.6, 0.3, 0.7)), scene(9, (1, 2, 3))])
    assert (table["scenes"], table["mean_move_px"], table["shortest_move_px"]) == (3, 11, 9)
    edit, noop = table["rows"]["edit"], table["rows"]["noop"]
    assert edit["mse_ratio"] == pytest.approx(0.6)
    assert edit["error_share"] == pytest.approx({"patch": 0.8, "feature": 1.4})
    assert noop == row(1, 1, 1)
    assert list(table["rows"]) == ["edit", "noop"]


@pytest.mark.parametrize(
    ("edit", "successes"),
    [
        ((0.49, 0.4, 0.5), 1),  # both halved
        ((0.49, 0.2, 0.7), 1),  # the mean of the judges counts
        ((0.5, 0.1, 0.1), 0),
        ((0.1, 0.5, 0.5), 0),
        ((0.1, 0.2, 0.9), 0),
        ((0, 0, 0), 1),
    ],
)
def test_a_success_halves_both_the_error_and_the_way_left(edit, successes):
    assert averages([scene(10, edit)])["successes"] == successes


def test_successes_are_counted_over_scenes():
    scenes = [scene(10, (0.1, 0.1, 0.1)), scene(10, (0.9, 0.1, 0.1)), scene(10, (0.2, 0.1, 0.1))]
    assert averages(scenes)["successes"] == 2


def test_one_scene_of_each_sort_is_dragged_and_scored(done):
    record, _, scenes = done
    assert [one["sort"] for one in scenes] == ["translations", "deformations"]
    assert record["stop"] == "2 scenes are dragged"
    assert record["schedule"].startswith("DDIM, ")
    for one in scenes:
        assert list(one["scores"]) == ROWS
        assert one["scores"]["noop"]["mse_ratio"] == 1
        assert one["scores"]["truth"]["mse_ratio"] == 0
        assert one["updates"] == 1
        assert one["length_px"] > 0


def test_the_metrics_are_the_averages_of_the_records(done):
    record, _, scenes = done
    for sort in ("translations", "deformations"):
        expected = averages([one for one in scenes if one["sort"] == sort])
        assert record["metrics"][sort] == expected


def test_sheet_and_records_are_there_and_listed(done):
    record, out, _ = done
    assert record["outputs"] == {"sheet": "sheet.png", "records": "records.json"}
    assert sheet_of(out).height > 2 * 256  # a row for each sort
    assert list(times(out)) == ["000.json", "000.png", "001.json", "001.png"]


def test_the_summary_has_a_line_for_each_sort_with_the_rivals_beside_the_edit(done):
    record, _, _ = done
    lines = record["summary"].splitlines()
    for line, sort in zip(lines, ("translations", "deformations"), strict=True):
        table = record["metrics"][sort]
        assert line.startswith(f"{sort}: 1 scenes, mean move {table['mean_move_px']:.1f} px")
        assert f"MSE to the truth {table['rows']['edit']['mse_ratio']:.2f}" in line
        for rival in ("noop", "erase", "blur", "shifted_copy", "vae_floor"):
            assert f"{rival} {table['rows'][rival]['mse_ratio']:.2f}" in line
        assert "0 succeed" in line or "1 succeed" in line


def test_the_same_settings_and_folder_reuse_what_is_kept(done):
    _, out, _ = done
    before = times(out)
    kept = json.loads((out / "scenes" / "000.json").read_text())
    marked = kept | {"length_px": 1234.5}
    (out / "scenes" / "000.json").write_text(json.dumps(marked))
    stamp = times(out)["000.json"]
    (out / "scenes" / "001.json").unlink()
    try:
        again = run(out)
        after = times(out)
        assert again["metrics"]["translations"]["mean_move_px"] == 1234.5
        assert (after["000.json"], after["000.png"]) == (stamp, before["000.png"])
        assert after["001.json"] > before["001.json"]
    finally:
        (out / "scenes" / "000.json").write_text(json.dumps(kept))


@pytest.mark.parametrize("word", ["plugin.learning_rate=0.5", "seed=1", "dtype=bfloat16"])
def test_other_settings_do_not_reuse_what_is_kept(done, word, tmp_path):
    _, out, scenes = done
    (tmp_path / "scenes").mkdir()
    for name in ("000.json", "000.png", "001.json", "001.png"):
        (tmp_path / "scenes" / name).write_bytes((out / "scenes" / name).read_bytes())
    run(tmp_path, word)
    again = json.loads((tmp_path / "records.json").read_text())["scenes"]
    assert [one["name"] for one in again] == [one["name"] for one in scenes]
    assert all(new["key"] != old["key"] for new, old in zip(again, scenes, strict=True))


@pytest.mark.parametrize("word", ["image=me.png", "plugin.points=[[1,2,3,4]]", "plugin.mask=m.png"])
def test_a_picture_of_ones_own_is_refused_rather_than_ignored(tmp_path, word):
    with pytest.raises(ConfigError, match="task=evaluate drags bundled scenes, whose truth"):
        run(tmp_path, word)


def test_the_bench_is_registered_and_takes_overrides(done, capsys, tmp_path):
    target = load_plugin("drag").benches["drag-scenes"]
    bench = resolve(target, of="the bench")
    assert bench is evaluate.bench
    _, out, _ = done
    (tmp_path / "scenes").mkdir()
    for path in (out / "scenes").iterdir():
        (tmp_path / "scenes" / path.name).write_bytes(path.read_bytes())
    assert bench([*SMALL[1:], f"out={tmp_path}"]) == 0
    assert "translations: 1 scenes" in " ".join(capsys.readouterr().out.split())
