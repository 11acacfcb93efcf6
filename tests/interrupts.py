"""Child processes that hear Ctrl-C, wherever the tests run."""

import signal


def hear() -> None:
    """Before a child begins: shells let background jobs, and so their children, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
