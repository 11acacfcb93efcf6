"""What a store will cost before it is begun: forwards, bytes and minutes."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import TypeAlias

import torch
from safetensors.torch import save
from torch import Tensor

from featurekit.core.errors import OutputError
from featurekit.core.sharding import Share
from featurekit.core.types import Shape, Tap
from featurekit.images import coordinates
from featurekit.store.commit_log import Commit, Row
from featurekit.store.places.place import Place, free_bytes, looked_at, place_at
from featurekit.store.recipe import parse_recipe
from featurekit.store.records import (
    Header,
    Layout,
    SampleRef,
    StoreSpec,
    chunks,
    is_begun,
    line,
    read_header,
    refuse_mismatch,
    shard_name,
)
from featurekit.store.reduction import Reduction
from featurekit.store.shards import metadata
from featurekit.store.write import fitting_calls, grouped, missing_of

Shapes: TypeAlias = Callable[[tuple[int, ...]], Mapping[str, Shape]]
"""A sample's size to the shapes (c ...) of its features by ``tap/t``."""

_NO_HASH = "0" * 64
_SHARD_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Cost:
    """What one sample costs to read."""

    forwards: int = 1  # of the network, a sample: rows that go through it
    forward_s: float | None = None  # seconds a forward, measured
    dtype: torch.dtype = torch.float32  # of the features as they are read
    batch: int = 1  # samples that are read together; the last of a shard are filled up to it
    encode_s: float = 0.0  # seconds before the network, once a sample


@dataclass(frozen=True)
class Plan:
    """What a run would do."""

    samples: int  # to be stored
    found: int  # there already
    shards: int
    encodings: int  # samples that are read, those that a recipe is fitted to included
    forwards: int  # rows through the network: for the samples, what fills batches, the fitting
    bytes: int  # that the store grows by
    minutes: float | None = None  # none where a forward was not measured

    def __str__(self) -> str:
        """One line for a person."""
        time = "unknown minutes"
        if self.minutes is not None:
            short = self.minutes < 1
            time = f"{self.minutes * 60:.1f} seconds" if short else f"{self.minutes:.1f} minutes"
        return (
            f"{self.samples} samples to store ({self.found} there already), {self.shards} shards, "
            f"{self.forwards} forwards, {self.bytes} bytes, {time}"
        )

    def timed(self, cost: Cost) -> "Plan":
        """Work out the minutes from what was measured."""
        if cost.forward_s is None:
            return self
        seconds = self.forwards * cost.forward_s + self.encodings * cost.encode_s
        return replace(self, minutes=seconds / 60)


def plan_store(
    folder: Place | str,
    samples: Iterable[SampleRef],
    *,
    spec: StoreSpec,
    shapes: Shapes,
    cost: Cost = Cost(),
    share: Share = Share(),  # noqa: B008 - frozen
) -> Plan:
    """Work out what ``write_store`` would do with the same arguments; writes and reads nothing.

    Whoever begins a store whose recipe is fitted also reads what it is fitted to; that is counted.

    Args:
        folder: as there.
        samples: as there.
        spec: as there.
        shapes: of the features, for instance ``tap_shapes``.
        cost: what reading a sample costs.
        share: as there.

    Raises:
        ConfigError: the store holds features of another making.
        ShapeError: a step of the recipe cannot take a shape.
    """
    root = looked_at(place_at(folder))
    refs = list(samples)
    header, started = _header(root, spec)
    reduction = Reduction(parse_recipe(header.recipe), {})
    size = 0 if started else len(json.dumps(header.record(), indent=2)) + 1
    missing: list[SampleRef] = []
    shards = rows = 0
    mine = grouped(refs, header.layout.groups, share)
    owned = sum(map(len, mine.values()))
    for group, some_missing in zip(mine, missing_of(root, header, mine), strict=True):
        for some in chunks(some_missing, header.layout.samples):
            outline = _outline(reduction, shapes(some[0].size), cost.dtype)
            size += _shard_bytes(header, group, some, outline)
            missing += some
            shards += 1
            rows += _filled(some, cost)
    first: list[list[SampleRef]] = []
    if not started and refs:
        size += _fitted_bytes(reduction, [shapes(size) for size in {ref.size for ref in refs}])
        first = fitting_calls(reduction.recipe, refs, spec.fitted_to)
    rows += reduction.recipe.passes * sum(_filled(some, cost) for some in first)
    read = {ref.id for some in (missing, *first) for ref in some}
    count = len(missing)
    plan = Plan(count, owned - count, shards, len(read), rows * cost.forwards, size)
    return plan.timed(cost)


def refuse_overflow(plan: Plan, folder: Place | str) -> None:
    """Refuse a plan that does not fit onto the disk of its folder.

    Args:
        plan: what is to be written.
        folder: where; it or a parent exists. An address has no end that it could tell.

    Raises:
        OutputError: it needs more bytes than are free.
    """
    place = place_at(folder)
    free = free_bytes(place)
    if free is not None and plan.bytes > free:
        raise OutputError(
            f"a store must fit onto its disk, but it needs {plan.bytes} bytes and "
            f"{str(place)!r} has {free} free; pool, project or store fewer bits"
        )


def layout_for(samples: int, sample_bytes: int) -> Layout:
    """Choose a layout with shards of about 512 MiB; the same whoever asks.

    Args:
        samples: how many there will be.
        sample_bytes: stored bytes of one, >= 1.
    """
    most = max(1, min(1024, _SHARD_BYTES // sample_bytes))
    return Layout(samples=most, groups=min(1024, max(16, ceil(samples / most))))


def tap_shapes(taps: Sequence[Tap], timesteps: Sequence[float], *, multiple: int) -> Shapes:
    """Make the shapes of what ``extract`` reads, from the taps' widths and strides alone.

    Args:
        taps: what is read.
        timesteps: train timesteps.
        multiple: pixels to whose multiple the backbone pads a picture.

    Returns:
        Function of (rows, columns) in px.
    """

    def shapes(size: tuple[int, ...]) -> dict[str, Shape]:
        padded = [coordinates.padded(side, multiple) for side in size]
        return {
            f"{tap.name}/{t}": (tap.channels, *(side // tap.stride for side in padded))
            for tap in taps
            for t in timesteps
        }

    return shapes


def _filled(refs: Sequence[SampleRef], cost: Cost) -> int:
    """Samples of one call of ``read`` with those that fill its last batch up."""
    return ceil(len(refs) / cost.batch) * cost.batch


Outline: TypeAlias = Mapping[str, tuple[Shape, torch.dtype]]


def _header(root: Place, spec: StoreSpec) -> tuple[Header, bool]:
    """The store's header or, where there is none yet, one of equal length; whether it is there."""
    if is_begun(root):
        header = read_header(root)
        refuse_mismatch(header, spec, root)
        return header, True
    fitted = _NO_HASH if parse_recipe(spec.recipe).fits else ""
    layout = spec.layout or Layout()
    return Header(spec.kind, spec.provenance, spec.recipe, fitted, layout), False


def _outline(
    reduction: Reduction, shapes: Mapping[str, Shape], dtype: torch.dtype
) -> dict[str, tuple[Shape, torch.dtype]]:
    made: dict[str, tuple[Shape, torch.dtype]] = {}
    for name, shape in shapes.items():
        made |= reduction.outline(name, shape, dtype)
    return dict(sorted(made.items()))


def _shard_bytes(header: Header, group: int, refs: Sequence[SampleRef], outline: Outline) -> int:
    """Shard, manifest and commit: the numbers counted, the words written out and measured."""
    keys = [header.key(ref) for ref in refs]
    shard = shard_name(group, [(ref.id, key) for ref, key in zip(refs, keys, strict=True)])
    shapes = {name: shape for name, (shape, _) in outline.items()}
    first = Row(
        *(refs[0].id, refs[0].source, refs[0].size, refs[0].seed),
        *(_NO_HASH, shard, 0),
        shapes,
        _NO_HASH,
    )
    rows = [
        first._replace(id=ref.id, source=ref.source, seed=ref.seed, row=index)
        for index, ref in enumerate(refs)
    ]
    tensors = len(refs) * sum(prod(shape) * dtype.itemsize for shape, dtype in outline.values())
    # empty tensors give the header but for the digits of its sizes
    empty = {name: torch.empty(0, *shape, dtype=dtype) for name, (shape, dtype) in outline.items()}
    words = len(save(empty, metadata(header, refs[0].size))) + len(empty) * 2 * len(str(tensors))
    commit = Commit(shard, len(refs), tensors, _NO_HASH, _NO_HASH)
    texts = [line(row._asdict()) for row in rows] + [line(commit.record())]
    return tensors + words + sum(map(len, texts))


def _fitted_bytes(reduction: Reduction, every: Sequence[Mapping[str, Shape]]) -> int:
    """Size of what the recipe's steps keep."""
    shapes = {name: shape for one in every for name, shape in one.items()}
    kept: dict[str, Tensor] = {}
    for name, before in shapes.items():
        shape = before
        for index, step in enumerate(reduction.recipe.steps):
            for part, sizes in step.keeps(shape).items():
                kept[f"{name}:{index}:{part}"] = torch.empty(sizes)
            shape = step.shape(shape)
    return len(save(kept)) if kept else 0
