"""Sweeps by Hydra's launchers of other packages: jobs in processes of their own."""

import json
from importlib.util import find_spec

import pytest

LAUNCHERS = {
    "joblib": ("joblib", ["hydra.launcher.n_jobs=2"]),
    "submitit_local": ("submitit", ["hydra.launcher.timeout_min=4"]),
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_sweep_goes_through_a_launcher_of_another_package(third_party, shell, tmp_path, launcher):
    package, words = LAUNCHERS[launcher]
    if find_spec(f"hydra_plugins.hydra_{package}_launcher") is None:
        pytest.skip(f"hydra-{package}-launcher is not installed")
    third_party()
    done = shell(
        *("run", "plugin=blur", "backbone=random", "plugin.radius=1,2", "out=all", "-m"),
        *(f"hydra/launcher={launcher}", *words),
    )
    assert done.returncode == 0, done.stderr
    records = [
        json.loads((tmp_path / "desk" / f"all/{job}_blur/run.json").read_text()) for job in (0, 1)
    ]
    assert [record["status"] for record in records] == ["done", "done"]
    assert [record["metrics"]["radius"] for record in records] == pytest.approx([0.1, 0.2])
