"""The table of a sweep, and the paper's ablations, each of which changes one thing of a whole."""

from dataclasses import asdict
from importlib.resources import files

import pytest
from omegaconf import OmegaConf

import featurekit as fk
from featurekit.cli.router import main
from featurekit.core.errors import ConfigError
from featurekit.core.json_files import read_json, write_json
from featurekit.scenes import KINDS
from featurekit_sketch.checks import check_settings
from featurekit_sketch.exam.sweep_table import MOST, as_markdown, differences, read_runs, table_of
from featurekit_sketch.metrics.figures import FIGURES
from featurekit_sketch.tasks.unused_settings import check_used

ABLATIONS = sorted(
    path.name.removesuffix(".yaml")
    for path in files("featurekit_sketch.conf").joinpath("ablation").iterdir()
)


def figures(value):
    row = dict.fromkeys(FIGURES, value) | {"ink": 0.1, "ink_true": 0.2}
    return {kind: {**row, "f1": value / 2 if kind == "face" else value} for kind in KINDS}


def record(value=0.5, *, status="done", task="train", seed=0, **settings):
    table = {"sketch": figures(value), "edges": figures(0.25)}
    return {
        "task": task,
        "status": status,
        "metrics": {"held_out": {"brush": table}},
        "config": {"plugin": {"clip": 30.0, **settings}, "seed": seed, "out": f"runs/{value}"},
    }


@pytest.fixture
def sweep(tmp_path):
    """Eleven runs, of which the last was stopped."""
    for number in range(10):
        changed = {"l1": 0.0} if number == 9 else {"l1": 30.0}
        write_run(tmp_path / f"{number}_sketch", record(number / 10, **changed))
    write_run(tmp_path / "10_sketch", record(status="interrupted", l1=30.0))
    return tmp_path


def write_run(folder, one):
    folder.mkdir()
    write_json(one, folder / "run.json")


def composed(*words):
    return OmegaConf.to_object(fk.compose(["plugin=sketch", *words]).plugin)


# the table


def test_a_row_names_what_its_run_has_otherwise_than_most():
    runs = {"0": {"a": "1", "b": "2"}, "1": {"a": "1", "b": "3"}, "2": {"a": "4", "b": "2"}}
    assert differences(runs) == {"0": MOST, "1": "b=3", "2": "a=4"}
    assert differences({"0": {"plugin.a": "1"}, "1": {"plugin.a": "2"}})["1"] == "a=2"
    assert differences({"0": {"a": "1"}, "1": {"a": "1"}}) == {"0": MOST, "1": MOST}


def test_rows_are_in_the_order_of_the_runs_and_end_with_the_edge_map(sweep):
    found = read_runs(sweep)
    assert list(found) == [f"{i}_sketch" for i in range(11)]
    records = {name: one for name, one in found.items() if one["status"] == "done"}
    rows = table_of(records)
    assert [row["run"] for row in rows] == [*(f"{i}_sketch" for i in range(10)), ""]
    assert [row["changed"] for row in rows[8:]] == [MOST, "l1=0.0", "tuned edges"]
    assert rows[9]["same"] == pytest.approx({"ssim": 0.9, "f1": 0.45, "l1": 0.9, "ink": 0.5})
    assert rows[9]["other"]["f1"] == pytest.approx(0.9)
    assert rows[10]["other"]["f1"] == pytest.approx(0.25)
    heads, _, *lines = as_markdown(rows).splitlines()
    assert heads.startswith("| what differs | style | ssim faces | f1 faces |")
    assert lines[9] == (
        "| l1=0.0 | brush | 0.900 | 0.450 | 0.900 | 0.500 | 0.900 | 0.900 | 0.900 | 0.500 |"
    )


def test_the_command_writes_the_table_and_names_what_it_left_out(sweep, capsys):
    assert main(["sketch-table", f"runs={sweep}"]) == 3
    told = capsys.readouterr()
    assert told.err == "skipped 10_sketch: it is interrupted\n"
    text = (sweep / "table.md").read_text()
    assert text in told.out
    assert len(read_json(sweep / "table.json")["rows"]) == 11
    assert main(["sketch-table", "--help"]) == 0


def test_what_is_no_sweep_is_refused(tmp_path, capsys):
    for words, message in (
        ([], "got none; give runs=FOLDER"),
        ([f"runs={tmp_path / 'none'}"], "runs must be a folder"),
        ([f"runs={tmp_path}"], "has 0 runs, none of them with figures"),
    ):
        assert main(["sketch-table", *words]) == 2
        assert message in " ".join(capsys.readouterr().err.split())


def test_a_damaged_record_is_refused(tmp_path):
    (tmp_path / "0_sketch").mkdir()
    (tmp_path / "0_sketch" / "run.json").write_text("{")
    with pytest.raises(ConfigError, match=r"must be a JSON file"):
        read_runs(tmp_path)


# the ablations


def test_the_papers_rows_are_there():
    assert set(ABLATIONS) >= {"whole", "random_timesteps", "one_timestep", "equal_timesteps"}
    assert set(ABLATIONS) >= {"no_cdst", "no_l1", "no_vae", "as_released", "analysed_timesteps"}


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_is_a_training_that_differs_from_the_whole_in_what_it_is_called_by(name):
    config, whole = composed(f"+ablation={name}"), composed("+ablation=whole")
    check_settings(config)
    check_used(config, task="train", own=False)
    other = {key for key, value in asdict(config).items() if value != asdict(whole)[key]}
    assert other == {
        "whole": set(),
        "no_cdst": {"fade"},
        "no_l1": {"l1"},
        "no_vae": {"sources"},
        "as_released": {"network", "timesteps"},
    }.get(name, {"timesteps"})


def test_a_sweep_over_ablations_ends_in_a_table(tmp_path, shell):
    few = ["plugin.iterations=1", "plugin.samples=1", "plugin.views=1", "plugin.tests=1",
           "plugin.side_px=64"]  # fmt: skip
    words = ["+ablation=whole,no_vae", "backbone=random", *few, f"out={tmp_path}"]
    done = shell("run", "-m", "plugin=sketch", *words)
    assert done.returncode == 0, done.stderr
    assert main(["sketch-table", f"runs={tmp_path}"]) == 0
    whole, bare, edges = read_json(tmp_path / "table.json")["rows"]
    assert (whole["changed"], bare["changed"], edges["changed"]) == (
        MOST,
        "sources=unet",
        "tuned edges",
    )
    assert whole["other"] != bare["other"]
