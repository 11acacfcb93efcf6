"""One piece of long work: where it stands, and what the tab's side is given to say so."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from featurekit.core.types import Progress
from featurekit.web.tab import Work

PACE_S = 0.05  # between two reports of progress
WAITING, RUNNING, DONE, FAILED, STOPPED = "waiting", "running", "done", "failed", "stopped"
ENDED = (DONE, FAILED, STOPPED)

Tell = Callable[[str, Mapping[str, Any]], None]
Stage: TypeAlias = Callable[[str], AbstractContextManager[Progress]]


class Stopped(KeyboardInterrupt):
    """Somebody pressed stop: as Ctrl-C, it passes through a run and leaves its files whole."""


@dataclass
class Job:
    """Where a piece of long work stands."""

    id: str
    tab: str
    name: str
    status: str = WAITING
    place: int = 0  # in the queue; 1 is next
    stage: str = ""
    done: int = 0
    of: int = 0
    line: str = ""  # what a person reads
    result: Any = None  # JSON, once it is done
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def told(self) -> dict[str, Any]:
        """What the page is told of it."""
        return {name: value for name, value in vars(self).items() if name != "stop"}


class Working:
    """What a job is given as its ``Work``."""

    def __init__(self, job: Job, tell: Tell, show: Callable[[Any], str]) -> None:
        """Speak for a job.

        Args:
            job: whose state is kept.
            tell: publishes an event.
            show: keeps a picture for a while and gives its address.
        """
        self._job, self._tell, self._show = job, tell, show
        self._reported = 0.0

    @property
    def is_stopped(self) -> bool:
        """Whether somebody asked the job to stop."""
        return self._job.stop.is_set()

    def check(self) -> None:
        """Leave the job here if it is to stop.

        Raises:
            Stopped: it is.
        """
        if self.is_stopped:
            raise Stopped

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """Name what is done now; gives ``progress``."""
        self.check()
        self._job.stage, self._job.done, self._job.of = name, 0, 0
        self._report()
        yield self.progress
        self.check()

    def progress(self, done: int, of: int) -> None:
        """Say how far it is, and leave the job here if it is to stop."""
        self.check()
        self._job.done, self._job.of = int(done), int(of)
        if done >= of or time.monotonic() - self._reported > PACE_S:
            self._report()

    def say(self, line: str) -> None:
        """Tell the person a line."""
        self._job.line = " ".join(line.split())
        self._report()

    def picture(self, name: str, image: Any) -> str:  # noqa: ANN401 - a tensor or a Pillow image
        """Show how it looks now: (1 3 h w) in [-1, 1], or a Pillow image; gives its address."""
        address = self._show(image)
        self.tell({"name": name, "picture": address})
        return address

    def tell(self, values: Mapping[str, Any]) -> None:
        """Send numbers to the page."""
        self._tell("told", {"tab": self._job.tab, "job": self._job.id, "values": dict(values)})

    def _report(self) -> None:
        self._reported = time.monotonic()
        self._tell("job", {"job": self._job.told})


def both(stage: Stage, work: Work, worded: Callable[[str], str] = str) -> Stage:
    """Stages of a run that are those of the page's job, too.

    Args:
        stage: ``Job.stage`` of the run.
        work: of the page's job, which leaves the run where it is to stop.
        worded: how the page is told a stage's name.
    """

    @contextmanager
    def begun(name: str) -> Iterator[Progress]:
        with stage(name) as report, work.stage(worded(name)) as show:

            def progress(done: int, of: int) -> None:
                report(done, of)
                show(done, of)

            yield progress

    return begun
