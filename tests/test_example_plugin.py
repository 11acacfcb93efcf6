"""The example of a third party's plugin: built, installed in a folder of its own, and run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

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
    (module,) = SOURCE.rglob("*.py")
    assert len(module.read_text().splitlines()) <= 60


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
    refused = python(*words, "plugin.x=64")
    assert refused.returncode == 2
    assert refused.stderr.startswith("featurekit: plugin.x and plugin.y must lie in 64x64 px, got")


def test_the_example_keeps_the_contract(python):
    code = """
        from featurekit.testing import check_plugin
        from fk_heatmap import PLUGIN
        check_plugin(PLUGIN)
    """
    done = python("-c", dedent(code))
    assert done.returncode == 0, done.stderr
