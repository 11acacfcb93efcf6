"""Ctrl-C: answered while a long call runs, acting when it ends; the second ends the process."""

import signal
import subprocess
import sys
import time
from textwrap import dedent

import pytest
from interrupts import hear

from featurekit.core.interrupts import (
    ANSWER,
    INTERRUPTED,
    Terminated,
    answered,
    tells_how_to_go_on,
    terminable,
)

# hashing leaves Python for as long as it lasts and lets other threads run, as a network's call does
WORK = """
    import hashlib
    from featurekit.core.interrupts import answered
    with answered():
        print("began", flush=True)
        try:
            for _ in range(100):
                hashlib.pbkdf2_hmac("sha256", b"", b"", {rounds})
        except KeyboardInterrupt:
            print("stopped", flush=True)
            raise SystemExit(7)
"""
SHORT, ENDLESS = 10**5, 2**31 - 1  # rounds: a tenth of a second, half an hour


@pytest.fixture
def child():
    """Start Python in calls of so many rounds."""
    started = []

    def start(rounds, before=hear):
        process = subprocess.Popen(
            [sys.executable, "-c", dedent(WORK).format(rounds=rounds)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "began\n"
        time.sleep(0.2)  # into the first call
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_first_is_answered_while_the_call_runs_and_the_second_ends_it(child):
    process = child(ENDLESS)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == f"{ANSWER}\n"
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == INTERRUPTED
    assert process.stdout.read() == ""


def test_the_first_alone_stops_the_work_when_its_call_ends(child):
    process = child(SHORT)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 7
    assert (process.stdout.read(), process.stderr.read()) == ("stopped\n", f"{ANSWER}\n")


def test_where_sigint_is_ignored_it_stays_ignored(child):
    process = child(ENDLESS, before=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.kill()
    assert process.stderr.read() == ""


def test_afterwards_signals_are_handled_as_before():
    handler = signal.getsignal(signal.SIGINT)
    with answered():
        pass
    assert signal.getsignal(signal.SIGINT) is handler
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    assert before == -1


def test_an_interrupt_says_how_to_go_on_and_the_innermost_word_counts():
    with (
        pytest.raises(KeyboardInterrupt, match=r"^go on from 49$"),
        tells_how_to_go_on(lambda: "begin again"),
        tells_how_to_go_on(lambda: "go on from 49"),
    ):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt, match=r"^$"), tells_how_to_go_on(lambda: ""):
        raise KeyboardInterrupt


@pytest.fixture
def sigterm():
    """Set a handler of SIGTERM for a test."""
    before = signal.getsignal(signal.SIGTERM)
    yield lambda handler: signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGTERM, before)


def test_sigterm_ends_the_block_also_after_a_library_has_set_its_own(sigterm):
    sigterm(signal.SIG_DFL)
    with terminable() as again:
        sigterm(signal.SIG_IGN)
        again()
        with pytest.raises(Terminated, match=r"^$"):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_sigterm_is_told_from_ctrl_c_where_a_library_raises_its_own(sigterm):
    def library():
        try:
            signal.raise_signal(signal.SIGTERM)
        except Terminated:
            raise KeyboardInterrupt("go on") from None

    sigterm(signal.SIG_DFL)
    with pytest.raises(Terminated, match="go on"), terminable():
        library()
    with pytest.raises(KeyboardInterrupt) as raised, terminable():
        raise KeyboardInterrupt
    assert raised.type is KeyboardInterrupt


def test_a_handler_of_sigterm_that_is_there_stays(sigterm):
    heard = []
    sigterm(lambda number, frame: heard.append(number))
    with terminable() as again:
        signal.raise_signal(signal.SIGTERM)
        sigterm(signal.SIG_IGN)
        again()
        signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM, signal.SIGTERM]
