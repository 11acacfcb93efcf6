"""What is told of work that goes on: its stage, how far it is, how long it will take."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from featurekit.core.types import Progress
from featurekit_drag.engine.request import Stage
from featurekit_drag.session.worker import Worker

T = TypeVar("T")


@dataclass(frozen=True)
class Event:
    """How far a stage is."""

    stage: str
    done: int
    total: int  # 0 until it is known
    seconds_left: float | None  # of the stage, without pauses; None until it can be told


def gated(worker: Worker[T], tell: Callable[[Event], None]) -> Stage:
    """Make stages that pass a gate where they begin and whenever they report progress.

    Args:
        worker: whose gate.
        tell: told an event before each gate, in the worker's thread.
    """

    @contextmanager
    def stage(name: str) -> Iterator[Progress]:
        began, paused = time.perf_counter(), worker.paused_s

        def report(done: int, total: int) -> None:
            spent = time.perf_counter() - began - (worker.paused_s - paused)
            left = spent * (total - done) / done if done else None
            tell(Event(name, done, total, left))
            worker.gate()

        tell(Event(name, 0, 0, None))
        worker.gate()
        yield report

    return stage
