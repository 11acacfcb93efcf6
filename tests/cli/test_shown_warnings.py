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
        for number in words[1:] or ["0"]:
            with warnings.catch_warnings():  # forgets what was shown
                warnings.warn(f"the picture is large,\\n  and takes long{number.strip('0')}", kind)
        return 0
"""
PROGRAM = """
    from featurekit.cli import router
    router.COMMANDS["odd"] = router.Command("warns", "odd:act")
    raise SystemExit(router.main(["odd", *{kinds!r}]))
"""


@pytest.fixture
def said(tmp_path):
    (tmp_path / "odd.py").write_text(dedent(ODD))

    def run(*kinds):
        done = subprocess.run(
            [sys.executable, "-c", dedent(PROGRAM).format(kinds=kinds)],
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


def test_a_warning_of_ours_is_said_once_whoever_says_it_again(said):
    shown = said("ours", "0", "1", "0").splitlines()
    assert [line[-4:] for line in shown] == ["long", "ong1"]


def test_a_warning_of_others_says_where_it_comes_from(said):
    assert "odd.py:9: UserWarning: the picture is large" in said("theirs")
    assert said("theirs", "0", "0").count("UserWarning") == 2


def test_a_command_that_is_called_leaves_warnings_as_they_were(capsys):
    before = warnings.formatwarning, warnings.showwarning
    assert main(["--version"]) == 0
    assert (warnings.formatwarning, warnings.showwarning) == before
