"""One shard of a store: its tensors with a sample axis, its manifest, what marks it as whole."""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

from featurekit.core.atomic import unwritable
from featurekit.core.errors import ConfigError, OutputError, ShapeError
from featurekit.core.file_bytes import RawTensor
from featurekit.core.types import Shape
from featurekit.store.commit_log import COMMITS, Commit, Row, read_commits, rows_of
from featurekit.store.places.place import Place, write_whole
from featurekit.store.places.shard_bytes import metadata_in, write_shard
from featurekit.store.records import (
    MANIFEST,
    MARK,
    TENSORS,
    Header,
    SampleRef,
    header_of,
    line,
    shard_files,
    shard_name,
    shard_path,
)

Stored = Mapping[str, RawTensor]
"""What is stored of one sample: tensors (c ...) by ``tap/t``, int8 ones with their scales.

Only their bytes: a shard is written, checked and merged without torch."""


def put_shard(
    root: Place, header: Header, group: int, *, refs: Sequence[SampleRef], stored: Sequence[Stored]
) -> Commit:
    """Write a shard and its manifest; it does not count before it is committed.

    Args:
        root: the store.
        header: what the store holds.
        group: of the samples.
        refs: the samples, all of one size, in the order of the rows.
        stored: what is stored of each.

    Returns:
        The line to commit.

    Raises:
        ShapeError: samples of one size have tensors of several shapes, dtypes or names.
        OutputError: a file cannot be written.
    """
    keys = [header.key(ref) for ref in refs]
    shard = shard_name(group, [(ref.id, key) for ref, key in zip(refs, keys, strict=True)])
    columns = {name: _column(name, refs, stored) for name in _names(refs, stored)}
    path, manifest = shard_path(root, shard), shard_path(root, shard, MANIFEST)
    shapes = {name: rows[0].shape for name, rows in columns.items()}
    with ThreadPoolExecutor(1) as other:  # which mostly waits for the disk
        written = other.submit(write_shard, columns, path, metadata(header, refs[0].size))
        rows = [
            Row(
                **_asked(ref),
                key=key,
                shard=shard,
                row=index,
                shapes=shapes,
                checksum=checksum(stored[index]),
            )
            for index, (ref, key) in enumerate(zip(refs, keys, strict=True))
        ]
        content = b"".join(line(row._asdict()) for row in rows)
        write_whole(manifest, content)
        head_hash, size = written.result()
    return Commit(shard, len(refs), size, sha256(content).hexdigest(), head_hash)


def metadata(header: Header, size: Sequence[int]) -> dict[str, str]:
    """Word the metadata of a shard: the header and the samples' size, as one text."""
    text = json.dumps({**header.record(), "size": list(size)}, sort_keys=True)
    return {MARK: text}


def said_by_shards(root: Place) -> list[Header]:
    """List the headers that shards carry and their manifests' keys confirm, the commonest first."""
    found: list[Header] = []
    for path in shard_files(root):
        manifest = path.with_suffix(MANIFEST)
        try:
            record = json.loads(metadata_in(path)[MARK])
            del record["size"]
            header = header_of(record, root)
            rows = rows_of(manifest.read_bytes(), manifest)
        except (ConfigError, KeyError, OSError, TypeError, ValueError):
            continue
        if rows and all(header.key(row.ref()) == row.key for row in rows):
            found.append(header)
    distinct = [one for index, one in enumerate(found) if one not in found[:index]]
    return sorted(distinct, key=found.count, reverse=True)


def checksum(stored: Stored) -> str:
    """Hash the names and bytes of what is stored of one sample."""
    digest = sha256()
    for name, tensor in sorted(stored.items()):
        digest.update(f"{name}\n".encode())
        digest.update(tensor.data.data)
    return digest.hexdigest()


def sample(columns: Mapping[str, RawTensor], index: int) -> dict[str, RawTensor]:
    """What is stored of one sample in tensors with a sample axis."""
    return {name: column.row(index) for name, column in columns.items()}


def shapes_of(columns: Mapping[str, RawTensor]) -> dict[str, Shape]:
    """Shapes of one sample in tensors with a sample axis."""
    return {name: column.shape[1:] for name, column in columns.items()}


def loose_files(folder: Place) -> list[Place]:
    """List files of a group that no commit names: what a process left that was stopped.

    Args:
        folder: of the group.

    Returns:
        Shards, manifests and unfinished files, in order; nothing that a store does not write.
    """
    commits = read_commits(folder)
    named = {f"{shard}{ending}" for shard in commits for ending in (TENSORS, MANIFEST)}
    found = [
        path
        for path in folder.iterdir()
        if _is_unfinished(path) or path.suffix in (TENSORS, MANIFEST)
    ]
    loose = [path for path in found if path.name not in named and path.name != COMMITS]
    return sorted(loose, key=lambda path: path.name)


def unfinished(folder: Place) -> list[Place]:
    """List files that were being written when their process was stopped."""
    return [path for path in folder.iterdir() if _is_unfinished(path)]


def _is_unfinished(path: Place) -> bool:
    """Of ``atomic.replacing``, or of safetensors, which renames what it has written."""
    return path.suffix == ".part" or path.name.startswith(".tmp")


def remove(paths: Iterable[Place]) -> None:
    """Remove files, where they are there.

    Raises:
        OutputError: one cannot be removed.
    """
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OutputError:
            raise
        except OSError as error:
            raise unwritable(str(path), error) from error


def _asked(ref: SampleRef) -> dict[str, Any]:
    return {"id": ref.id, "source": ref.source, "size": ref.size, "seed": ref.seed}


def _names(refs: Sequence[SampleRef], stored: Sequence[Stored]) -> list[str]:
    for ref, one in zip(refs, stored, strict=True):
        if one.keys() != stored[0].keys():
            odd = sorted(one.keys() ^ stored[0].keys())
            raise ShapeError(
                f"samples of one size must have the same tensors, but {refs[0].id!r} and "
                f"{ref.id!r} differ in {', '.join(odd)}"
            )
    return sorted(stored[0])


def _column(name: str, refs: Sequence[SampleRef], stored: Sequence[Stored]) -> list[RawTensor]:
    """What all samples have under one name, in their order."""
    first = stored[0][name]
    for ref, one in zip(refs, stored, strict=True):
        if one[name].shape != first.shape or one[name].dtype != first.dtype:
            raise ShapeError(
                f"samples of one size must have tensors of one shape and dtype, but {name!r} is "
                f"{first.shape} {first.dtype} of {refs[0].id!r} and "
                f"{one[name].shape} {one[name].dtype} of {ref.id!r}; give them other sizes"
            )
    return [one[name] for one in stored]
