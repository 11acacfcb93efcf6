"""Reading a store as torch data sets: by place or as a stream, one sample's bytes at a time."""

import gc
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.core.sharding import Share
from featurekit.store.commit_log import Row, live_rows
from featurekit.store.places.open_shard import OpenShard, opened
from featurekit.store.places.place import Place, looked_at, place_at
from featurekit.store.records import (
    TRAJECTORIES,
    Header,
    group_folders,
    read_header,
    repair_with,
    shard_path,
)
from featurekit.store.reduction import SCALE, restored
from featurekit.store.write import load_reduction

Sample: TypeAlias = tuple[str, dict[str, Tensor]]
"""A sample's id and its tensors (c ...) by ``tap/t``."""

Features: TypeAlias = Callable[[str, Mapping[str, Tensor]], Mapping[str, Tensor]]
"""A sample's id and its stored latents to its features."""

_OPEN_SHARDS = 32


class StoredFeatures(Dataset[Sample]):
    """Samples of a store by place; only what is asked for is read from the disk.

    A sample's tensors are as they were stored, but int8 ones, which are multiplied by their
    scales to float32. The store may grow meanwhile: what is seen is what was there at first.
    """

    def __init__(
        self,
        folder: Place | str,
        *,
        names: Collection[str] | None = None,
        ids: Collection[str] | None = None,
    ) -> None:
        """Read the manifests.

        Args:
            folder: the store, or its address.
            names: tensors to read, ``tap/t``; none reads all.
            ids: samples to show, in this order; none shows all, in the order of the shards.

        Raises:
            ConfigError: there is no store, it is of another format, or a manifest is damaged.
            UnknownNameError: a sample or a tensor is not in the store.
        """
        self.root: Place = looked_at(place_at(folder))
        self.header: Header = read_header(self.root)
        self.reduction = load_reduction(self.root, self.header)
        found: dict[str, Row] = {}
        with _uncollected():
            for rows in live_rows(self.root, group_folders(self.root)):
                found |= rows
        for name in () if ids is None else ids:
            if name not in found:
                raise UnknownNameError("sample", name, found)
        self.rows = tuple(found.values() if ids is None else (found[name] for name in ids))
        self._names = None if names is None else frozenset(names)
        self._refuse_unknown_names()
        self._open: OrderedDict[str, OpenShard] = OrderedDict()

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        """One sample.

        Args:
            index: its place.

        Returns:
            Its id and its tensors (c ...) by ``tap/t``.

        Raises:
            IndexError: there is no such place.
            ConfigError: its shard is missing or damaged.
        """
        count = len(self.rows)
        if not -count <= index < count:
            raise IndexError(
                f"a sample's place must be one of the {count} samples that are here, got {index}; "
                f"count from 0"
            )
        row = self.rows[index]
        return row.id, restored(self.stored(row))

    def stored(self, row: Row) -> dict[str, Tensor]:
        """One sample's tensors as they are stored, int8 ones beside their scales.

        Args:
            row: of ``rows``.

        Raises:
            ConfigError: its shard is missing or damaged.
        """
        with self._reading(row.shard) as shard:
            return shard.row(self._wanted(row), row.row)

    @contextmanager
    def near(self, rows: Sequence[Row]) -> Iterator[None]:
        """Have rows of one shard near for the length of the block, where each would cost a way.

        Args:
            rows: of one shard; those of a folder are near already.

        Raises:
            ConfigError: the shard is missing or damaged.
        """
        with self._reading(rows[0].shard) as shard:
            shard.fetch(self._wanted(rows[0]), len(rows))
        try:
            yield
        finally:
            shard.release()

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind: a worker opens its own."""
        return {**self.__dict__, "_open": OrderedDict()}

    @contextmanager
    def _reading(self, name: str) -> Iterator[OpenShard]:
        """A shard, whose damage is worded."""
        path = shard_path(self.root, name)
        try:
            yield self._shard(name, path)
        except (OSError, SafetensorError) as error:
            raise ConfigError(
                f"a shard must be a whole file, but {str(path)!r} gave: {error}; "
                f"{repair_with(self.root)}"
            ) from error

    def _wanted(self, row: Row) -> list[str]:
        return [name for name in row.shapes if self._asked(name)]

    def _asked(self, name: str) -> bool:
        return self._names is None or name.removesuffix(SCALE) in self._names

    def _refuse_unknown_names(self) -> None:
        if self._names is None or not self.rows:
            return
        alike = {id(row.shapes): row.shapes for row in self.rows}  # one of a shard, or few
        stored = {name for one in alike.values() for name in one if not name.endswith(SCALE)}
        for name in sorted(self._names - stored):
            raise UnknownNameError("stored tensor", name, stored)

    def _shard(self, name: str, path: Place) -> OpenShard:
        """The open shard; the ones used last stay open."""
        if name not in self._open:
            self._open[name] = opened(path)
        self._open.move_to_end(name)
        while len(self._open) > _OPEN_SHARDS:
            self._open.popitem(last=False)
        return self._open[name]


class FeatureStream(IterableDataset[Sample]):
    """Samples of a store shard by shard, shared out among the workers of a ``DataLoader``."""

    def __init__(
        self,
        features: StoredFeatures,
        *,
        shuffle_seed: int | None = None,
        share: Share = Share(),  # noqa: B008 - frozen
    ) -> None:
        """Hold what to stream.

        Args:
            features: the samples.
            shuffle_seed: of the order, first of the shards, then within each; none keeps the
                order. Give each epoch a seed of its own.
            share: part of the shards that this process streams, whole shards each.
        """
        self.features = features
        self.shuffle_seed = shuffle_seed
        self.share = share

    def __iter__(self) -> Iterator[Sample]:
        """Each sample of this worker's shards, once."""
        shards: dict[str, list[int]] = {}
        for place, row in enumerate(self.features.rows):
            shards.setdefault(row.shard, []).append(place)
        worker = get_worker_info()
        inner = Share() if worker is None else Share(worker.id, worker.num_workers)
        part = Share(self.share.index * inner.count + inner.index, self.share.count * inner.count)
        generator = None
        if self.shuffle_seed is not None:
            generator = torch.Generator().manual_seed(self.shuffle_seed)
        for turn, places in enumerate(_shuffled(list(shards.values()), generator)):
            order = _shuffled(places, generator)
            if part.owns(turn):
                with self.features.near([self.features.rows[place] for place in order]):
                    yield from (self.features[place] for place in order)


class Recomputed(Dataset[Sample]):
    """Features of a store of trajectories, made from the stored latents when they are asked for."""

    def __init__(self, latents: StoredFeatures, features: Features) -> None:
        """Hold both.

        Args:
            latents: samples of a store of the kind ``trajectories``.
            features: makes a sample's features; usually one forward a stored latent.

        Raises:
            ConfigError: the store holds features, not trajectories.
        """
        if latents.header.kind != TRAJECTORIES:
            raise ConfigError(
                f"features can be recomputed from a store of {TRAJECTORIES}, but "
                f"{str(latents.root)!r} holds {latents.header.kind}; read them as they are"
            )
        self.latents = latents
        self.features = features

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.latents)

    def __getitem__(self, index: int) -> Sample:
        """One sample's id and its features, computed now."""
        name, latents = self.latents[index]
        return name, dict(self.features(name, latents))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Spare the search for rings of garbage: of many rows, none of them such, it is half the work.

    Nothing is left behind: where it was on it is on again.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _shuffled(items: list[Any], generator: torch.Generator | None) -> list[Any]:
    if generator is None:
        return items
    return [items[place] for place in torch.randperm(len(items), generator=generator).tolist()]
