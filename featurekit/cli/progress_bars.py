"""How far long work is: a bar on a terminal, lines elsewhere; all of it on stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from featurekit.core.types import Progress
from featurekit.pipeline.stages import timed_stages


def say(line: str) -> None:
    """Write a line for a person to stderr; one that nobody can read is no reason to stop."""
    with suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """Show a bar on stderr where that is a terminal, a line at its ends elsewhere.

    Args:
        title: what is done.

    Yields:
        What is to be told how far it is.
    """
    with timed_stages({}, say=say) as stages, stages(title) as progress:
        yield progress
