"""Pictures to a store of features: those of one worker, those that are broken, what it costs."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import prod
from typing import Protocol

from torch import Tensor

from featurekit.core.errors import ConfigError, ImageError
from featurekit.core.sharding import Share, group_of, hash_of_id
from featurekit.core.threads import one_thread
from featurekit.core.types import Progress, silent
from featurekit.images.packed import PictureFile, sha256_of_picture
from featurekit.store.commit_log import kept_rows
from featurekit.store.places.place import Place, looked_at, place_at
from featurekit.store.plan import Cost, Plan, Shapes, layout_for, plan_store, refuse_overflow
from featurekit.store.recipe import parse_recipe
from featurekit.store.records import (
    TRAJECTORIES,
    Header,
    Layout,
    Provenance,
    SampleRef,
    StoreSpec,
    is_begun,
    read_header,
)
from featurekit.store.reduction import Reduction
from featurekit.store.write import Written, write_store

GROUP_BATCHES = 4  # batches of a group, about: every group fills its last batch up
MOST_GROUPS = 1024


class Reader(Protocol):
    """What is read of pictures for a store: features, or the latents of an inversion."""

    @property
    def kind(self) -> str:
        """What the store is to hold: ``FEATURES`` or ``TRAJECTORIES``."""
        ...

    @property
    def batch(self) -> int:
        """Pictures in a call of the network."""
        ...

    @property
    def cost(self) -> Cost:
        """What a picture costs, unmeasured."""
        ...

    @property
    def shapes(self) -> Shapes:
        """What is stored of a picture of a size."""
        ...

    def __call__(self, refs: Sequence[SampleRef]) -> Iterable[tuple[str, Mapping[str, Tensor]]]:
        """Read pictures of one size."""
        ...

    def ref(self, picture: PictureFile, size: tuple[int, ...] | None = None) -> SampleRef:
        """Say what a picture is for a store."""
        ...

    def provenance(self) -> Provenance:
        """Say what makes what is stored, apart from the pictures."""
        ...

    def timed(self, ref: SampleRef) -> Cost:
        """Measure what a picture costs."""
        ...


@dataclass(frozen=True)
class _Work:
    """What one worker is to bring into a store."""

    refs: list[SampleRef]  # its own, and those that a recipe is fitted to
    spec: StoreSpec
    broken: dict[PictureFile, str]  # its own, each with the reason


@one_thread()
def store_pictures(
    folder: Place | str,
    files: Sequence[PictureFile],
    *,
    reader: Reader,
    reduce: Sequence[str] = (),
    share: Share = Share(),  # noqa: B008 - frozen
    progress: Progress = silent,
) -> tuple[Written, dict[PictureFile, str]]:
    """Bring the features of pictures into a store; those that it holds already are not read.

    Workers may run at the same time; each is given all pictures.

    Args:
        folder: a store or a folder to make one in; or an address, as ``s3://bucket/prefix``.
        files: pictures, each name once.
        reader: what is read of them.
        reduce: words of ``recipe.parse_recipe``.
        share: this worker's part.
        progress: as for ``write_store``.

    Returns:
        What was done, and this worker's pictures that cannot be decoded, each with the reason.

    Raises:
        ImageError: no picture can be decoded.
        FeatureKitError: as for ``write_store``, and before anything is written where the disk is
            too small.
    """
    work = _work(place_at(folder), files, reader, reduce, share)
    plan = plan_store(folder, work.refs, spec=work.spec, shapes=reader.shapes, cost=reader.cost,
                      share=share)  # fmt: skip
    refuse_overflow(plan, folder)
    written = write_store(
        folder, work.refs, read=reader, spec=work.spec, share=share, progress=progress
    )
    return written, work.broken


@one_thread()
def plan_pictures(
    folder: Place | str,
    files: Sequence[PictureFile],
    *,
    reader: Reader,
    reduce: Sequence[str] = (),
    share: Share = Share(),  # noqa: B008 - frozen
) -> tuple[Plan, dict[PictureFile, str]]:
    """Work out what ``store_pictures`` would do with the same arguments; writes nothing.

    Args:
        folder: as there.
        files: as there.
        reader: as there; one picture is read to measure the time.
        reduce: as there.
        share: as there.

    Returns:
        The cost, and this worker's pictures that cannot be decoded, each with the reason.

    Raises:
        ImageError: no picture can be decoded.
        FeatureKitError: as for ``plan_store``.
    """
    work = _work(place_at(folder), files, reader, reduce, share)
    plan = plan_store(folder, work.refs, spec=work.spec, shapes=reader.shapes, cost=reader.cost,
                      share=share)  # fmt: skip
    cost = reader.timed(work.refs[0]) if plan.forwards else replace(reader.cost, forward_s=0.0)
    return plan.timed(cost), work.broken


def _work(
    root: Place, files: Sequence[PictureFile], reader: Reader, reduce: Sequence[str], share: Share
) -> _Work:
    """Look at this worker's pictures, and at those that a new store's recipe is fitted to."""
    header = read_header(root) if is_begun(root) else None
    _refuse_reduced(reader, reduce)
    ordered = sorted(files, key=lambda file: hash_of_id(file.name))
    looked = _Looked(reader, _sizes(root, header, share))
    needed = StoreSpec.fitted_to if header is None and parse_recipe(reduce).fits else 1
    first: list[SampleRef] = []
    for file in ordered:  # the same ones whoever looks
        if len(first) == needed:
            break
        first += looked.at(file)
    if not first:
        raise _nothing(list(looked.broken.values()))
    # only now: the levels of an inversion may follow the size of the pictures
    spec = StoreSpec(reader.provenance(), tuple(reduce), kind=reader.kind)
    if header is None:
        spec = replace(spec, layout=_layout(reader, first[0], len(files), reduce))
    groups = (header or spec).layout.groups  # type: ignore[union-attr]  # one of them has it
    own = [file for file in ordered if share.owns(group_of(file.name, groups))]
    refs = {ref.id: ref for ref in first}
    for file in own:
        for ref in looked.at(file):
            if refs.setdefault(ref.id, ref).file != file:
                raise ConfigError(f"file names of pictures must differ, got {ref.id!r} twice")
    broken = {file: looked.broken[file] for file in own if file in looked.broken}
    return _Work(list(refs.values()), spec, broken)


def _nothing(reasons: Sequence[str]) -> ImageError:
    """What is wrong where no picture could be read, by the reason of each."""
    if len(reasons) == 1:
        return ImageError(reasons[0])
    one = f"{len(reasons)} broken ones; the first: {reasons[0]}" if reasons else "none"
    return ImageError(f"a store needs a picture that can be read, got {one}")


def _refuse_reduced(reader: Reader, reduce: Sequence[str]) -> None:
    """Refuse latents whose cells would be gone: they are good for nothing."""
    if reader.kind == TRAJECTORIES and parse_recipe(reduce).steps:
        raise ConfigError(
            f"trajectories must be stored whole, with other numbers at most, got reduce="
            f"[{','.join(reduce)}]; reduce the features that are made of them"
        )


class _Looked:
    """Pictures that were looked at, each once; what a store holds need not be decoded."""

    def __init__(self, reader: Reader, sizes: Mapping[tuple[str, str], tuple[int, ...]]) -> None:
        self._reader, self._sizes = reader, sizes
        self._found: dict[PictureFile, SampleRef] = {}
        self.broken: dict[PictureFile, str] = {}

    def at(self, file: PictureFile) -> list[SampleRef]:
        """The picture, or nothing where it is broken."""
        if file not in self._found and file not in self.broken:
            try:
                self._found[file] = self._reader.ref(file, self._size(file))
            except ImageError as error:
                self.broken[file] = str(error)
            except OSError as error:
                self.broken[file] = (
                    f"image must be readable, but {str(file)!r} gave: {error.strerror}; check it"
                )
        return [self._found[file]] if file in self._found else []

    def _size(self, file: PictureFile) -> tuple[int, ...] | None:
        """Its padded size, if a store holds the picture; what cannot be read is told later."""
        if not self._sizes:
            return None
        with suppress(OSError):
            return self._sizes.get((file.name, sha256_of_picture(file)))
        return None


def _sizes(
    root: Place, header: Header | None, share: Share
) -> dict[tuple[str, str], tuple[int, ...]]:
    """Padded sizes of the pictures that a store holds, by id and hash of their bytes."""
    if header is None:
        return {}
    groups = list(filter(share.owns, range(header.layout.groups)))
    kept = kept_rows(looked_at(root), groups)
    return {(row.id, row.source): row.size for rows in kept for row in rows.values()}


def _layout(reader: Reader, ref: SampleRef, count: int, reduce: Sequence[str]) -> Layout:
    """A layout for a new store: some batches a group, and shards of a bounded size."""
    reduction = Reduction(parse_recipe(reduce), {})
    stored = [
        one
        for name, shape in reader.shapes(ref.size).items()
        for one in reduction.outline(name, shape, reader.cost.dtype).values()
    ]
    sample_bytes = sum(prod(shape) * dtype.itemsize for shape, dtype in stored)
    groups = max(1, min(MOST_GROUPS, count // (GROUP_BATCHES * reader.batch)))
    return Layout(min(Layout().samples, layout_for(count, sample_bytes).samples), groups)
