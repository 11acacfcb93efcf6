"""A warm process whose forked children write stores at an address and are killed; says what came.

``python address_children.py ADDRESS FOLDER MOMENTS`` leaves the stores at the address and
``report.json`` in the folder; the moments are numbers of objects that are put. Only the children
reach the service: a connection does not go through a fork.
"""

import gc
import json
import os
import random
import signal
import sys
import threading
from functools import partial
from pathlib import Path

from fake_features import MADE, read, refs

from featurekit.core.sharding import Share
from featurekit.store.places.address import Address
from featurekit.store.places.place import place_at
from featurekit.store.records import Layout, StoreSpec
from featurekit.store.upkeep import stat_store, verify_store
from featurekit.store.write import write_store

SPEC = StoreSpec(MADE, ("pool:2", "pca:3", "int8"), Layout(samples=3, groups=2))
SAMPLES = [*refs(9), *refs(4, size=(64, 32), start=100)]


def write(url, share=Share(), log=None):  # noqa: B008 - frozen
    def noting(asked):
        if log and len(asked) <= SPEC.layout.samples and asked[0].size == asked[-1].size:
            with log.open("a") as stream:
                stream.write(asked[0].id + "\n")
        yield from read(asked)

    write_store(url, SAMPLES, read=noting, spec=SPEC, share=share)


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


def dying(work, at, when):
    """Work whose process is killed at an object that it puts: before, after or meanwhile."""
    puts, plain = [], Address.put

    def put(self, content):
        puts.append(self)
        here = len(puts) == at
        if here and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if here and when == "meanwhile":
            delay_s = random.Random(at).uniform(0, 0.02)
            threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
        plain(self, content)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)

    Address.put = put
    work()


def told(url, path):
    """What a process of its own finds at the address."""

    def tell():
        there = place_at(f"{url}/store.json").exists()
        found = verify_store(url) if there else ()
        loose = stat_store(url).loose if there else 0
        lost = [str(one) for one in found if not one.loose]
        path.write_text(json.dumps({"damages": lost, "loose": loose}))

    assert ended(fork(tell)) == 0
    return json.loads(path.read_text())


def killed(url, root, at, when):
    """Kill a writer at an object, look at what it left, let another go on."""
    log = root / f"reads {at} {when}"
    code = ended(fork(partial(dying, partial(write, url, log=log), at, when)))
    found = told(url, root / "told")
    code_after = ended(fork(partial(write, url, log=log)))
    reads = len(log.read_text().splitlines())
    return {"store": url, "codes": [code, code_after], "reads": reads, **found}


def main():
    gc.freeze()  # what was imported stays shared with the children
    url, root, *moments = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])
    codes = [ended(fork(partial(write, f"{url}/one")))]
    for name, shares in {"two": [Share(0, 2), Share(1, 2)], "twice": [Share(), Share()]}.items():
        running = [fork(partial(write, f"{url}/{name}", share)) for share in shares]
        codes += [ended(process) for process in running]
    found = [
        killed(f"{url}/{when}{at}", root, at, when)
        for at in moments
        for when in ("before", "meanwhile", "after")
    ]
    (root / "report.json").write_text(json.dumps({"codes": codes, "killed": found}))


if __name__ == "__main__":
    main()
