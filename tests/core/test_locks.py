"""A folder held by one process at a time, and free again however that process ends."""

import errno
import os
import signal
import subprocess
import sys
import threading
from textwrap import dedent

import filelock
import pytest

from featurekit.core import locks
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

FORKING = """
    import os, sys, time
    from pathlib import Path
    from featurekit.core.locks import held
    with held(Path(sys.argv[1])):
        child = os.fork()
        if child:
            sys.stdout.write(f"{child}\\n")
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


def test_a_forked_child_that_lives_on_does_not_hold_the_folder(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", dedent(FORKING), tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        child = int(process.stdout.readline())
        try:
            assert is_held(tmp_path)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            os.kill(child, 0)  # it is there
            assert not is_held(tmp_path)
        finally:
            os.kill(child, signal.SIGKILL)


def test_who_waits_comes_when_the_other_is_done(tmp_path):
    came = threading.Event()

    def wait():
        with held(tmp_path):
            came.set()

    with held(tmp_path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not came.wait(0.3)
    waiting.join(10)
    assert came.is_set()


def test_waiting_for_oneself_is_an_error_and_no_wait_for_ever(tmp_path):
    with held(tmp_path), pytest.raises(RuntimeError, match="already held"):
        held(tmp_path).__enter__()


def test_asking_makes_nothing(tmp_path):
    assert not is_held(tmp_path)
    assert not is_held(tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_can_be_asked(tmp_path, monkeypatch):
    real = os.open

    def refuse(path, flags, *more, **named):
        if flags & (os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, *more, **named)

    with held(tmp_path), monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert is_held(tmp_path)
    monkeypatch.setattr(os, "open", refuse)
    assert not is_held(tmp_path)
    with pytest.raises(OutputError, match="Read-only file system; choose a folder that you may"):
        held(tmp_path).__enter__()


def test_others_who_ask_are_not_taken_for_a_holder(tmp_path):
    """Each of them holds the folder for a moment."""
    with held(tmp_path):
        pass
    answers, asked = [], threading.Barrier(2)

    def ask():
        asked.wait()
        answers.extend(is_held(tmp_path) for _ in range(200))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [False] * 400
    with held_if_free(tmp_path):
        pass


def test_it_imports_where_there_is_no_fcntl():
    code = "import sys; sys.modules['fcntl'] = None; import featurekit.core.locks"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_where_the_system_has_no_locks_that_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "FileLock", filelock.SoftFileLock)  # what it is without fcntl
    for hold in (held, held_if_free):
        with pytest.raises(OutputError, match=r"cannot ask for that .* without fcntl.*; use a Py"):
            hold(tmp_path).__enter__()
    assert list(tmp_path.iterdir()) == []
