"""The other process of doctor: it tells before it tries, so that its death leaves the cause."""

import json
import sys

import pytest

from featurekit.cli.doctor import probing
from featurekit.cli.doctor import report as doctor
from featurekit.pipeline.registry import import_fault


def test_a_module_that_imports_has_no_fault():
    assert import_fault("json") is None


def test_a_module_that_raises_or_leaves_has_one(tmp_path, monkeypatch):
    (tmp_path / "fk_torn.py").write_text("raise SystemExit('no licence')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert import_fault("fk_torn") == "SystemExit: no licence"
    assert import_fault("fk_nowhere") == "ModuleNotFoundError: No module named 'fk_nowhere'"


def test_answers_are_lines_of_json_each_announced(capsys, monkeypatch):
    monkeypatch.setattr(probing, "plugin_fault", lambda name: None)
    assert probing.main(["json", "fk_nowhere"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[:3] == [["begun", "json"], ["import", "json", None], ["begun", "fk_nowhere"]]
    assert ["plugin", "drag", None] in lines
    assert "devices" not in {line[0] for line in lines}


def test_a_plugin_is_unsound_where_its_target_does_not_import(third_party):
    package = third_party()
    (package / "pipeline.py").write_text("raise ValueError('torn')\n")
    assert probing.plugin_fault("blur") == (
        "importing the target of plugin 'blur' raised ValueError: torn"
    )
    (package / "pipeline.py").unlink()
    sys.modules.pop(f"{package.name}.pipeline", None)
    assert "the target of plugin 'blur'" in (probing.plugin_fault("blur") or "")


def test_an_answer_that_raises_does_not_hide_the_others(monkeypatch):
    def refuse():
        raise RuntimeError("driver too old")

    monkeypatch.setattr(probing, "_cuda_names", refuse)
    found = probing.devices()
    assert found["cuda_error"] == "RuntimeError: driver too old"
    assert found["threads"] >= 1


def test_the_import_that_killed_it_is_known(tmp_path, monkeypatch):
    (tmp_path / "fk_fatal.py").write_text("import os\nos._exit(11)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    answers = doctor.probe(["json", "fk_fatal", "csv"])
    assert dict(answers.imports) == {"json": None}
    assert answers.fatal == "fk_fatal ended Python with code 11 (nothing said)"


@pytest.mark.parametrize("noise", ["hello", "3", "[]", '"word"', "{}"])
def test_what_others_write_is_skipped(noise):
    answers = doctor._answers(f'{noise}\n["import", "json", null]\n', "")
    assert dict(answers.imports) == {"json": None}
