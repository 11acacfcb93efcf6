"""What a store says of its shards: the commit log of a group, the manifest of a shard."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

from featurekit.core.errors import ConfigError
from featurekit.core.types import Shape
from featurekit.store.places.line_log import append_line, read_logs, replace_lines
from featurekit.store.places.place import Place, is_near, read_each, sizes_in
from featurekit.store.places.silence import AT_ONCE
from featurekit.store.records import (
    MANIFEST,
    TENSORS,
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


def read_commits(folder: Place) -> dict[str, Commit]:
    """Read a group's commit log.

    Args:
        folder: of the group.

    Returns:
        Commits by shard, the last of each, in order; a torn last line does not count.

    Raises:
        ConfigError: a whole line is no commit.
    """
    (content,) = read_logs([folder], COMMITS)
    return _commits_of(content, folder / COMMITS)


def _commits_of(content: bytes, path: Place) -> dict[str, Commit]:
    whole = content.rfind(b"\n") + 1
    commits: dict[str, Commit] = {}
    for record in _records(content[:whole], path):
        commit = _made(Commit, record, path)
        commits.pop(commit.shard, None)
        commits[commit.shard] = commit
    return commits


def salvaged_commits(folder: Place) -> dict[str, Commit]:
    """Read what can be read of a group's log, damaged lines left out."""
    commits: dict[str, Commit] = {}
    (content,) = read_logs([folder], COMMITS)
    for text in content.split(b"\n"):
        try:
            for record in _records(text, folder / COMMITS):
                commit = _made(Commit, record, folder / COMMITS)
                commits.pop(commit.shard, None)
                commits[commit.shard] = commit
        except ConfigError:
            continue
    return commits


def append_commit(folder: Place, commit: Commit) -> None:
    """Add a finished shard to its group's log, safely there when this returns.

    A torn last line is cut off first. A group of this machine must be held.

    Args:
        folder: of the group.
        commit: a shard whose files are in place.

    Raises:
        OutputError: the log cannot be written; the shard then does not count.
    """
    if is_near(folder) and read_commits(folder).get(commit.shard) == commit:
        return  # its files were lost and are as they were again
    append_line(folder, COMMITS, line(commit.record()))


def replace_commits(folder: Place, commits: Iterable[Commit]) -> None:
    """Write a group's log anew, as a whole; a group of this machine must be held.

    Raises:
        OutputError: it cannot be written; the old one stays.
    """
    replace_lines(folder, COMMITS, [line(commit.record()) for commit in commits])


def read_rows(root: Place, commit: Commit) -> list[Row]:
    """Read the manifest of a shard.

    Raises:
        ConfigError: it is missing or not as it was committed.
    """
    path = shard_path(root, commit.shard, MANIFEST)
    (content,) = read_each([path])
    return _committed_rows(root, commit, content)


def _committed_rows(root: Place, commit: Commit, content: bytes | None) -> list[Row]:
    path = shard_path(root, commit.shard, MANIFEST)
    if content is None or sha256(content).hexdigest() != commit.manifest:
        raise ConfigError(
            f"a manifest must be as it was written, but {str(path)!r} is missing or changed; "
            f"{repair_with(root)}"
        )
    return rows_of(content, path)


def rows_of(content: bytes, path: Place) -> list[Row]:
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


def is_whole(root: Place, commit: Commit) -> bool:
    """Tell whether a committed shard is there at its length, with its manifest as committed."""
    path = shard_path(root, commit.shard)
    manifest = shard_path(root, commit.shard, MANIFEST)
    there = path.is_file() and path.stat().st_size == commit.bytes and manifest.is_file()
    return there and sha256(manifest.read_bytes()).hexdigest() == commit.manifest


def live_rows(root: Place, folders: Sequence[Place]) -> Iterator[dict[str, Row]]:
    """Read what groups hold: the last committed row of each id, in the order of the log.

    Args:
        root: the store.
        folders: of the groups; at an address many are asked for together.

    Yields:
        The rows of each group.

    Raises:
        ConfigError: a log is damaged, a manifest is missing or changed.
    """
    for manifests in _manifests(root, folders):
        rows: dict[str, Row] = {}
        for commit, content in manifests:
            for row in _committed_rows(root, commit, content):
                rows.pop(row.id, None)
                rows[row.id] = row
        yield rows


def kept_rows(root: Place, groups: Sequence[int]) -> Iterator[dict[str, Row]]:
    """Read the rows of groups' samples by id, those of lost shards left out.

    Args:
        root: the store.
        groups: begun or not.

    Yields:
        The rows of each group.

    Raises:
        ConfigError: a log is damaged.
    """
    folders = [group_folder(root, group) for group in groups]
    for folder, manifests in zip(folders, _manifests(root, folders), strict=True):
        rows: dict[str, Row] = {}
        sizes = sizes_in(folder) if manifests else {}
        for commit, content in manifests:
            if sizes.get(f"{commit.shard}{TENSORS}") != commit.bytes or content is None:
                continue
            if sha256(content).hexdigest() == commit.manifest:
                rows |= {row.id: row for row in _committed_rows(root, commit, content)}
        yield rows


def _manifests(
    root: Place, folders: Sequence[Place]
) -> Iterator[list[tuple[Commit, bytes | None]]]:
    """Each group's commits with the bytes of their manifests, of some groups asked for together."""
    for start in range(0, len(folders), AT_ONCE):
        some = folders[start : start + AT_ONCE]
        logs = [
            list(_commits_of(content, folder / COMMITS).values())
            for folder, content in zip(some, read_logs(some, COMMITS), strict=True)
        ]
        contents = read_each([shard_path(root, c.shard, MANIFEST) for log in logs for c in log])
        for log in logs:
            yield [(commit, next(contents)) for commit in log]


def _records(content: bytes, path: Place) -> Iterator[Any]:
    try:
        for text in content.splitlines():
            yield json.loads(text)
    except ValueError as error:
        raise _no_lines(path, error) from error


def _no_lines(path: Place, error: ValueError) -> ConfigError:
    return ConfigError(
        f"{str(path)!r} must hold a line of JSON each, but {error}; "
        f"{repair_with(path.parent.parent)}"
    )


def _made(kind: type[Line], record: dict[str, Any], path: Place) -> Line:
    try:
        return kind(**record)
    except TypeError as error:
        raise _foreign(path, error) from error


def _foreign(path: Place, error: Exception) -> ConfigError:
    return ConfigError(
        f"{str(path)!r} must be what a store wrote, but {error}; {repair_with(path.parent.parent)}"
    )
