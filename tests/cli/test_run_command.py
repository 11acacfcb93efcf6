"""``featurekit run``: one job, sweeps, Hydra's own flags, Ctrl-C and a full disk as they happen."""

import json
import re
import resource
import signal
import subprocess
import sys
import time

import pytest
from interrupts import hear
from spoken import sentence

from featurekit.cli.router import main
from featurekit.core.interrupts import ANSWER

RUN = ["run", "plugin=blur", "backbone=random"]


@pytest.fixture
def desk(third_party, tmp_path, monkeypatch):
    """An empty folder to stand in, with the specimen plugin installed."""
    third_party()
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def files_of(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_run_leaves_its_results_and_nothing_of_hydras(desk, capsys):
    assert main([*RUN, "out=here"]) == 0
    assert files_of(desk) == ["here/run.json", "here/smear.png"]
    assert [path.name for path in desk.iterdir()] == ["here"]
    assert capsys.readouterr().out == "all went well\nsmeared; see here\n"


def test_a_run_that_names_no_plugin_leaves_no_folder(desk):
    assert main(["run", "seed=1"]) == 2
    assert not list(desk.iterdir())


def test_by_default_results_go_to_a_folder_of_plugin_and_time(desk):
    assert main(RUN) == 0
    first, second = files_of(desk)
    assert re.fullmatch(r"runs/blur/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d/run\.json", first)
    assert json.loads((desk / first).read_text())["config"]["out"] == first.removesuffix(
        "/run.json"
    )
    assert second.endswith("/smear.png")


def test_a_sweep_gives_each_job_a_folder_below_out(desk):
    assert main([*RUN, "plugin.radius=1,2", "out=all", "-m"]) == 0
    assert files_of(desk) == [
        "all/0_blur/run.json", "all/0_blur/smear.png",
        "all/1_blur/run.json", "all/1_blur/smear.png", "all/multirun.yaml",
    ]  # fmt: skip
    records = [json.loads((desk / f"all/{k}_blur/run.json").read_text()) for k in (0, 1)]
    assert [record["metrics"]["radius"] for record in records] == pytest.approx([0.1, 0.2])
    assert records[1]["config"]["out"] == "all/1_blur"


def test_a_sweep_without_out_goes_to_a_folder_of_its_own(desk):
    assert main([*RUN, "--multirun", "seed=1,2"]) == 0
    assert all(re.match(r"runs/sweep/\d{4}-", name) for name in files_of(desk))
    assert len(files_of(desk)) == 5


def test_a_preset_chooses_the_plugin(desk):
    assert main(["run", "experiment=blur_fast", "backbone=random", "out=x"]) == 0
    assert json.loads((desk / "x/run.json").read_text())["metrics"]["radius"] == pytest.approx(0.9)


def test_flags_may_stand_between_the_overrides_and_a_run_is_what_was_shown(desk, capsys):
    assert main([*RUN, "--cfg", "job", "seed=4", "--resolve", "out=o"]) == 0
    shown = capsys.readouterr().out
    assert "seed: 4\n" in shown
    assert files_of(desk) == []
    assert main([*RUN, "seed=4", "out=o"]) == 0
    recorded = json.loads((desk / "o/run.json").read_text())["config"]
    assert f"updates: {recorded['plugin']['updates']}\n" in shown


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--info", "searchpath"], "pkg://featurekit.conf"),
        (["--info=defaults"], "run_schema"),
        (["--info", "plugin=blur"], "name: blur"),
        (["-h"], "plugin: blur, "),
        (["--hydra-help"], "--multirun"),
    ],
)
def test_hydras_flags_are_kept(desk, capsys, caplog, words, text):
    assert main(["run", *words]) == 0
    assert text in capsys.readouterr().out + caplog.text  # pytest takes what Hydra logs


def test_a_broken_plugin_is_a_note_where_no_plugin_is_named(desk, third_party, capsys):
    third_party("torn", owner="ragged", spec="import no_such_module_anywhere")
    assert main(["run", "--cfg", "job"]) == 0
    assert capsys.readouterr().err.startswith("note: plugin 'torn' of ragged 0.3 must import")


def test_a_mistake_of_ours_keeps_its_traceback(desk):
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        main([*RUN, "task=crash", "out=x"])
    assert json.loads((desk / "x/run.json").read_text())["status"] == "failed"


def started(desk, *words, wait_for):
    child = subprocess.Popen(
        [sys.executable, "-m", "featurekit", *words],
        cwd=desk, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not wait_for.exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert wait_for.exists(), child.communicate()
    return child


def test_ctrl_c_in_the_work_ends_with_130_and_a_record(desk):
    child = started(desk, *RUN, "task=wait", "out=x", wait_for=desk / "x" / "waiting")
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, "")
    *_, answer, last = err.splitlines()
    assert answer == ANSWER
    assert last == (
        "featurekit: interrupted; it was in the stage 'wait'; the same command begins again"
    )
    record = json.loads((desk / "x/run.json").read_text())
    assert (record["status"], record["stage"]) == ("interrupted", "wait")
    assert files_of(desk / "x") == ["run.json", "waiting"]


def test_a_terminated_run_ends_as_an_interrupted_one_but_with_143(desk):
    child = started(desk, *RUN, "task=wait", "out=x", wait_for=desk / "x" / "waiting")
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (143, "")
    assert err.splitlines()[-1] == (
        "featurekit: terminated; it was in the stage 'wait'; the same command begins again"
    )
    assert json.loads((desk / "x/run.json").read_text())["status"] == "interrupted"


def test_ctrl_c_while_plugins_are_imported_ends_with_130(desk, third_party):
    package = third_party("slow", owner="sleepy", spec="import time")
    (package / "__init__.py").write_text(
        f"import pathlib, time\npathlib.Path({str(desk / 'began')!r}).touch()\ntime.sleep(60)\n"
    )
    child = started(desk, "run", "plugin=slow", wait_for=desk / "began")
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, "")
    assert err == f"{ANSWER}\nfeaturekit: interrupted\n"


def test_ctrl_c_that_a_half_imported_library_turns_into_its_own_error_ends_with_130(
    third_party, capsys
):
    package = third_party("slow", owner="sleepy")
    (package / "__init__.py").write_text(
        "try:\n    raise KeyboardInterrupt\nfinally:\n    None._invalidate_flags_cache()\n"
    )
    assert main(["run", "plugin=slow"]) == 130
    assert capsys.readouterr().err == "featurekit: interrupted\n"


def test_an_error_whose_causes_run_in_a_ring_is_still_one_sentence(third_party, capsys):
    package = third_party("ring", owner="loop")
    (package / "__init__.py").write_text(
        "from featurekit.core.errors import PluginError\n"
        "first, second = PluginError('one'), PluginError('two')\n"
        "first.__cause__, second.__cause__ = second, first\n"
        "raise first\n"
    )
    assert main(["run", "plugin=ring"]) == 2
    assert "one" in capsys.readouterr().err


def test_a_full_terminal_is_not_blamed_on_a_folder_and_leaves_the_results_whole(desk):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        result = subprocess.run(
            [sys.executable, "-m", "featurekit", *RUN, "out=x"],
            cwd=desk, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert result.returncode == 2
    said = sentence(result.stderr)
    assert re.fullmatch(r"featurekit: the terminal's output must be writable, .+\n", said)
    assert json.loads((desk / "x/run.json").read_text())["status"] == "done"


def test_a_full_disk_is_a_sentence_and_keeps_what_was_there(desk):
    (desk / "x").mkdir()
    (desk / "x" / "big.safetensors").write_text("earlier")
    result = subprocess.run(
        [sys.executable, "-m", "featurekit", *RUN, "task=fill", "out=x"],
        cwd=desk, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16)),
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (2, "")
    said = sentence(result.stderr)
    assert re.fullmatch(r"featurekit: .*big\.safetensors'.*too large.*\n", said)
    assert (desk / "x" / "big.safetensors").read_text() == "earlier"
    record = json.loads((desk / "x/run.json").read_text())
    assert record["status"] == "failed"
    assert "too large" in record["error"]
    assert files_of(desk / "x") == ["big.safetensors", "run.json"]
