"""Small features that follow from a sample's id, for stores without a model; workers import it."""

import errno
import os
import signal
import time
from functools import partial
from hashlib import sha256
from pathlib import Path

import torch

from featurekit.core.errors import ConfigError
from featurekit.store.records import Layout, Provenance, SampleRef, StoreSpec
from featurekit.store.write import write_store

MADE = Provenance(
    backbone="small",
    weights="0123abcd",
    taps={"up1": "up_blocks.1", "up2": "up_blocks.2"},
    timesteps=(261,),
)
SPEC = StoreSpec(MADE, ("pool:2", "fp16"), Layout(samples=3, groups=8))


def refs(count, size=(32, 48), start=0):
    names = [f"picture {number}.png" for number in range(start, start + count)]
    return [SampleRef(name, sha256(name.encode()).hexdigest(), size) for name in names]


def read(asked):
    for ref in asked:
        generator = torch.Generator().manual_seed(int(ref.source[:12], 16))
        rows, columns = ref.size
        yield (
            ref.id,
            {
                "up1/261": torch.randn(8, rows // 8, columns // 8, generator=generator),
                "up2/261": torch.randn(4, rows // 4, columns // 4, generator=generator),
            },
        )


def contents(folder):
    """Every file of a store but its locks, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


SAMPLES = [*refs(40), *refs(8, size=(64, 32), start=100)]


def stored(folder, share, progress):
    """What a worker does in the ordinary way."""
    return write_store(
        folder, SAMPLES, read=read, spec=SPEC, share=share, progress=progress
    ).samples


def slow(asked):
    time.sleep(0.3)
    yield from read(asked)


def stored_slowly(folder, share, progress):
    """As ``stored``, with time to be killed in."""
    return write_store(
        folder, SAMPLES, read=slow, spec=SPEC, share=share, progress=progress
    ).samples


def dying_at(mark, asked):
    """End the process the first time, in the middle of a shard."""
    for done, found in enumerate(read(asked)):
        if done == 1 and len(asked) == 3 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield found


def stored_dying(folder, share, progress):
    """As ``stored``, but the first worker that comes to its second sample is killed there."""
    mark = Path(f"{folder}.mark")
    return write_store(
        folder, SAMPLES, read=partial(dying_at, mark), spec=SPEC, share=share, progress=progress
    ).samples


def stored_on_full_disk(folder, share, progress):
    """As ``stored``, but after a few files the disk is full."""
    flush, left = os.fsync, [5]

    def fsync(file):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "shard")
        flush(file)

    os.fsync = fsync
    try:
        return stored(folder, share, progress)
    finally:
        os.fsync = flush


def refusing(share, progress):
    """A mistake of the user."""
    raise ConfigError(f"share {share} must not be asked for; this is a test")


def always_dying(share, progress):
    """A process that no memory is enough for."""
    os.kill(os.getpid(), signal.SIGKILL)
