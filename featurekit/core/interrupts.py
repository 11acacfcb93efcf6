"""Ctrl-C and SIGTERM: answered at once, and with a sentence on how to go on."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED, TERMINATED = 130, 143  # exit codes after Ctrl-C and SIGTERM, as shells have them
ANSWER = "stopping after this step ...; Ctrl-C again ends at once"
_SHOW_CURSOR = "\x1b[?25h"  # which bars hide


class Terminated(KeyboardInterrupt):
    """SIGTERM, as batch systems send it where time is up: it ends the work as Ctrl-C does."""


@contextmanager
def terminable() -> Iterator[Callable[[], None]]:
    """Let SIGTERM raise ``Terminated`` while the block runs; a handler that is there stays.

    Yields:
        What sets the handler again where a library has set its own. In other threads than the
        main one, which cannot, nothing is done.

    Raises:
        Terminated: SIGTERM came.
    """
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield lambda: None
        return
    heard: list[int] = []

    def terminate(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        raise Terminated

    handler = terminate if before is signal.SIG_DFL else before

    def again() -> None:
        signal.signal(signal.SIGTERM, handler)

    again()
    try:
        yield again
    except KeyboardInterrupt as interrupt:
        if not heard or isinstance(interrupt, Terminated):
            raise
        raise Terminated(*interrupt.args) from interrupt  # libraries raise their own, as Ray does
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def answered() -> Iterator[None]:
    """Answer Ctrl-C at once while the block runs, and end the process at the second one.

    Python raises ``KeyboardInterrupt`` only between two of its own instructions, hence after the
    call of the network that runs. A thread of its own says so meanwhile. Where SIGINT is ignored,
    as shells have it for jobs in the background, or has another handler, nothing is done.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    heard, told = socket.socketpair()
    told.setblocking(False)  # as set_wakeup_fd asks
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(heard,), daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        told.close()  # ends the listener
        listener.join()
        heard.close()


def _listen(heard: socket.socket) -> None:
    """Read the numbers of the signals that arrive: the first Ctrl-C is answered, the next ends."""
    count = 0
    while numbers := heard.recv(64):
        for _ in range(numbers.count(signal.SIGINT)):
            count += 1
            if count > 1:
                _say(_SHOW_CURSOR if sys.stderr.isatty() else "")
                os._exit(INTERRUPTED)
            _say(f"{ANSWER}\n")


def _say(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody listens any more
        return


@contextmanager
def tells_how_to_go_on(sentence: Callable[[], str]) -> Iterator[None]:
    """Give Ctrl-C in the block a text: how to go on. One that has a text already keeps it.

    Args:
        sentence: asked when it happens; empty says nothing.

    Raises:
        KeyboardInterrupt: with the text, for whoever ends the program.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        said = "" if interrupt.args else sentence()
        if not said:
            raise
        raise KeyboardInterrupt(said) from interrupt
