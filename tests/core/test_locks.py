"""A folder held by one process at a time, and free again however that process ends."""

import os
import signal
import subprocess
import sys
from textwrap import dedent

import pytest

from featurekit.core.errors import OutputError
from featurekit.core.locks import LOCK, held, held_if_free, is_held

HOLDER = """
    import sys, time
    from pathlib import Path
    from featurekit.core.locks import held
    with held(Path(sys.argv[1])):
        sys.stdout.write("held\\n")
        sys.stdout.flush()
        time.sleep(60)
"""


def test_a_folder_that_another_process_holds_is_refused_until_that_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", dedent(HOLDER), tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match="must not be in use, but another process writes to"):
            held_if_free(tmp_path).__enter__()
        assert is_held(tmp_path)
        os.kill(process.pid, signal.SIGKILL)
    assert not is_held(tmp_path)
    with held_if_free(tmp_path):
        pass


def test_a_hold_ends_with_its_block_and_after_an_error(tmp_path):
    with held(tmp_path), pytest.raises(OutputError, match="in use"):
        held_if_free(tmp_path).__enter__()
    with pytest.raises(KeyError), held(tmp_path):
        raise KeyError
    with held_if_free(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_no_descriptor_is_left_open(tmp_path):
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208 - of the process itself
    for _ in range(3):
        with held(tmp_path), pytest.raises(OutputError, match="in use"):
            held_if_free(tmp_path).__enter__()
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(OutputError, match="No such file or directory; make its folder first"):
        held(tmp_path / "nowhere").__enter__()
