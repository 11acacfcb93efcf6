"""A driver of a cluster whose workers are killed, find the disk full or see the driver interrupted.

``python sketch_ray_children.py FOLDER EXTRACT... -- DISTIL...`` goes through everything with the
words of the two tasks, and leaves what came of it as ``report.json`` in the folder.
"""

import errno
import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import featurekit as fk
from featurekit.cli.router import main
from featurekit.core import atomic
from featurekit.core.errors import FeatureKitError
from featurekit.scale import ray_crew, ray_engine
from featurekit_sketch.distillation import pairs
from featurekit_sketch.tasks.teaching import sampled_share
from featurekit_sketch.tasks.train import run as target

SHARD = 1  # pairs in a file


class Hindered:
    """In place of an engine's workers: they do their work, and something each time one flushes."""

    def __init__(self, workers, before, sampling):
        self.workers, self.before, self.sampling = workers, before, sampling

    def __call__(self, work, progress):
        before = self.sampling if work is sampled_share else self.before
        return self.workers(partial(hindered, work, before), progress)

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


def interrupting(driver, mark, count):
    """Ctrl-C at the driver before the third file, and time in which it can end this worker."""
    if count == 3:
        mark.write_text(str(os.getpid()))
        os.kill(driver, signal.SIGINT)
        time.sleep(60)


def has_ended(mark, seconds=30):
    """Whether the process that a mark names is there no more."""
    for _ in range(20 * seconds):
        try:
            os.kill(int(mark.read_text()), 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def dying(mark, count):
    """The end of the process at its second file, the first time."""
    if count == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def full(count):
    """A disk that has no room for the second file."""
    if count == 2:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def hindered_target(before, sampling, job):
    """What the plugin does, with workers that are hindered."""
    object.__setattr__(job, "workers", Hindered(job.workers, before, sampling))
    return target(job)


def said_by(words, workers, before, sampling=None):
    """What a run with hindered workers ends with."""
    asked = fk.compose([*words, "engine=ray", f"workers={workers}"])
    try:
        fk.run(asked, target=partial(hindered_target, before, sampling))
    except (FeatureKitError, KeyboardInterrupt) as error:
        return [type(error).__name__, str(error)]
    return ["", ""]


def through_everything(root, extract, distil):
    pairs.SHARD = SHARD  # workers are told what lies in which file
    mark = root / "interrupted.mark"
    report = {"interrupted": said_by(extract, 1, partial(interrupting, os.getpid(), mark))}
    report["ended"] = has_ended(mark)
    report["kept"] = {one.name: one.stat().st_mtime_ns for one in (root / "stopped").glob("*.png")}
    report["dying"] = said_by(extract, 1, partial(dying, root / "sketching.mark"))
    crews = counted(ray_engine)
    report["full"] = said_by(distil, 1, full, partial(dying, root / "sampling.mark"))
    report["crews"], report["before"] = len(crews), files(root / "student_by_two" / "pairs")
    report["code"] = main(["run", *distil, "engine=ray", "workers=2"])
    (root / "report.json").write_text(json.dumps(report))


def counted(module):
    """Every crew that is started from now on."""
    crews = []

    class Counted(ray_crew.Crew):
        def __init__(self, *words):
            crews.append(self)
            super().__init__(*words)

    module.Crew = Counted
    return crews


def files(folder):
    return sorted(path.name for path in folder.iterdir())


if __name__ == "__main__":
    import sketch_ray_children as itself  # so that workers find these functions

    root, *words = sys.argv[1:]
    end = words.index("--")
    itself.through_everything(Path(root), words[:end], words[end + 1 :])
