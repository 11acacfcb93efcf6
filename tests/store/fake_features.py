"""A fake extractor for stores: small features that follow from a sample's id and seed alone."""

from hashlib import sha256

import torch

from featurekit.store.records import Layout, Provenance, SampleRef, StoreSpec

MADE = Provenance(
    backbone="fake",
    weights="0123abcd",
    taps={"up1": "up_blocks.1", "up2": "up_blocks.2"},
    timesteps=(261,),
    conditioning="feedbeef",
    preprocessing="reflect padding to 32 px",
    seeds="one noise a sample",
)
LAYOUT = Layout(samples=4, groups=4)
SPEC = StoreSpec(MADE, layout=LAYOUT)


def shapes(size):
    rows, columns = size
    return {
        "up1/261": (8, rows // 8, columns // 8),
        "up2/261": (4, rows // 4, columns // 4),
    }


def refs(count, size=(32, 48), start=0):
    names = [f"picture {number}.png" for number in range(start, start + count)]
    return [SampleRef(name, sha256(name.encode()).hexdigest(), size) for name in names]


def features(ref):
    seed = int(sha256(f"{ref.id} {ref.source} {ref.seed}".encode()).hexdigest()[:12], 16)
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator) for name, shape in shapes(ref.size).items()
    }


def read(asked):
    for ref in asked:
        yield ref.id, features(ref)


class CountingRead:
    """Remembers which samples each call asked for."""

    def __init__(self):
        self.calls = []

    def __call__(self, asked):
        self.calls.append([ref.id for ref in asked])
        yield from read(asked)


def contents(folder):
    """Every file of a store by its name, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
