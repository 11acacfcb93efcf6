"""Start-up with many plugins: what ``featurekit plugins`` reads, and what it leaves alone."""

import json
import os
import subprocess
import sys
from textwrap import dedent

import pytest

COUNT = 50
BROKEN = 17


@pytest.fixture
def crowded(tmp_path):
    """Run code with fifty more distributions on the path, one of which cannot be imported."""
    for number in range(COUNT):
        name = f"crowd{number:02}"
        body = "raise RuntimeError('broken')" if number == BROKEN else "import torch"
        (tmp_path / f"fk_{name}.py").write_text(f"{body}\nPLUGIN = None\n")
        info = tmp_path / f"{name}-1.{number}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.{number}\n"
        )
        entry = f"[featurekit.plugins]\n{name} = fk_{name}:PLUGIN\n"
        (info / "entry_points.txt").write_text(entry)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))

    def run(code):
        child = subprocess.run(
            [sys.executable, "-c", dedent(code)],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert child.returncode == 0, child.stderr
        return child.stdout

    return run


def test_fifty_plugins_are_listed_and_none_of_them_is_imported(crowded):
    out = crowded("""
        import json, sys
        from featurekit.cli.router import main
        code = main(["plugins"])
        print(json.dumps([code, sorted(sys.modules)]))
    """)
    *listed, last = out.splitlines()
    code, modules = json.loads(last)
    assert code == 0
    assert sum(line.startswith("crowd") for line in listed) == COUNT
    packages = {name.partition(".")[0] for name in modules}
    assert not {name for name in packages if name.startswith(("fk_", "featurekit_"))}
    assert not packages & {"torch", "numpy", "PIL", "hydra", "omegaconf", "diffusers"}
    own = {name for name in modules if name.startswith("featurekit.")}
    rooms = ("cli", "core", "pipeline")
    files = (
        *("cli.plugins", "cli.router", "cli.tables", "pipeline.registry"),
        *("core.atomic", "core.errors", "core.interrupts"),
    )
    assert own == {f"featurekit.{one}" for one in rooms + files}


def test_a_run_imports_only_the_plugin_that_it_names(crowded):
    out = crowded(f"""
        import sys
        from featurekit.pipeline.config import compose
        compose(["plugin=drag"])
        print(sorted(name for name in sys.modules if name.startswith("fk_crowd")))
        from featurekit.core.errors import PluginError
        try:
            compose(["plugin=crowd{BROKEN}"])
        except PluginError as error:
            print(error)
        print("torch" in sys.modules)
    """)
    nothing, broken, torch = out.splitlines()
    assert (nothing, torch) == ("[]", "False")
    assert f"plugin 'crowd{BROKEN}' of crowd{BROKEN} 1.{BROKEN} must import" in broken
