"""Shards that no log names: whole ones count again, what a stopped process left half is removed."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from featurekit.core.errors import ConfigError
from featurekit.store.commit_log import (
    COMMITS,
    Commit,
    Row,
    append_commit,
    kept_rows,
    read_commits,
    replace_commits,
    rows_of,
)
from featurekit.store.places.line_log import changed_ns
from featurekit.store.places.place import Place, settled
from featurekit.store.places.shard_bytes import head_sha256_in, metadata_in, raw_in
from featurekit.store.records import MANIFEST, Header, line, repair_with, shard_name, shard_path
from featurekit.store.shards import checksum, loose_files, metadata, remove, sample, shapes_of

FIRST, LAST = "first", "last"  # where in its group's log a shard belongs that is named again


@dataclass(frozen=True)
class Loose:
    """A shard with a manifest that no log names."""

    path: Place
    commit: Commit | None  # what its line said; none if shard or manifest is damaged
    rows: tuple[Row, ...]
    written_ns: int


def loose_shards(root: Place, header: Header, folder: Place) -> list[Loose]:
    """Look at the shards of a group that have a manifest and no line in its log.

    Args:
        root: the store.
        header: what it holds.
        folder: of the group.

    Returns:
        Each of them, whole or damaged, in the order in which they were written.

    Raises:
        ConfigError: a whole one was made otherwise, or the log is damaged.
    """
    manifests = [
        path for path in loose_files(folder)
        if path.suffix == MANIFEST and shard_path(root, path.stem).is_file()
    ]  # fmt: skip
    found = [_looked_at(root, header, path) for path in manifests]
    return sorted(found, key=lambda one: (one.written_ns, one.path.name))


def place_of(loose: Loose, kept: Mapping[str, Row], log_ns: int) -> str | None:
    """Say where in the log a shard belongs.

    Args:
        loose: the shard.
        kept: rows that count, by id.
        log_ns: when the log was last written; 0 if there is none.

    Returns:
        ``LAST``; ``FIRST`` where what counts is newer than some of it; None if it is damaged, or
        all that it holds is there or was replaced.
    """
    if loose.commit is None:
        return None
    others = [kept[row.id].key for row in loose.rows if row.id in kept]
    new = len(others) < len(loose.rows)
    changed = any(row.id in kept and kept[row.id].key != row.key for row in loose.rows)
    if changed and loose.written_ns <= log_ns:
        return FIRST if new else None
    return LAST if new or changed else None


def written_ns(folder: Place) -> int:
    """Tell when a group's log was last written; 0 if there is none."""
    return changed_ns(folder, COMMITS)


def tidy(root: Place, header: Header, folder: Place) -> None:
    """Name whole shards in the log again, then remove what no log names.

    A group of this machine must be held; at an address, what is young may be another's and stays.

    Args:
        root: the store.
        header: what it holds.
        folder: of the group.

    Raises:
        ConfigError: a whole shard was made otherwise, or the log is damaged; nothing is removed.
        OutputError: the folder cannot be written to.
    """
    log_ns = written_ns(folder)
    for loose in loose_shards(root, header, folder):
        place = place_of(loose, next(kept_rows(root, [int(folder.name)])), log_ns)
        if loose.commit is None or place is None:
            continue
        if place == LAST:
            append_commit(folder, loose.commit)
        else:
            commits = read_commits(folder)
            replace_commits(folder, [loose.commit, *commits.values()])
    remove(settled(loose_files(folder)))


def _looked_at(root: Place, header: Header, manifest: Place) -> Loose:
    path = shard_path(root, manifest.stem)
    rows = _self_consistent(manifest)
    changed_ns = manifest.stat().st_mtime_ns
    if not rows or not _as_its_rows_say(path, rows):
        return Loose(path, None, (), changed_ns)
    if any(header.key(row.ref()) != row.key for row in rows):
        raise ConfigError(
            f"shards of a store must be made as its header says, but {str(path)!r} was made "
            f"otherwise; if the header is damaged {repair_with(root)}; else move the shard away"
        )
    if metadata_in(path) != metadata(header, rows[0].size):
        return Loose(path, None, (), changed_ns)
    digest = sha256(manifest.read_bytes()).hexdigest()
    commit = Commit(path.stem, len(rows), path.stat().st_size, digest, head_sha256_in(path))
    return Loose(path, commit, rows, changed_ns)


def _self_consistent(manifest: Place) -> tuple[Row, ...]:
    """Rows of a manifest; none if it is not as it was written, which its name tells."""
    content, shard = manifest.read_bytes(), manifest.stem
    try:
        rows = rows_of(content, manifest)
        group = int(shard.partition("-")[0])
        named = shard_name(group, [(row.id, row.key) for row in rows]) == shard
    except (ConfigError, TypeError, ValueError):
        return ()
    placed = all((row.shard, row.row) == (shard, index) for index, row in enumerate(rows))
    again = b"".join(line(row._asdict()) for row in rows)
    return tuple(rows) if named and placed and again == content else ()


def _as_its_rows_say(path: Place, rows: tuple[Row, ...]) -> bool:
    try:
        columns = raw_in(path)
    except ConfigError:
        return False
    if any(column.rows != len(rows) for column in columns.values()):
        return False
    shapes = shapes_of(columns)
    return all(
        {name: tuple(shape) for name, shape in row.shapes.items()} == shapes
        and row.checksum == checksum(sample(columns, row.row))
        for row in rows
    )
