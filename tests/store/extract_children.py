"""A warm process whose forked children extract pictures into stores, each a worker by its words.

``python extract_children.py ALBUM FOLDER 1 2 4`` leaves the stores ``1``, ``2`` and ``4`` in the
folder, by the number of processes. A process of its own, because a test runner has threads, which
do not go through a fork.
"""

import gc
import os
import sys

from featurekit import backbones
from featurekit.cli.router import main

BACKBONE = backbones.load("random", device="cpu")


def loaded(*asked, **words):
    """The one that is there: to build it anew would be most of the time."""
    return BACKBONE


def no_sync(descriptor):
    """Stand in for fsync: no process is killed here."""


def fork(words):
    process = os.fork()
    if not process:
        code = 99
        try:
            code = main(["extract", *words])
        finally:
            os._exit(code)
    return process


def together(words, count):
    """As many workers at once; the last one takes its share from the launcher's variables."""
    processes = []
    for index in reversed(range(count)):
        if index == count - 1:
            os.environ |= {"RANK": str(index), "WORLD_SIZE": str(count)}
            processes.append(fork(words))
            del os.environ["RANK"], os.environ["WORLD_SIZE"]
        else:
            processes.append(fork([*words, f"shard={index}/{count}"]))
    return [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]


if __name__ == "__main__":
    backbones.load, os.fsync = loaded, no_sync
    gc.freeze()  # what was imported stays shared with the children
    album, folder, *counts = sys.argv[1:]
    common = [
        *(f"image={album}", "backbone=random", "batch=2", "timesteps=[261]"),
        *("taps=[mid,up1.attention0.block0]", "reduce=[pool:2,pca:3,int8]"),
    ]
    codes = [together([*common, f"store={folder}/{count}"], int(count)) for count in counts]
    sys.exit(any(code for some in codes for code in some))
