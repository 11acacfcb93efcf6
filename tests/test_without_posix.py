"""Every module is imported where Python lacks what only POSIX has, as on Windows.

Only imports of our own are refused: other libraries choose by platform, psutil for one.
"""

import subprocess
import sys
from textwrap import dedent

POSIX = ["fcntl", "pwd", "grp", "resource", "termios"]
WALK = """
    import builtins, importlib, pkgutil, warnings

    own_import = builtins.__import__

    def guarded(name, globals=None, *rest, **words):
        asks = (globals or {{}}).get("__name__", "")
        if name.partition(".")[0] in {posix!r} and asks.startswith("featurekit"):
            raise ModuleNotFoundError(f"no module named {{name}} here, asked for by {{asks}}")
        return own_import(name, globals, *rest, **words)

    warnings.simplefilter("ignore")
    builtins.__import__ = guarded
    failed = {{}}
    seen = 0
    for top in ("featurekit", "featurekit_drag", "featurekit_sketch"):
        package = importlib.import_module(top)
        for found in pkgutil.walk_packages(package.__path__, top + "."):
            if found.name.endswith("__main__"):
                continue
            seen += 1
            try:
                importlib.import_module(found.name)
            except ImportError as error:
                failed[found.name] = str(error)
    assert seen > 150, seen
    assert not failed, failed
"""


def imported(posix):
    code = dedent(WALK).format(posix=posix)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )


def test_every_module_is_imported_without_what_only_posix_has():
    ran = imported(POSIX)
    assert ran.returncode == 0, ran.stderr[-2000:]


def test_the_walk_would_find_a_module_that_is_missing():
    ran = imported(["filelock"])
    assert ran.returncode
    assert "featurekit.core.locks" in ran.stderr
