"""The queue of long work: one job at a time, the others told their place; each can be stopped."""

import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from featurekit.core.errors import ConfigError, FeatureKitError, UnknownNameError
from featurekit.core.json_files import read_json, write_json
from featurekit.web.asked import Asked
from featurekit.web.framing import dump
from featurekit.web.jobs import (
    DONE,
    ENDED,
    FAILED,
    RUNNING,
    STOPPED,
    WAITING,
    Job,
    Tell,
    Working,
)
from featurekit.web.tab import JobCall

LOG = logging.getLogger("featurekit.studio")
MOST_WAITING, REMEMBERED = 16, 40
PATIENCE_S = 5.0  # that a job has to stop in when the studio ends
OURS = "this is a mistake of ours, {}; the studio's terminal says where"
CUT = "the studio ended before this did; start it again"


class QueueFullError(FeatureKitError, RuntimeError):
    """More work waits than anybody could want."""


class JobQueue:
    """Runs jobs in a thread of its own, in the order they came."""

    def __init__(self, file: Path, tell: Tell, show: Callable[[Any], str]) -> None:
        """Take up what an earlier server noted of its jobs.

        Args:
            file: where jobs are noted; its folder exists.
            tell: publishes an event.
            show: keeps a picture for a while and gives its address.
        """
        self._file, self._tell, self._show = file, tell, show
        self._changed = threading.Condition()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._calls: dict[str, tuple[JobCall, Asked]] = {}
        self._ends = False
        self._thread: threading.Thread | None = None
        self._read()

    def submit(self, tab: str, name: str, call: JobCall, asked: Asked) -> Job:
        """Put work at the end of the queue.

        Raises:
            QueueFullError: too much waits already.
        """
        with self._changed:
            if len(self._calls) >= MOST_WAITING:
                raise QueueFullError(
                    f"at most {MOST_WAITING} jobs may wait, and so many do; stop one, or wait"
                )
            job = Job(secrets.token_hex(8), tab, name)
            self._jobs[job.id] = job
            self._calls[job.id] = (call, asked)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="studio jobs", daemon=True)
                self._thread.start()
            self._note()
            self._changed.notify_all()
        return job

    def stop(self, key: str) -> Job:
        """Take a job out of the queue, or end it at its next step.

        Raises:
            UnknownNameError: there is no such job.
        """
        with self._changed:
            if key not in self._jobs:
                raise UnknownNameError("job", key[:40], ())
            job = self._jobs[key]
            job.stop.set()
            if self._calls.pop(key, None):  # it never began
                job.status, job.place = STOPPED, 0
                self._tell("job", {"job": job.told})
            self._note()
            return job

    def close(self) -> None:
        """End what runs at its next step, and forget what waits."""
        with self._changed:
            self._ends = True
            for job in self._jobs.values():
                if job.status not in ENDED:
                    job.stop.set()
            self._calls.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    @property
    def told(self) -> list[dict[str, Any]]:
        """What the page is told: every job that is remembered, the latest first."""
        with self._changed:
            return [job.told for job in self._jobs.values()][::-1]

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._calls and not self._ends:
                    self._changed.wait()
                if self._ends:
                    return
                key = next(iter(self._calls))
                call, asked = self._calls.pop(key)
                job = self._jobs[key]
                job.status, job.place = RUNNING, 0
                self._note()
            self._tell("job", {"job": job.told})
            self._work(job, call, asked)
            with self._changed:
                self._note()

    def _work(self, job: Job, call: JobCall, asked: Asked) -> None:
        """Run a job to whatever end it has."""
        status = FAILED
        try:
            found = call(asked, Working(job, self._tell, self._show))
            dump({"result": found})  # a result that is no JSON is a mistake of ours, told as such
            job.result, status = found, DONE
        except KeyboardInterrupt:
            status = STOPPED
        except FeatureKitError as error:
            job.line = " ".join(str(error).split())
        except MemoryError:
            job.line = "there was not enough memory for this; use a smaller picture"
        except Exception as error:
            LOG.exception("the job %s of %s failed", job.name, job.tab)
            job.line = OURS.format(f"{type(error).__name__}: {error}")
        job.status = status
        self._tell("job", {"job": job.told})

    def _note(self) -> None:
        """Tell those that wait their places, forget the oldest, and write down the rest."""
        for place, key in enumerate(self._calls, start=1):
            job = self._jobs[key]
            if job.place != place:
                job.place = place
                self._tell("job", {"job": job.told})
        for key in [one for one, job in self._jobs.items() if job.status in ENDED]:
            if len(self._jobs) <= REMEMBERED:
                break
            del self._jobs[key]
        try:
            write_json({"jobs": [job.told for job in self._jobs.values()]}, self._file)
        except FeatureKitError as error:  # a full disk must not end the queue
            LOG.warning("jobs could not be noted: %s", error)

    def _read(self) -> None:
        try:
            listed = read_json(self._file).get("jobs")
        except ConfigError:
            return
        names = {one.name for one in fields(Job)} - {"stop"}
        for entry in listed if isinstance(listed, list) else ():
            if isinstance(entry, dict) and entry.keys() == names:
                job = Job(**entry)
                if job.status in (WAITING, RUNNING):
                    job.status, job.line, job.place = FAILED, CUT, 0
                self._jobs[job.id] = job
