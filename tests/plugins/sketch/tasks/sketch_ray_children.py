"""A driver of a cluster whose workers work slowly, are killed or find the disk full, once each.

``python sketch_ray_children.py KIND WORDS...`` runs the words with workers that do what KIND says.
"""

import errno
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import featurekit as fk
from featurekit.core import atomic
from featurekit.core.errors import FeatureKitError
from featurekit_sketch.tasks.train import run as target


class Hindered:
    """In place of an engine's workers: they do their work, and something each time one flushes."""

    def __init__(self, workers, before):
        self.workers, self.before = workers, before

    def __call__(self, work, progress):
        return self.workers(partial(hindered, work, self.before), progress)

    def kept(self):
        return self.workers.kept()


def hindered(work, before, job, share, progress):
    """Do a share, with something before each file that is put in its place."""
    flush, flushed = os.fsync, []

    def fsync(file):
        flushed.append(file)
        before(len(flushed))
        flush(file)

    atomic.os.fsync = fsync
    try:
        return work(job, share, progress)
    finally:
        atomic.os.fsync = flush


def slow(count):
    """Time to be killed in."""
    time.sleep(0.3)


def dying(mark, count):
    """The end of the process at its second file, the first time."""
    if count == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def full(count):
    """A disk that has no room for the second file."""
    if count == 2:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def own_target(kind, job):
    """What the plugin does, with workers that are hindered."""
    befores = {"slow": slow, "full": full, "dying": partial(dying, Path(f"{job.out}.mark"))}
    object.__setattr__(job, "workers", Hindered(job.workers, befores[kind]))
    return target(job)


if __name__ == "__main__":
    import sketch_ray_children as itself  # so that workers find these functions

    kind, *words = sys.argv[1:]
    try:
        fk.run(fk.compose(words), target=partial(itself.own_target, kind))
    except KeyboardInterrupt as interrupt:
        sys.stderr.write(str(interrupt))
        sys.exit(130)
    except FeatureKitError as error:
        sys.exit(str(error))
