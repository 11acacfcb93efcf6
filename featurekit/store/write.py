"""Writing a store: what is missing, shard by shard, each as a whole or not at all."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import RawTensor
from featurekit.core.json_files import json_bytes
from featurekit.core.sharding import Share, group_of, hash_of_id
from featurekit.core.threads import one_thread
from featurekit.core.types import Progress, silent
from featurekit.images.io import as_bytes, tensors_as_file, tensors_of_file
from featurekit.store.commit_log import append_commit, kept_rows
from featurekit.store.orphan_shards import tidy
from featurekit.store.places.place import (
    Place,
    holding,
    looked_at,
    of_content,
    place_at,
    prepared,
    writable,
    write_first,
    write_whole,
)
from featurekit.store.recipe import ReductionSteps, parse_recipe
from featurekit.store.records import (
    FITTED,
    HEADER,
    Header,
    Layout,
    SampleRef,
    StoreSpec,
    chunks,
    fitted_file,
    group_folder,
    is_begun,
    read_header,
    refuse_mismatch,
)
from featurekit.store.reduction import SCALE, Reduction, fit
from featurekit.store.shards import put_shard, remove, unfinished

Read: TypeAlias = Callable[
    [Sequence[SampleRef]], Iterable[tuple[str, Mapping[str, Tensor]]]
]  # samples of one size to (id, features (c ...) by ``tap/t``), each once, in any order


@dataclass(frozen=True)
class Written:
    """What one run did."""

    samples: int  # stored now
    shards: int
    bytes: int  # of the shards, without their manifests
    found: int  # samples of this share that were there already

    def __str__(self) -> str:
        """One line for a person."""
        return (
            f"{self.samples} samples stored ({self.found} there already), {self.shards} shards, "
            f"{self.bytes} bytes"
        )


def total_of(several: Iterable[Written]) -> Written:
    """Add up what several workers did."""
    parts = [(one.samples, one.shards, one.bytes, one.found) for one in several]
    return Written(*map(sum, zip(*parts, strict=True)))


@one_thread()
def write_store(
    folder: Place | str,
    samples: Iterable[SampleRef],
    *,
    read: Read,
    spec: StoreSpec,
    share: Share = Share(),  # noqa: B008 - frozen
    progress: Progress = silent,
) -> Written:
    """Bring samples into a store; those that it holds already are not read.

    The store's bytes depend on the samples, the spec and what ``read`` gives, not on how many
    workers wrote it, in which order, or how often they were stopped. ``read`` is called once for
    each shard, hence batches that are cut from its argument are the same for any workers, too;
    what it and the recipe compute on a CPU is computed on one thread.
    Workers may run at the same time; each should be given all samples.

    Args:
        folder: a store or a folder to make one in; or an address, as ``s3://bucket/prefix``.
        samples: what should be stored, each id once.
        read: gives the features of some samples of one size; called with at most a shard's,
            and first, for a recipe that is fitted, with those that it is fitted to.
        spec: what the store holds.
        share: this worker's part.
        progress: called after each shard with this share's samples, stored and missing before.

    Returns:
        What was done.

    Raises:
        ConfigError: an id comes twice, there is none, ``read`` gives other samples or features
            that cannot be stored, or the store holds features of another making.
        ShapeError: samples of one size have tensors of several shapes.
        OutputError: the disk is full or the folder cannot be written to. What is committed stays,
            and the next run goes on from there.
    """
    root = place_at(folder)
    refs = _distinct(samples)
    if is_begun(root):
        refuse_mismatch(read_header(root), spec, root)  # before anything is touched
    header, reduction = _prepared(writable(root), refs, read, spec)
    mine = grouped(refs, header.layout.groups, share)
    missing = dict(zip(mine, missing_of(looked_at(root), header, mine), strict=True))
    total = sum(map(len, missing.values()))
    samples_done = shards = size = 0
    for group in sorted(group for group, some in missing.items() if some):
        for count, length in _write_group(root, header, group, mine[group], (read, reduction)):
            samples_done, shards, size = samples_done + count, shards + 1, size + length
            progress(samples_done, max(total, samples_done))
    return Written(samples_done, shards, size, sum(map(len, mine.values())) - samples_done)


def grouped(refs: Iterable[SampleRef], groups: int, share: Share) -> dict[int, list[SampleRef]]:
    """Sort a worker's samples by their groups, in the order of these; each id is hashed once.

    Args:
        refs: samples of all workers.
        groups: of the store.
        share: the worker's.
    """
    mine: dict[int, list[SampleRef]] = {}
    for ref in refs:
        group = group_of(ref.id, groups)
        if share.owns(group):
            mine.setdefault(group, []).append(ref)
    return dict(sorted(mine.items()))


def missing_of(
    root: Place, header: Header, grouped: Mapping[int, Sequence[SampleRef]]
) -> Iterator[list[SampleRef]]:
    """List the samples of groups that the store does not hold as they are asked for.

    Args:
        root: the store.
        header: what it holds.
        grouped: samples by their groups.

    Yields:
        Samples of each group that were never committed, whose shard is lost, or whose key is
        another now.
    """
    for refs, rows in zip(grouped.values(), kept_rows(root, list(grouped)), strict=True):
        yield [ref for ref in refs if ref.id not in rows or rows[ref.id].key != header.key(ref)]


def fitting_calls(
    recipe: ReductionSteps, refs: Sequence[SampleRef], count: int
) -> list[list[SampleRef]]:
    """List what is read to fit a recipe: the first samples by the hash of their ids.

    Args:
        recipe: of a new store.
        refs: all samples, in any order.
        count: how many samples a step such as pca sees.

    Returns:
        Samples of each call of ``read``; one of each size where only shapes must be known. They
        are read ``recipe.passes`` times.
    """
    if not recipe.passes:
        return []
    chosen = sorted(refs, key=lambda ref: hash_of_id(ref.id))[:count]
    calls = list(chunks(chosen, count))
    return calls if recipe.sees else [some[:1] for some in calls]


def load_reduction(root: Place, header: Header) -> Reduction:
    """Load a store's recipe with what it was fitted to.

    Raises:
        ConfigError: what it was fitted to is missing or changed.
    """
    recipe = parse_recipe(header.recipe)
    path = fitted_file(root, header)
    return Reduction(recipe, {} if path is None else tensors_of_file(path.read_bytes(), str(path)))


def _distinct(samples: Iterable[SampleRef]) -> list[SampleRef]:
    refs: dict[str, SampleRef] = {}
    for ref in samples:
        if ref.id in refs:
            raise ConfigError(f"every sample must have an id of its own, got {ref.id!r} twice")
        refs[ref.id] = ref
    if not refs:
        raise ConfigError("a store needs at least one sample, got none")
    return list(refs.values())


def _prepared(
    root: Place, refs: Sequence[SampleRef], read: Read, spec: StoreSpec
) -> tuple[Header, Reduction]:
    """The store's header and recipe, by the first worker that comes."""
    with holding(root):
        if is_begun(root):
            header = read_header(root)
            refuse_mismatch(header, spec, root)
            return header, load_reduction(root, header)
        remove([*unfinished(root), root / FITTED])
        recipe = parse_recipe(spec.recipe)
        fitted = ""
        if recipe.fits:
            reduction = fit(recipe, _Seen(fitting_calls(recipe, refs, spec.fitted_to), read))
            content = tensors_as_file(reduction.fitted)
            fitted = sha256(content).hexdigest()
            write_whole(of_content(root / FITTED, fitted), content)
        layout = spec.layout or Layout()
        header = Header(spec.kind, spec.provenance, spec.recipe, fitted, layout)
        write_first(root / HEADER, json_bytes(header.record(), of=HEADER))
        header = read_header(root)  # at an address, of the first who came
        refuse_mismatch(header, spec, root)
        return header, load_reduction(root, header)


class _Seen:
    """Features of the samples that a recipe is fitted to, read anew by each iteration."""

    def __init__(self, calls: Sequence[Sequence[SampleRef]], read: Read) -> None:
        self._calls, self._read = calls, read

    def __iter__(self) -> Iterator[Mapping[str, Tensor]]:
        for some in self._calls:
            yield from _read_all(some, self._read)


def _write_group(
    root: Place,
    header: Header,
    group: int,
    refs: Sequence[SampleRef],
    work: tuple[Read, Reduction],
) -> Iterator[tuple[int, int]]:
    """Write what a group misses; yields samples and bytes of each shard."""
    read, reduction = work
    folder = prepared(group_folder(root, group))
    with holding(folder):
        tidy(root, header, folder)
        (missing,) = missing_of(root, header, {group: refs})
        for some in chunks(missing, header.layout.samples):
            stored = [_reduced(one, reduction) for one in _read_all(some, read)]
            commit = put_shard(root, header, group, refs=some, stored=stored)
            append_commit(folder, commit)
            yield len(some), commit.bytes


def _read_all(refs: Sequence[SampleRef], read: Read) -> Iterator[Mapping[str, Tensor]]:
    """Features in the order of the samples, each refused or given."""
    asked = {ref.id: index for index, ref in enumerate(refs)}
    waiting: dict[int, Mapping[str, Tensor]] = {}
    turn = 0
    for sample, features in read(refs):
        index = asked.pop(sample, None)
        if index is None:
            raise ConfigError(
                f"read must give each sample it is asked for once, got {sample!r} besides"
            )
        waiting[index] = _checked(sample, features)
        while turn in waiting:
            yield waiting.pop(turn)
            turn += 1
    if asked:
        raise ConfigError(
            f"read must give each sample it is asked for once, but {next(iter(asked))!r} is missing"
        )


def _checked(sample: str, features: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    for name, feature in features.items():
        if "/" not in name or name.endswith(SCALE) or not feature.is_floating_point():
            raise ConfigError(
                f"features must be floating tensors named tap/t, got {name!r} ({feature.dtype}) "
                f"of sample {sample!r}"
            )
    if not features:
        raise ConfigError(f"read must give features of each sample, got none of {sample!r}")
    return {name: feature.detach().cpu() for name, feature in features.items()}


def _reduced(features: Mapping[str, Tensor], reduction: Reduction) -> dict[str, RawTensor]:
    stored: dict[str, Tensor] = {}
    for name, feature in features.items():
        stored |= reduction.apply(name, feature)
    return {name: as_bytes(tensor) for name, tensor in stored.items()}
