"""The stages of long work: timed, shown as bars on a terminal, told in lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from featurekit.core.types import Progress, Say, silent, unsaid

LINE_SECONDS = 60.0  # between the lines of one stage, where there is no terminal

Stage: TypeAlias = Callable[[str], AbstractContextManager[Progress]]
"""By its name, a stage: what is to be told how far it is."""


@dataclass(frozen=True)
class Stages:
    """What work shows itself by: its stages, and lines between them."""

    stage: Stage
    say: Say  # a line for a person, above the bars of a terminal

    def __call__(self, name: str) -> AbstractContextManager[Progress]:
        """Begin a stage."""
        return self.stage(name)


def lasting(seconds: float) -> str:
    """Word a duration for a person: ``3.2 s``, ``4 min``, ``2.5 h``."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


@contextmanager
def unseen(name: str) -> Iterator[Progress]:
    """A stage that nobody looks at, such as a worker's."""
    yield silent


@contextmanager
def timed_stages(
    record: dict[str, Any],
    *,
    heard: Progress = silent,
    say: Say = unsaid,
    keep: Callable[[], object] = lambda: None,
) -> Iterator[Stages]:
    """Give the factory of stages; on a terminal each shows a bar with the time that is left.

    Args:
        record: gets ``stage``, the name of the one that runs or has failed, else None; and in
            ``stages`` the name and the seconds of each as it ends.
        heard: told ``(0, 1)`` as each stage begins, and what a stage reports.
        say: where there is no terminal, told a line as each stage begins and ends, one a minute
            of a long stage, and what is said between them.
        keep: called as each stage begins, to keep the record.
    """
    console = Console(stderr=True)
    terminal = console.is_terminal
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    finished: list[dict[str, Any]] = record.setdefault("stages", [])
    with Bars(*columns, console=console, disable=not terminal) as bars:

        @contextmanager
        def stage(name: str) -> Iterator[Progress]:
            bar, lines = bars.add_task(name, total=None), _Lines(name, unsaid if terminal else say)

            def report(done: int, total: int) -> None:
                bars.update(bar, completed=done, total=total)
                lines.report(done, total)
                heard(done, total)

            record["stage"] = name
            keep()
            try:
                heard(0, 1)
                yield report
                record["stage"] = None
                lines.end()
            finally:
                finished.append({"name": name, "seconds": round(lines.seconds, 3)})
                whole = bars.tasks[bar].total or 1
                bars.update(bar, completed=whole, total=whole)

        yield Stages(stage, (lambda line: console.print(Text(line))) if terminal else say)


class _Lines:
    """The lines of one stage where there is no terminal."""

    def __init__(self, name: str, say: Say) -> None:
        self._name, self._say = name, say
        self._began = self._told = time.perf_counter()
        say(f"{name} ...")

    @property
    def seconds(self) -> float:
        """Since the stage began."""
        return time.perf_counter() - self._began

    def report(self, done: int, total: int) -> None:
        """Tell now and then how far the stage is."""
        now = time.perf_counter()
        if now - self._told < LINE_SECONDS or not 0 < done <= total:
            return
        self._told = now
        left = self.seconds * (total - done) / done
        self._say(f"{self._name}: {done} of {total}, about {lasting(left)} left")

    def end(self) -> None:
        """Tell how long it took."""
        self._say(f"{self._name}: {lasting(self.seconds)}")
