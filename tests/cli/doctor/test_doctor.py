"""featurekit doctor: what it says of sound and of broken environments; it always starts."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from featurekit.cli.doctor import report as doctor
from featurekit.cli.doctor.report import FAIL, NOTE, OK, WARN, Answers
from featurekit.cli.doctor.requirements import Requirement, requirements
from featurekit.cli.router import main

MODULES = ("torch", "torchvision", "diffusers", "einops", "hydra", "PIL")
SOUND = Answers(
    imports=dict.fromkeys(MODULES),
    plugins={"drag": None, "sketch": None},
    devices={"threads": 2, "built_for_cuda": False, "cuda": [], "cuda_bf16": False, "mps": False},
)
NMS = "RuntimeError: operator torchvision::nms does not exist"


def states(findings):
    return {one.what: one.state for one in findings}


def only(findings, what):
    (one,) = (one for one in findings if one.what == what)
    return one


@pytest.fixture
def versions(monkeypatch):
    """Pretend that packages have other versions, or are missing."""
    real = doctor.installed

    def pretend(**found):
        monkeypatch.setattr(
            doctor, "installed", lambda name: found[name] if name in found else real(name)
        )

    return pretend


@pytest.fixture
def probed(monkeypatch):
    """Pretend that the other process answered so."""

    def pretend(answers):
        monkeypatch.setattr(doctor, "probe", lambda modules: answers)

    return pretend


def test_a_sound_environment_is_all_ok_and_exit_code_zero(probed, capsys, tmp_path):
    probed(SOUND)
    assert main(["doctor", f"out={tmp_path / 'not' / 'yet'}"]) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title.split() == ["what", "found", "to", "do"]
    assert {line.split()[0] for line in lines} == {"ok"}
    whats = {line.split()[1] for line in lines}
    assert {"python", "torch", "torchvision", "cpu", "cuda", "[dev]", "plugin", "runs"} <= whats
    assert not (tmp_path / "not").exists()


def test_one_failure_is_exit_code_two_and_says_what_to_do(probed, capsys, tmp_path):
    probed(replace(SOUND, imports={**SOUND.imports, "einops": "ImportError: torn"}))
    assert main(["doctor", f"out={tmp_path}"]) == 2
    lines = capsys.readouterr().out.splitlines()
    (failed,) = (line for line in lines if line.startswith("fail"))
    assert re.match(r"fail +einops +[\d.]+, but ImportError: torn +pip install 'einops>=", failed)


def test_a_pair_of_torch_and_torchvision_that_do_not_fit_is_explained(probed, tmp_path):
    faults = {"torchvision": NMS, "diffusers": f"RuntimeError: Failed to import ...\n{NMS}"}
    probed(replace(SOUND, imports={**SOUND.imports, **faults}))
    findings = doctor.examine(tmp_path)
    for what in ("torchvision", "diffusers"):
        one = only(findings, what)
        assert one.state == FAIL
        assert "torchvision::nms" in one.found
        assert one.mend.startswith("the two were not built for each other; install both in one")


def test_a_torchvision_that_asks_for_another_torch_is_a_failure(versions, monkeypatch):
    versions(torch="2.13.0+cpu", torchvision="0.29.1")
    wanted = (Requirement("torch", "==2.14.1"),)
    monkeypatch.setattr(doctor, "requirements", lambda name: wanted)
    (one,) = doctor.check_pair(SOUND)
    assert one.state == FAIL
    assert one.found == "torch 2.13.0+cpu, torchvision 0.29.1, which needs torch ==2.14.1"


def test_a_missing_torchvision_is_a_failure(versions):
    versions(torchvision=None)
    (one,) = doctor.check_pair(SOUND)
    assert (one.state, one.mend) == (FAIL, "pip install torch torchvision, in one command")


def test_a_missing_and_an_old_package_are_failures_and_the_others_are_not(versions):
    versions(**{"einops": None, "diffusers": "0.30.1", "hydra-core": "1.4.0"})
    asked = requirements("featurekit")
    found = {one.what: one for one in doctor.check_packages(asked, SOUND)}
    failed = {what: one.found for what, one in found.items() if one.state == FAIL}
    assert failed == {
        "einops": "is missing, needs >=0.8",
        "diffusers": "0.30.1, needs >=0.42",
        "hydra-core": "1.4.0, needs <1.4,>=1.3.2",
    }
    assert found["einops"].mend == "pip install 'einops>=0.8'"


@pytest.mark.parametrize(("found", "state"), [("3.11.2+", OK), ("3.10.14", FAIL)])
def test_python_is_held_to_what_we_ask_for(monkeypatch, found, state):
    monkeypatch.setattr(doctor, "python_version", lambda: found)
    (one,) = doctor.check_python()
    assert (one.what, one.state) == ("python", state)


def test_what_killed_the_other_process_is_named(probed, tmp_path):
    probed(Answers(fatal="torch ended Python with code -11 (nothing said)"))
    findings = doctor.examine(tmp_path)
    assert only(findings, "imports").found == "torch ended Python with code -11 (nothing said)"
    assert only(findings, "devices").state == FAIL
    assert only(findings, "plugin drag").found.endswith("was not reached")


@pytest.mark.parametrize(
    ("told", "what", "state", "words"),
    [
        ({"cuda": ["A", "B"], "cuda_bf16": True}, "cuda", OK, "A, B; bfloat16"),
        ({"cuda": ["A"], "cuda_bf16": False}, "cuda", OK, "A; float16, no bfloat16"),
        ({"built_for_cuda": True}, "cuda", NOTE, "none found, though this torch is built for it"),
        ({"built_for_cuda": False}, "cuda", OK, "none; this torch is built without it"),
        ({"cuda_error": "RuntimeError: driver"}, "cuda", WARN, "RuntimeError: driver"),
        ({"mps": True}, "mps", OK, "there; auto takes the CPU, device=mps takes it"),
    ],
)
def test_devices_are_told_with_their_numbers(told, what, state, words):
    findings = list(doctor.check_devices(replace(SOUND, devices={**SOUND.devices, **told})))
    one = only(findings, what)
    assert (one.state, one.found) == (state, words)
    assert only(findings, "cpu").state == OK


def test_a_broken_plugin_is_a_warning_with_its_owner_and_cause(third_party):
    third_party("torn", owner="ragged")
    faults = {**SOUND.plugins, "torn": "plugin 'torn' must import, but it did not"}
    findings = list(doctor.check_plugins(replace(SOUND, plugins=faults)))
    assert states(findings)["plugin drag"] == OK
    one = only(findings, "plugin torn")
    assert (one.state, one.found) == (WARN, f"ragged 0.3: {faults['torn']}")
    assert one.mend == "update or uninstall ragged; other plugins work"


def test_an_extra_may_be_missing_but_not_too_old(versions):
    asked = (Requirement("ruff", ">=0.14", "dev"), Requirement("mypy", ">=1.18", "dev"))
    versions(ruff=None, mypy="1.19")
    (one,) = doctor.check_extras(asked)
    assert (one.state, one.found, one.mend) == (
        OK, "not installed: ruff", "pip install 'featurekit[dev]'",
    )  # fmt: skip
    versions(ruff=None, mypy="1.2")
    (one,) = doctor.check_extras(asked)
    assert (one.state, one.found) == (WARN, "mypy 1.2, needs >=1.18")


def test_a_folder_that_cannot_be_written_is_a_failure(tmp_path):
    (tmp_path / "file").touch()
    (one,) = doctor.check_folder(tmp_path / "file" / "runs")
    assert one.state == FAIL
    assert "results must be writable" in one.found


def test_a_place_where_nothing_can_be_made_is_not_told_to_make_its_folder():
    (one,) = doctor.check_folder(Path("/proc/x"))
    assert one.state == FAIL
    assert "nothing can be made there; choose another place" in one.found


def test_a_full_disk_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "NEEDED_BYTES", 1 << 62)
    (one,) = doctor.check_folder(tmp_path)
    assert (one.state, one.mend) == (WARN, "free some space")


def test_a_weight_file_that_is_torn_is_a_failure(monkeypatch):
    faults = {"embedded/unet.safetensors": "has 10 bytes and should have 20", "vae": None}
    monkeypatch.setattr(doctor, "weight_faults", lambda: faults)
    first, second = doctor.check_weights()
    assert (first.state, second.state) == (FAIL, OK)
    assert first.mend == "install featurekit anew, from its wheel"


@pytest.mark.parametrize("word", ["now", "out=", "folder=runs"])
def test_another_word_is_refused(word, capfd):
    assert main(["doctor", word]) == 2
    assert f"featurekit doctor takes out=FOLDER, got {word!r}" in capfd.readouterr().err


@pytest.mark.parametrize("missing", ["packaging", "rich"])
def test_what_it_needs_itself_is_named_in_one_sentence(missing, tmp_path):
    code = f"""if True:
        import sys
        sys.modules[{missing!r}] = None
        from featurekit.cli.router import main
        sys.exit(main(["doctor"]))
    """
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert f"ModuleNotFoundError: No module named '{missing}" in done.stderr


def test_it_reports_where_torch_cannot_be_imported(tmp_path, monkeypatch):
    """In a real process, on whose path stands a torch that fails as a wrong pair does."""
    (tmp_path / "torch.py").write_text(f"raise RuntimeError({NMS!r})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "featurekit", "doctor"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "")
    lines = {line.split()[1]: line for line in done.stdout.splitlines()[1:]}
    assert lines["torch"].startswith("fail")
    assert "the two were not built for each other" in lines["torch"]
    assert lines["devices"].startswith("fail")
    assert lines["python"].startswith("ok")
    assert lines["runs"].startswith("ok")
    assert lines["plugin"].startswith("warn")
    assert lines["embedded/unet/diffusion_pytorch_model.safetensors"].startswith("ok")
