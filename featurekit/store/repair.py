"""Mending a store: what is damaged stops counting, so that the next run writes it again."""

from contextlib import suppress
from dataclasses import dataclass

from featurekit.core.errors import ConfigError
from featurekit.core.json_files import json_bytes, json_of
from featurekit.store.commit_log import (
    read_commits,
    replace_commits,
    salvaged_commits,
)
from featurekit.store.orphan_shards import tidy, written_ns
from featurekit.store.places.place import (
    Place,
    holding,
    holding_if_free,
    looked_at,
    place_at,
    sizes_in,
    writable,
    write_whole,
)
from featurekit.store.records import (
    FORMAT,
    HEADER,
    TENSORS,
    Header,
    group_folders,
    read_header,
)
from featurekit.store.shards import said_by_shards
from featurekit.store.upkeep import damage_of


@dataclass(frozen=True)
class Repair:
    """What was mended."""

    header: bool  # whether ``store.json`` was written again
    restored: int  # shards that count again
    dropped: int  # shards that are to be written again

    def __str__(self) -> str:
        """One line for a person."""
        header = f"{HEADER} written again, " if self.header else ""
        return f"{header}{self.restored} shards restored, {self.dropped} shards dropped"


def repair_store(folder: Place | str) -> Repair:
    """Drop what is damaged and count whole shards again that lost their line in a log.

    A lost or damaged header is written again from what the shards say of themselves, a log from
    the manifests. Samples of a damaged shard or manifest are gone until they are written again.

    Args:
        folder: the store, or its address; nobody may be writing to it.

    Returns:
        What was mended; a whole store stays as it is.

    Raises:
        ConfigError: there is no store, it is of another format, its header is lost and its shards
            do not agree on one, or shards of several makings are mixed.
        OutputError: a group is being written to, or the disk is full.
    """
    root = place_at(folder)
    if root.is_dir():
        writable(root)
    header, changed = _mended_header(root)
    restored = dropped = 0
    for group in group_folders(root):
        with holding_if_free(group):
            back, gone = _mended_group(root, header, group)
        restored, dropped = restored + back, dropped + gone
    return Repair(changed, restored, dropped)


def _mended_header(root: Place) -> tuple[Header, bool]:
    """The header, and whether it had to be taken from the shards."""
    said = said_by_shards(root) if root.is_dir() else []
    if not said or not _may_be_replaced(root):
        return read_header(root), False
    with suppress(ConfigError):
        header = read_header(root)
        if header in said:
            return header, False
    with holding(root):
        write_whole(root / HEADER, json_bytes(said[0].record(), of=HEADER))
    return said[0], True


def _may_be_replaced(root: Place) -> bool:
    """Whether the header is lost or unreadable, not merely of another format."""
    try:
        record = json_of((root / HEADER).read_bytes(), str(root / HEADER))
        return record.get("format") == FORMAT
    except (ConfigError, FileNotFoundError):
        return True


def _mended_group(root: Place, header: Header, folder: Place) -> tuple[int, int]:
    """Shards restored and dropped."""
    named = salvaged_commits(folder)
    seen = looked_at(root)
    good = [one for one in named.values() if damage_of(seen, one) is None]
    before = named.keys() | {
        name.removesuffix(TENSORS) for name in sizes_in(folder) if name.endswith(TENSORS)
    }
    try:
        sound = list(read_commits(folder).values()) == good
    except ConfigError:
        sound = False
    if not sound and (good or written_ns(folder)):
        replace_commits(folder, good)
    tidy(root, header, folder)
    after = read_commits(folder).keys()
    return len(after - {one.shard for one in good}), len(before - after)
