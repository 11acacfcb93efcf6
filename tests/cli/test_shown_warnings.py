"""What a command warns of: our own as one sentence, those of others with their place."""

import os
import subprocess
import sys
import warnings
from textwrap import dedent

import pytest

from featurekit.cli.router import main

ODD = """
    import warnings
    from featurekit.core.errors import FeatureKitWarning

    def act(words):
        kind = {"ours": FeatureKitWarning, "theirs": UserWarning}[words[0]]
        warnings.warn("the picture is large,\\n  and takes long", kind)
        return 0
"""
PROGRAM = """
    from featurekit.cli import router
    router.COMMANDS["odd"] = router.Command("warns", "odd:act")
    raise SystemExit(router.main(["odd", {kind!r}]))
"""


@pytest.fixture
def said(tmp_path):
    (tmp_path / "odd.py").write_text(dedent(ODD))

    def run(kind):
        done = subprocess.run(
            [sys.executable, "-c", dedent(PROGRAM).format(kind=kind)],
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stderr

    return run


def test_a_warning_of_ours_is_its_sentence_alone(said):
    assert said("ours") == "featurekit: the picture is large, and takes long\n"


def test_a_warning_of_others_says_where_it_comes_from(said):
    assert "odd.py:7: UserWarning: the picture is large" in said("theirs")


def test_a_command_that_is_called_leaves_warnings_as_they_were(capsys):
    before = warnings.formatwarning
    assert main(["--version"]) == 0
    assert warnings.formatwarning is before
