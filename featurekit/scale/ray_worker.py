"""The process that Ray starts on a device: it does a share and says how far it is."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeAlias

from featurekit.core.errors import FeatureKitError
from featurekit.core.sharding import Share
from featurekit.core.types import Progress

Work: TypeAlias = Callable[[Share, Progress], Any]
"""What a worker does: its share, and what is to be told how far it is."""


@dataclass(frozen=True)
class Outcome:
    """What a worker sends back: a user's mistake as its words, which every process can read."""

    result: Any = None
    error: str = ""  # name of its class; empty if there is none
    sentence: str = ""
    told: tuple[int, int] = (0, 0)  # how far it said at last that it is


class Worker:
    """What Ray makes an actor of; two threads, one that works and one that answers.

    One work comes after the other, and what the process has loaded for one is there for the next.
    """

    def __init__(self, folder: str) -> None:
        """Begin in the folder of the command, from which its paths count.

        Args:
            folder: of the command.
        """
        self._told = (0, 0)
        os.chdir(folder)

    def made_of(self) -> dict[str, str]:
        """Versions in this process."""
        return made_of()

    def told(self) -> tuple[int, int]:
        """How far the work is: done, of how much; (0, 0) before it says so, and after it."""
        return self._told

    def work(self, work: Work, share: Share) -> Outcome:
        """Do a share.

        Args:
            work: what to do.
            share: of it.

        Returns:
            What came of it.
        """
        try:
            return Outcome(work(share, self._tell), told=self._told)
        except FeatureKitError as error:
            return Outcome(None, type(error).__name__, str(error))
        finally:
            self._told = (0, 0)

    def _tell(self, done: int, total: int) -> None:
        self._told = (done, total)


def made_of() -> dict[str, str]:
    """Versions of what decides the bytes of a store, in this process."""
    return {name: version(name) for name in ("featurekit", "torch", "diffusers")}
