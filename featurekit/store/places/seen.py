"""What a service says of its objects, in one form for all services."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Seen:
    """What a service says of an object, or of what lies like a folder."""

    st_size: int
    st_mtime_ns: int  # 0 where it does not say
    folder: bool = False


Listing = dict[str, dict[str, Seen]]
"""What lies in each folder below a root, by the folders' keys and their children's names."""


_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")


def seen(said: Mapping[str, Any]) -> Seen:
    """What a service says, each with names of its own for the time."""
    found = next((said[name] for name in _TIMES if said.get(name)), 0)
    seconds = found.timestamp() if isinstance(found, datetime) else found
    time_ns = round(1e9 * seconds) if isinstance(seconds, int | float) else 0
    return Seen(int(said.get("size") or 0), time_ns, said.get("type") == "directory")
