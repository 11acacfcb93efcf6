"""Figures that are done, kept in a file line by line, so that an interrupted run goes on there."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featurekit.core.atomic import replacing, unwritable
from featurekit.core.json_files import plain

Record = Mapping[str, Any]


class KeptRows:
    """Records by key: read once, and added to one by one.

    A line that was cut off when a run ended, or is no record, counts as not there.
    """

    def __init__(self, path: Path) -> None:
        """Read what an earlier run left.

        Args:
            path: of the lines; it need not exist.

        Raises:
            OutputError: what is damaged in it cannot be left out.
        """
        self._path = path
        self._records: dict[str, Record] = {}
        if not path.exists():
            return
        lines = path.read_bytes().split(b"\n")
        whole = [record for record in map(_record, lines[:-1]) if record is not None]
        self._records = {record["key"]: record for record in whole}
        if len(whole) < len(lines) - 1 or lines[-1]:
            with replacing(path) as temporary:
                temporary.write_text("".join(map(_line, whole)), encoding="utf-8")

    def get(self, key: str) -> Record | None:
        """The record of a key, if there is one."""
        return self._records.get(key)

    def add(self, records: Mapping[str, Record]) -> None:
        """Keep records by key, all of them or, if the process ends meanwhile, the first.

        Raises:
            OutputError: they cannot be written; what was there before stays readable.
        """
        entries = [{"key": key, **record} for key, record in records.items()]
        if not entries:
            return
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write("".join(map(_line, entries)))
        except OSError as error:
            raise unwritable(self._path, error) from error
        self._records |= {entry["key"]: entry for entry in entries}


def _line(record: Record) -> str:
    return json.dumps(plain(record, of="a record"), ensure_ascii=False) + "\n"


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("key"), str) else None
