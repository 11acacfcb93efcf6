"""Looking after a store: what is in it, whether it is whole, and tidying it up."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from featurekit.core.errors import ConfigError
from featurekit.store.commit_log import (
    Commit,
    Row,
    is_whole,
    kept_rows,
    live_rows,
    read_commits,
    read_rows,
    replace_commits,
)
from featurekit.store.orphan_shards import Loose, loose_shards, place_of, tidy, written_ns
from featurekit.store.places.place import (
    Place,
    holding_if_free,
    in_use,
    looked_at,
    place_at,
    settled,
    sizes_in,
    writable,
)
from featurekit.store.places.shard_bytes import head_sha256_in, raw_in
from featurekit.store.recipe import parse_recipe
from featurekit.store.records import (
    HEADER,
    MANIFEST,
    TENSORS,
    Header,
    SampleRef,
    chunks,
    fitted_file,
    group_folders,
    read_header,
    repair_with,
    shard_name,
    shard_path,
)
from featurekit.store.shards import (
    Stored,
    checksum,
    loose_files,
    put_shard,
    remove,
    said_by_shards,
    sample,
)


@dataclass(frozen=True)
class Stat:
    """What a store holds."""

    header: Header
    samples: int
    shards: int
    bytes: int  # of the shards
    replaced: int  # stored samples that a later one of the same id replaces
    loose: int  # files that no commit names


def stat_store(folder: Place | str) -> Stat:
    """Count what a store holds.

    Args:
        folder: the store, or its address.

    Raises:
        ConfigError: there is no store, it is of another format, or a manifest is damaged.
    """
    root = looked_at(place_at(folder))
    header = read_header(root)
    samples = stored = loose = 0
    commits: list[Commit] = []
    groups = group_folders(root)
    for group, rows in zip(groups, live_rows(root, groups), strict=True):
        samples += len(rows)
        mine = list(read_commits(group).values())
        stored += sum(commit.samples for commit in mine)
        commits += mine
        loose += len(loose_files(group))
    size = sum(commit.bytes for commit in commits)
    return Stat(header, samples, len(commits), size, stored - samples, loose)


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a store."""

    found: str
    cure: str
    loose: bool = False  # nothing is lost: a whole shard only lacks its line in the log

    def __str__(self) -> str:
        """One sentence for a person."""
        return f"{self.found}; {self.cure}"


def verify_store(folder: Place | str) -> tuple[Problem, ...]:
    """Read every byte of a store and compare it with what was committed.

    Args:
        folder: the store, or its address.

    Returns:
        Each thing that is wrong, with what mends it; none if the store is whole. A group whose
        whole folder is gone leaves no trace that could be found.

    Raises:
        ConfigError: there is no store, it is of another format, or its header cannot be read.
    """
    root = looked_at(place_at(folder))
    header = read_header(root)
    problems = []
    if header not in (said_by_shards(root) or [header]):
        found = f"{str(root / HEADER)!r} must say what its shards say made them, but does not"
        return (Problem(found, repair_with(root)),)
    try:
        parse_recipe(header.recipe)
        fitted_file(root, header)
    except ConfigError as error:
        found, _, cure = str(error).rpartition("; ")
        problems.append(Problem(found, cure))
    for group in group_folders(root):
        try:
            commits = read_commits(group).values()
            damages = [damage_of(root, commit) for commit in commits]
            problems += [Problem(found, repair_with(root)) for found in damages if found]
            problems += _unnamed(root, header, group)
        except ConfigError as error:
            problems.append(_problem(error, root))
    return tuple(problems)


def damage_of(root: Place, commit: Commit) -> str | None:
    """Compare a shard with its commit.

    Args:
        root: the store.
        commit: the shard's line in the log.

    Returns:
        What is wrong; None if every byte is as it was committed.
    """
    path = shard_path(root, commit.shard)
    try:
        rows = read_rows(root, commit)
    except ConfigError as error:
        return _problem(error, root).found
    size = path.stat().st_size if path.is_file() else None
    if size != commit.bytes:
        found = "is missing" if size is None else f"has {size}"
        return f"{str(path)!r} must have {commit.bytes} bytes, but {found}"
    changed = f"{str(path)!r} must be as it was committed, but its bytes have changed"
    if not _hashes_as(path, commit):
        return changed
    try:
        _stored(root, rows)
    except ConfigError as error:
        return changed if commit.head else _problem(error, root).found
    if len(rows) != commit.samples:
        return f"{str(path)!r} must hold {commit.samples} samples, but its manifest has {len(rows)}"
    return None


def compact_store(folder: Place | str) -> int:
    """Bring a store into the shards that one undisturbed run would have written.

    Samples that later ones replaced and files that were left over are dropped; a whole shard that
    no log names is named again first. Each group is rewritten beside its old shards, which go
    once its new log is in place.

    Args:
        folder: the store, or its address; nobody may be writing to it.

    Returns:
        Bytes by which the shards became smaller, leftovers included.

    Raises:
        ConfigError: a shard is damaged; nothing of its group is changed.
        OutputError: a group is being written to, or the disk is full.
    """
    root = place_at(folder)
    if root.is_dir():
        writable(root)
    header = read_header(root)
    freed = 0
    for group in group_folders(root):
        with holding_if_free(group):
            before = _bytes_in(group)
            tidy(root, header, group)
            try:
                _compact_group(root, header, group)
            finally:
                remove(settled(loose_files(group)))
            freed += before - _bytes_in(group)
    return freed


def _hashes_as(path: Place, commit: Commit) -> bool:
    """Tell whether a shard's bytes are as committed, of newer lines those before the tensors."""
    if commit.head:
        return head_sha256_in(path) == commit.head
    return sha256(path.read_bytes()).hexdigest() == commit.sha256


def _problem(error: ConfigError, root: Place) -> Problem:
    """The sentence of an error, and its advice by itself."""
    return Problem(str(error).removesuffix(f"; {repair_with(root)}"), repair_with(root))


def _unnamed(root: Place, header: Header, folder: Place) -> Iterator[Problem]:
    """What a group has besides its log's shards; while it is written to that may be on its way."""
    if in_use(folder):
        return
    kept = next(kept_rows(root, [int(folder.name)]))
    for loose in loose_shards(root, header, folder):
        lost = _lost(loose, kept, written_ns(folder))
        if lost:
            yield Problem(f"{str(loose.path)!r} must be in the log of its group, but {lost}",
                          repair_with(root), loose.commit is not None)  # fmt: skip


def _lost(loose: Loose, kept: Mapping[str, Row], log_ns: int) -> str:
    if loose.commit is None:
        return "is not, and it or its manifest is damaged"
    if place_of(loose, kept, log_ns) is None:
        return ""
    return f"is not, so its {len(loose.rows)} samples do not count"


def _compact_group(root: Place, header: Header, folder: Place) -> None:
    group = int(folder.name)
    old = read_commits(folder)
    rows = next(live_rows(root, [folder]))
    new: list[Commit] = []
    for refs in chunks([row.ref() for row in rows.values()], header.layout.samples):
        name = shard_name(group, [(ref.id, rows[ref.id].key) for ref in refs])
        if name in old and is_whole(root, old[name]):
            new.append(old[name])
        else:
            new.append(_merged(root, header, group, refs=refs, rows=rows))
    if new != list(old.values()):
        replace_commits(folder, new)
        gone = old.keys() - {commit.shard for commit in new}
        remove(shard_path(root, one, ending) for one in gone for ending in (TENSORS, MANIFEST))


def _merged(
    root: Place, header: Header, group: int, *, refs: Sequence[SampleRef], rows: dict[str, Row]
) -> Commit:
    """Write a shard of samples that lie in several; their checksums are compared on the way."""
    shards: dict[str, list[Row]] = {}
    for ref in refs:
        shards.setdefault(rows[ref.id].shard, []).append(rows[ref.id])
    stored: dict[str, Stored] = {}
    for some in shards.values():
        stored |= _stored(root, some)
    return put_shard(root, header, group, refs=refs, stored=[stored[ref.id] for ref in refs])


def _stored(root: Place, rows: Sequence[Row]) -> dict[str, Stored]:
    """What is stored of samples of one shard, by id; each as its manifest says."""
    path = shard_path(root, rows[0].shard)
    try:
        columns = raw_in(path)
    except ConfigError as error:
        raise ConfigError(f"{error}; {repair_with(root)}") from error
    found: dict[str, Stored] = {}
    for row in rows:
        whole = all(name in columns and row.row < columns[name].rows for name in row.shapes)
        stored = sample({name: columns[name] for name in row.shapes}, row.row) if whole else {}
        if not whole or checksum(stored) != row.checksum:
            raise ConfigError(
                f"a sample must be as its manifest says, but {row.id!r} of {str(path)!r} is not; "
                f"{repair_with(root)}"
            )
        found[row.id] = stored
    return found


def _bytes_in(folder: Place) -> int:
    return sum(sizes_in(folder).values())
