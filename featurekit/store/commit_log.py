"""What a store says of its shards: the commit log of a group, the manifest of a shard."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from featurekit.core.atomic import replacing, unwritable
from featurekit.core.errors import ConfigError
from featurekit.core.types import Shape
from featurekit.store.records import (
    MANIFEST,
    SampleRef,
    group_folder,
    line,
    repair_with,
    shard_path,
)

COMMITS = "commits.jsonl"

Line = TypeVar("Line")


class Row(NamedTuple):
    """A line of a manifest: one stored sample. A tuple, since a reader makes one of every line."""

    id: str
    source: str
    size: tuple[int, ...]
    seed: int
    key: str
    shard: str
    row: int
    shapes: Mapping[str, Shape]  # of the stored tensors, without the sample axis
    checksum: str  # of the stored tensors

    def ref(self) -> SampleRef:
        """The sample as it was asked for."""
        return SampleRef(self.id, self.source, self.size, self.seed)


@dataclass(frozen=True)
class Commit:
    """A line of a commit log: one finished shard.

    The manifest has the checksums of the tensors' bytes, so with the hashes of the manifest and of
    what stands before the tensors each byte is read once when it is written and once to verify.
    """

    shard: str
    samples: int
    bytes: int
    manifest: str  # its hash
    head: str = ""  # hash of what stands in the file before the tensors
    sha256: str = ""  # of the whole file, in the lines of version 0.1, which have no ``head``

    def __post_init__(self) -> None:
        """Refuse a line that says nothing of the shard's bytes.

        Raises:
            ConfigError: it has neither hash.
        """
        if not (self.head or self.sha256):
            raise ConfigError(f"a commit must have a hash of its shard, got none of {self.shard!r}")

    def record(self) -> dict[str, Any]:
        """As a log has it."""
        return {name: value for name, value in asdict(self).items() if value != ""}


def read_commits(folder: Path) -> tuple[dict[str, Commit], int]:
    """Read a group's commit log.

    Args:
        folder: of the group.

    Returns:
        Commits by shard, the last of each, in order; and how many bytes of the log are whole
        lines, for a last line may be torn.

    Raises:
        ConfigError: a whole line is no commit.
    """
    path = folder / COMMITS
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    commits: dict[str, Commit] = {}
    for record in _records(content[:whole], path):
        commit = _made(Commit, record, path)
        commits.pop(commit.shard, None)
        commits[commit.shard] = commit
    return commits, whole


def salvaged_commits(folder: Path) -> dict[str, Commit]:
    """Read what can be read of a group's log, damaged lines left out."""
    path = folder / COMMITS
    commits: dict[str, Commit] = {}
    for text in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            for record in _records(text, path):
                commit = _made(Commit, record, path)
                commits.pop(commit.shard, None)
                commits[commit.shard] = commit
        except ConfigError:
            continue
    return commits


def append_commit(folder: Path, commit: Commit) -> None:
    """Add a finished shard to its group's log, on the disk when this returns.

    A torn last line is cut off first. The group must be held.

    Args:
        folder: of the group.
        commit: a shard whose files are in place.

    Raises:
        OutputError: the log cannot be written; the shard then does not count.
    """
    path = folder / COMMITS
    commits, whole = read_commits(folder)
    if commits.get(commit.shard) == commit:  # its files were lost and are as they were again
        return
    try:
        sync_folder(folder)  # the shard's name before the line that promises it
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.ftruncate(descriptor, whole)
            os.pwrite(descriptor, line(commit.record()), whole)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not whole:
            sync_folder(folder)
    except OSError as error:
        raise unwritable(path, error) from error


def replace_commits(folder: Path, commits: Iterable[Commit]) -> None:
    """Write a group's log anew, as a whole; the group must be held.

    Raises:
        OutputError: it cannot be written; the old one stays.
    """
    with replacing(folder / COMMITS) as temporary:
        temporary.write_bytes(b"".join(line(commit.record()) for commit in commits))
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Bring the names of a folder's files to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_rows(root: Path, commit: Commit) -> list[Row]:
    """Read the manifest of a shard.

    Raises:
        ConfigError: it is missing or not as it was committed.
    """
    path = shard_path(root, commit.shard, MANIFEST)
    content = path.read_bytes() if path.exists() else b""
    if sha256(content).hexdigest() != commit.manifest:
        raise ConfigError(
            f"a manifest must be as it was written, but {str(path)!r} is missing or changed; "
            f"{repair_with(root)}"
        )
    return rows_of(content, path)


def rows_of(content: bytes, path: Path) -> list[Row]:
    """Read the lines of a manifest.

    Args:
        content: its bytes.
        path: of it, for the message.

    Raises:
        ConfigError: a line is none of a manifest.
    """
    whole = b"[" + b",".join(content.splitlines()) + b"]"  # one call reads all lines
    (records,) = _records(whole, path)
    try:
        for record in records:
            record["size"] = tuple(record["size"])
            if record["shapes"] == records[0]["shapes"]:
                record["shapes"] = records[0]["shapes"]  # held once: a store has many rows
        return [Row(**record) for record in records]
    except (KeyError, TypeError) as error:
        raise _foreign(path, error) from error


def is_whole(root: Path, commit: Commit) -> bool:
    """Tell whether a committed shard is there at its length, with its manifest as committed."""
    path = shard_path(root, commit.shard)
    manifest = shard_path(root, commit.shard, MANIFEST)
    there = path.is_file() and path.stat().st_size == commit.bytes and manifest.is_file()
    return there and sha256(manifest.read_bytes()).hexdigest() == commit.manifest


def live_rows(root: Path, folder: Path) -> dict[str, Row]:
    """Read what a group holds: the last committed row of each id, in the order of the log."""
    rows: dict[str, Row] = {}
    for commit in read_commits(folder)[0].values():
        for row in read_rows(root, commit):
            rows.pop(row.id, None)
            rows[row.id] = row
    return rows


def kept_rows(root: Path, group: int) -> dict[str, Row]:
    """Read the rows of a group's samples by id, those of lost shards left out.

    Args:
        root: the store.
        group: the group, begun or not.

    Raises:
        ConfigError: the log is damaged.
    """
    folder, rows = group_folder(root, group), dict[str, Row]()
    if folder.is_dir():
        for commit in read_commits(folder)[0].values():
            if is_whole(root, commit):
                rows |= {row.id: row for row in read_rows(root, commit)}
    return rows


def group_folders(root: Path) -> list[Path]:
    """Folders of the groups that have been begun, in order."""
    return sorted(path for path in root.iterdir() if path.is_dir() and path.name.isdecimal())


def _records(content: bytes, path: Path) -> Iterator[Any]:
    try:
        for text in content.splitlines():
            yield json.loads(text)
    except ValueError as error:
        raise _no_lines(path, error) from error


def _no_lines(path: Path, error: ValueError) -> ConfigError:
    return ConfigError(
        f"{str(path)!r} must hold a line of JSON each, but {error}; "
        f"{repair_with(path.parent.parent)}"
    )


def _made(kind: type[Line], record: dict[str, Any], path: Path) -> Line:
    try:
        return kind(**record)
    except TypeError as error:
        raise _foreign(path, error) from error


def _foreign(path: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"{str(path)!r} must be what a store wrote, but {error}; {repair_with(path.parent.parent)}"
    )
