"""The example of a third party's plugin: built, installed in a folder of its own, and run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from spoken import sentence

SOURCE = Path(__file__).parents[1] / "examples" / "plugin_heatmap"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Run Python with the example installed; nothing is fetched, nothing written beside it."""
    base = tmp_path_factory.mktemp("heatmap")
    shutil.copytree(SOURCE, base / "source")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    alone = ["--no-index", "--no-deps", "--no-build-isolation", "--target", base / "site"]
    subprocess.run([*pip, *alone, base / "source"], check=True, stdin=subprocess.DEVNULL)
    path = os.pathsep.join(filter(None, [str(base / "site"), os.environ.get("PYTHONPATH")]))

    def run(*words):
        return subprocess.run(
            [sys.executable, *words],
            cwd=base,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_example_is_as_short_as_is_promised():
    lines = [len(path.read_text().splitlines()) for path in SOURCE.rglob("*.py")]
    assert sorted(lines)[:-1] == [0]  # the package of the settings by backbone
    assert max(lines) <= 60


def test_the_example_has_settings_of_its_own_for_a_backbone(python):
    words = ("-m", "featurekit", "run", "plugin=heatmap", "--cfg", "job", "--package", "plugin")
    on = {
        name: python(*words, f"backbone={name}").stdout for name in ("embedded", "random", "sd15")
    }
    assert "timestep: 101\n" in on["embedded"]
    assert "timestep: 101\n" in on["random"]  # of its family
    assert "timestep: 261\n" in on["sd15"]  # the schema's
    assert "timestep: 5\n" in python(*words, "plugin.timestep=5").stdout


def test_the_example_is_listed_with_its_distribution(python):
    listed = python("-m", "featurekit", "plugins").stdout
    assert ["heatmap", "featurekit-heatmap", "0.1.0", "fk_heatmap:PLUGIN"] in [
        line.split() for line in listed.splitlines()
    ]


def test_the_example_runs_and_refuses_a_point_outside(python, tmp_path):
    words = ("-m", "featurekit", "run", "plugin=heatmap", "backbone=random", f"out={tmp_path}")
    done = python(*words)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["status"], record["outputs"]) == ("done", {"heat": "heat.png"})
    assert (tmp_path / "heat.png").is_file()
    refused = python(*words, "plugin.x=65")
    assert refused.returncode == 2
    assert sentence(refused.stderr).startswith(
        "featurekit: xy must lie inside the image of 64 x 64 px, got [65"
    )


def test_the_example_keeps_the_contract(python):
    code = """
        from featurekit.testing import check_plugin
        from fk_heatmap import PLUGIN
        import warnings
        warnings.simplefilter("error", FutureWarning)
        check_plugin(PLUGIN)
    """
    done = python("-c", dedent(code))
    assert done.returncode == 0, done.stderr
