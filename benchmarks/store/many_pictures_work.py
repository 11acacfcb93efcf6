"""What ``many_pictures.py`` has done in processes of its own, whose memory is watched.

No command of its own: that script beside it starts it with a tar, a store, the number of Ray's
workers and whether features are the network's. It imports nothing that the work does not need.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.records.side_by_side import now, peak_mib, since
from featurekit import backbones
from featurekit.core.errors import ConfigError
from featurekit.core.sharding import Share
from featurekit.core.types import Progress
from featurekit.features.recipes import Recipe
from featurekit.images.io import load_image
from featurekit.images.packed import PictureFile, sha256_of_picture
from featurekit.scale.inputs import pictures_of
from featurekit.scale.ray_engine import Placing, placed
from featurekit.store.export import Reader, store_pictures
from featurekit.store.picture_reader import PictureReader
from featurekit.store.plan import Cost
from featurekit.store.records import FEATURES, Provenance, SampleRef

REDUCE = ("fp16",)
NETWORK, MEANS = "random network, mid at 261", "means of pixels"


class Means:
    """Stands in for the network: means of 8 x 8 pixels, as one tap at one timestep."""

    kind, batch, cost = FEATURES, 8, Cost(0, batch=8)

    def shapes(self, size: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """What is stored of a picture."""
        return {"means/0": (3, size[0] // 8, size[1] // 8)}

    def ref(self, picture: PictureFile, size: tuple[int, ...] | None = None) -> SampleRef:
        """A picture, decoded where its size is not known."""
        found = size or tuple(load_image(picture).shape[2:])
        return SampleRef(picture.name, sha256_of_picture(picture), found, file=picture)

    def __call__(self, refs: Sequence[SampleRef]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        """Read pictures one by one."""
        for ref in refs:
            if ref.file is None:
                raise ConfigError(f"a picture must have a file, got none for {ref.id!r}")
            yield ref.id, {"means/0": functional.avg_pool2d(load_image(ref.file), 8)[0]}

    def provenance(self) -> Provenance:
        """What makes them."""
        return Provenance(backbone="means", weights="none", taps={"means": "none"}, timesteps=(0,))

    def timed(self, ref: SampleRef) -> Cost:
        """Nothing to measure."""
        return self.cost


def main(tar: str, store: str, workers: str, features: str) -> None:
    """Do the work, and print what was seen as JSON."""
    torch.set_num_threads(1)
    network = features == NETWORK
    if workers == "0":
        print(json.dumps(alone(Path(tar), Path(store), network)))
    else:
        print(json.dumps(by_ray(Path(tar), Path(store), network, int(workers))))


def reader_of(network: bool) -> Reader:
    """What reads a picture."""
    if not network:
        return Means()
    backbone = backbones.load("random", device="cpu")
    return PictureReader(backbone, Recipe(("mid",), (261,)), batch=32)


def alone(tar: Path, store: Path, network: bool) -> list[float]:
    """Bring a tar into a store; seconds, processor seconds and most memory in MiB."""
    reader, start = reader_of(network), now()
    store_pictures(store, pictures_of(str(tar)).pictures, reader=reader, reduce=REDUCE)
    return [*since(start), peak_mib()]


def by_ray(tar: Path, store: Path, network: bool, workers: int) -> list[object]:
    """Let workers bring a tar into a store; most memory of the driver, memory and work of each."""
    seen = placed(partial(share_of, tar, store, network), Placing(workers, "cpu"))
    return [peak_mib(), *seen]


def share_of(
    tar: Path, store: Path, network: bool, share: Share, progress: Progress
) -> tuple[float, float]:
    """Bring a share into a store; most memory in MiB and processor seconds of this worker."""
    torch.set_num_threads(1)
    files, start = pictures_of(str(tar)).pictures, now()
    store_pictures(
        store, files, reader=reader_of(network), reduce=REDUCE, share=share, progress=progress
    )
    return peak_mib(), since(start).cpu


if __name__ == "__main__":
    main(*sys.argv[1:])
