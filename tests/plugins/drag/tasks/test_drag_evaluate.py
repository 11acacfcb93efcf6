"""``task=evaluate``: every kind of scene, presets side by side, kept records that are reused."""

import json
from dataclasses import replace

import pytest
from optimising import OPTIMISING
from PIL import Image
from pipelines import of_one_encoder

import featurekit as fk
from featurekit.core.errors import ConfigError
from featurekit.pipeline.registry import load_plugin, resolve
from featurekit.scenes import KINDS
from featurekit_drag.config import DragConfig
from featurekit_drag.engine.preparation import LORA
from featurekit_drag.metrics.averages import averages, by_kind
from featurekit_drag.tasks import evaluate

SMALL = [
    "plugin=drag",
    *OPTIMISING,
    "backbone=random",
    "device=cpu",
    "task=evaluate",
    "plugin.scenes=1",
    "plugin.steps=4",
    "plugin.updates=1",
    "plugin.lora_steps=0",
    "cache=none",
]
ROWS = ["edit", "noop", "erase", "blur", "shifted_copy", "truth", "vae_floor"]
FILES = ["000.json", "000.png", "001.json", "001.png"]
PRESETS = ("none", "drag_dragdiffusion")


def run(out, *words):
    return fk.run(fk.compose([*SMALL, f"out={out}", *words]))


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.iterdir())}


def records_of(out):
    return json.loads((out / "records.json").read_text())["scenes"]


def copied(out, to):
    """What an earlier run left, in another folder."""
    for path in (out / "scenes").rglob("*.*"):
        new = to / path.relative_to(out)
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(path.read_bytes())
    return to


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluated")
    record = run(out)
    return record, out, records_of(out)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    out = tmp_path_factory.mktemp("compared")
    words = [f"plugin.presets=[{','.join(PRESETS)}]", "plugin.lora_steps=1", "plugin.lora_batch=1"]
    # the published preset's own rank, so that both fit the same LoRA
    record = run(out, *words, "plugin.lora_rank=2", "plugin.lora_alpha=2")
    return record, out, records_of(out)


def test_by_default_a_hundred_scenes_of_every_kind_are_dragged():
    job = type("Asked", (), {"settings": DragConfig(lora_steps=0)})
    scenes = evaluate._scenes(job)
    assert len(scenes) == 100
    assert [scene.number for scene in scenes] == list(range(100))
    for sort, deforms in evaluate.SORTS.items():
        moves = [scene.move for scene in scenes if scene.sort == sort]
        assert len(moves) == 50
        assert {move.kind for move in moves} == set(KINDS)
        assert {move.deforms for move in moves} == {deforms}


def test_one_scene_of_each_sort_is_dragged_and_scored(done):
    record, _, scenes = done
    assert [one["sort"] for one in scenes] == ["translations", "deformations"]
    assert record["stop"] == "2 scenes are dragged"
    assert record["schedule"].startswith("DDIM, ")
    for one in scenes:
        assert list(one["scores"]) == ROWS
        assert one["scores"]["noop"]["mse_ratio"] == 1
        assert one["scores"]["noop"]["arrived"] == {"patch": 0, "feature": 0}
        assert one["scores"]["truth"]["mse_ratio"] == 0
        assert one["scores"]["truth"]["arrived"] == {"patch": 1, "feature": 1}
        assert (one["preset"], one["kind"], one["updates"]) == ("edit", "face", 1)
        assert one["length_px"] > 0
        assert one["seconds"] > 0


def test_the_metrics_are_the_averages_of_the_records(done):
    record, _, scenes = done
    for sort in ("translations", "deformations"):
        group = [one for one in scenes if one["sort"] == sort]
        expected = {"edit": {**averages(group), "kinds": by_kind(group)}}
        assert record["metrics"][sort] == expected


def test_sheet_table_and_records_are_there_and_listed(done):
    record, out, _ = done
    assert record["outputs"] == {
        "records": "records.json",
        "table": "table.md",
        "sheet": "sheet.png",
    }
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.height > 2 * 256  # a row for each sort
    assert list(times(out / "scenes" / "edit")) == FILES
    assert [path.name for path in (out / "scenes").iterdir()] == ["edit"]


def test_the_summary_is_the_table_with_the_rivals_below_the_edit(done):
    record, out, _ = done
    whole, kinds = (out / "table.md").read_text().split("\n\n")
    assert record["summary"] == whole
    lines = [line.strip("| ").split(" | ") for line in whole.splitlines()[2:]]
    names = ["edit", "nothing", "erase", "blur", "shifted copy", "truth", "VAE of the truth"]
    sorts = ["translations"] * len(names) + ["deformations"] * len(names)
    assert [line[:2] for line in lines] == [
        list(pair) for pair in zip(sorts, names * 2, strict=True)
    ]
    truth = lines[5]
    assert truth[2:9] == [
        *("1", "0.00 (0.00 to 0.00)", "0.00 (0.00 to 0.00)", "100% (100% to 100%)"),
        *("100%", "100%", "1"),
    ]
    seconds = record["metrics"]["translations"]["edit"]["seconds"]
    assert lines[0][9] == f"{seconds:.1f}"
    assert "| deformations | face | edit | 1 | " in kinds


def test_presets_stand_in_one_table_above_one_set_of_rivals(compared):
    record, out, scenes = compared
    assert [(one["sort"], one["preset"]) for one in scenes] == [
        (sort, preset) for sort in ("translations", "deformations") for preset in PRESETS
    ]
    assert list(record["metrics"]["translations"]) == list(PRESETS)
    names = [line.split(" | ")[1] for line in record["summary"].splitlines()[2:9]]
    assert names[:3] == [*PRESETS, "nothing"]
    assert [one for one in record["outputs"] if "sheet" in one] == [f"sheet_{p}" for p in PRESETS]
    for preset in PRESETS:
        assert list(times(out / "scenes" / preset)) == FILES
        assert (out / f"sheet_{preset}.png").exists()
    same, other = scenes[:2]
    assert same["scores"]["noop"] == other["scores"]["noop"]  # judged alike
    assert same["scores"]["edit"] != other["scores"]["edit"]


def test_presets_with_one_lora_recipe_share_it_and_both_pay_for_it(compared, tmp_path, monkeypatch):
    fits = []
    own = evaluate.EditClock.timed

    def counting(self, drag, request):
        fits.append(drag.kept(request)[LORA].is_held)
        edit, seconds = own(self, drag, request)
        path = drag.prepare.places(request).lora.path
        assert (seconds > 1e6) == fits[-1]
        assert 0 < self._made[path] < seconds
        self._made[path] = 1e6  # as if the fit had taken long: whoever takes it over pays it
        return edit, seconds

    monkeypatch.setattr(evaluate.EditClock, "timed", counting)
    words = ["plugin.lora_steps=1", "plugin.lora_batch=1", "plugin.lora_rank=2"]
    run(tmp_path, f"plugin.presets=[{','.join(PRESETS)}]", *words, "plugin.lora_alpha=2")
    assert fits == [False, True, False, True]
    assert not list(tmp_path.glob("shared-*"))


def test_the_same_settings_and_folder_reuse_what_is_kept(done, tmp_path):
    _, out, _ = done
    folder = copied(out, tmp_path) / "scenes" / "edit"
    kept = json.loads((folder / "000.json").read_text())
    (folder / "000.json").write_text(json.dumps(kept | {"length_px": 1234.5}))
    (folder / "001.json").unlink()
    before = times(folder)
    again = run(tmp_path)
    after = times(folder)
    assert again["metrics"]["translations"]["edit"]["mean_move_px"] == 1234.5
    assert (after["000.json"], after["000.png"]) == (before["000.json"], before["000.png"])
    assert after["001.png"] > before["001.png"]


def test_more_scenes_and_presets_keep_what_is_there(compared, tmp_path):
    """A long evaluation can be widened: settings of the table are none of a scene's."""
    _, out, scenes = compared
    copied(out, tmp_path)
    words = ["plugin.lora_steps=1", "plugin.lora_batch=1", "plugin.lora_rank=2"]
    run(tmp_path, "plugin.presets=[drag_dragdiffusion]", *words, "plugin.lora_alpha=2")
    assert records_of(tmp_path) == [one for one in scenes if one["preset"] != "none"]


@pytest.mark.parametrize(
    "word", ["plugin.learning_rate=0.5", "seed=1", "dtype=bfloat16", "plugin.judge_timestep=51"]
)
def test_other_settings_do_not_reuse_what_is_kept(done, word, tmp_path):
    _, out, scenes = done
    run(copied(out, tmp_path), word)
    again = records_of(tmp_path)
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
    record, out, _ = done
    copied(out, tmp_path)
    assert bench([*SMALL[1:], f"out={tmp_path}"]) == 0
    assert record["summary"] in capsys.readouterr().out


def test_pictures_on_the_way_of_an_edit_have_rows_of_their_own(tmp_path, monkeypatch):
    """Such as a warp that a model then redraws; whoever makes it names it."""
    own = evaluate.EditClock.timed

    def with_a_warp(self, drag, request):
        edit, seconds = own(self, drag, request)
        return replace(edit, stages={"warp alone": request.image}), seconds

    monkeypatch.setattr(evaluate.EditClock, "timed", with_a_warp)
    record = run(tmp_path)
    for one in records_of(tmp_path):
        assert list(one["scores"])[:2] == ["edit", "warp alone"]
        assert one["scores"]["warp alone"] == one["scores"]["noop"]
    lines = [line.strip("| ").split(" | ") for line in record["summary"].splitlines()[2:]]
    assert [line[1] for line in lines[:3]] == ["edit", "edit: warp alone", "nothing"]
    assert lines[1][2:] == lines[2][2:]


def test_presets_are_of_the_settings_that_a_wrapped_pipeline_has(tmp_path, monkeypatch):
    asked = []

    def noted(own, backbone):
        asked.append(backbone)
        raise ConfigError("here the test ends")

    monkeypatch.setattr(evaluate, "settings_of_presets", noted)
    words = ["plugin=drag", "backbone=random", "task=evaluate", f"out={tmp_path}"]
    with pytest.raises(ConfigError, match="here the test ends"):
        fk.run(fk.compose(words), backbone=fk.wrap(of_one_encoder()[0], "mine"))
    assert asked == ["sd15"]  # not "mine", which is its own name
