"""A warm process whose forked children write stores and are killed; says as JSON what came of it.

``python store_children.py FOLDER MOMENTS`` leaves the stores in the folder. A process of its own,
because a test runner has threads, which do not go through a fork.
"""

import gc
import json
import os
import random
import resource
import signal
import sys
import time
from functools import partial
from pathlib import Path

from fake_features import MADE, contents, read, refs

from featurekit.core.errors import OutputError
from featurekit.core.sharding import Share
from featurekit.store.records import HEADER, Layout, StoreSpec
from featurekit.store.upkeep import stat_store, verify_store
from featurekit.store.write import write_store

LAYOUT = Layout(samples=3, groups=4)
SPEC = StoreSpec(MADE, ("pool:2", "pca:3", "int8"), LAYOUT)
SAMPLES = [*refs(18), *refs(5, size=(64, 32), start=100)]


def logging(log):
    """Reader that notes each shard it is asked for; what a recipe is fitted to is no shard."""

    def noting(asked):
        if len(asked) <= LAYOUT.samples and asked[0].size == asked[-1].size and log:
            with log.open("a") as stream:
                stream.write(asked[0].id + "\n")
        yield from read(asked)

    return noting


def write(folder, share=Share(), log=None):  # noqa: B008 - frozen
    return write_store(folder, SAMPLES, read=logging(log), spec=SPEC, share=share)


def fork(work):
    process = os.fork()
    if not process:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return process


def ended(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def together(folder, shares):
    """Several workers at once; their exit codes."""
    return [ended(process) for process in [fork(partial(write, folder, share)) for share in shares]]


def killing(root, moments):
    """Kill writers at random moments, let others go on, until it was done as often as asked."""
    undisturbed, draw = contents(root / "one"), random.Random(0)
    start = time.monotonic()
    write(root / "timed")
    whole_s = time.monotonic() - start
    done, damages, redone, differing, loose = 0, [], [], [], []
    while done < moments:
        folder, log = root / f"killed {done}", root / f"reads {done}"
        shares = [Share(0, 2), Share(1, 2)] if done % 3 == 0 else [Share()]
        stopped, left = 0, 1.0
        while left > 0.2:
            processes = [fork(partial(write, folder, share, log)) for share in shares]
            time.sleep(draw.uniform(0, whole_s * left))
            for process in processes:
                os.kill(process, signal.SIGKILL)  # one that has ended still waits to be asked for
            hit = sum(ended(process) == -signal.SIGKILL for process in processes)
            done, stopped = done + (hit > 0), stopped + hit
            whole_s *= 1.1 if hit else 0.7  # so that most moments hit, whatever else is running
            if (folder / HEADER).exists():
                found = verify_store(folder)
                damages += [str(one) for one in found if not one.loose]
                loose.append((len([one for one in found if one.loose]), len(shares)))
                left = 1 - stat_store(folder).samples / len(SAMPLES)
        write(folder, log=log)
        reads = log.read_text().splitlines()
        redone.append((len(reads) - stat_store(folder).shards, stopped))
        if contents(folder) != undisturbed:
            differing.append(folder.name)
    return {
        "moments": done, "damages": damages, "redone": redone, "differing": differing,
        "loose": loose,
    }  # fmt: skip


def filling(folder, report):
    """Run into a limit on file sizes in the middle of a shard, as if the disk were full."""
    done = []

    def limiting(asked):
        done.append(asked)
        if len(done) == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (700, resource.RLIM_INFINITY))
        yield from read(asked)

    try:
        write_store(folder, SAMPLES, read=limiting, spec=SPEC)
    except OutputError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        report.write_text(str(error))


def no_sync(descriptor):
    """Stand in for fsync: a killed process loses nothing that the system has taken from it."""


def main():
    os.fsync = no_sync
    gc.freeze()  # what was imported stays shared with the children
    root, moments = Path(sys.argv[1]), int(sys.argv[2])
    write(root / "one")
    codes = {count: together(root / str(count), [Share(i, count) for i in range(count)])
             for count in (2, 4)}  # fmt: skip
    codes["twice"] = together(root / "twice", [Share(), Share()])
    ended(fork(partial(filling, root / "full", root / "message")))
    report = {"codes": codes, **killing(root, moments)}
    (root / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main()
