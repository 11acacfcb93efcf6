"""Records of runs as tables of pages: what a record looks like, and where its table stands.

No command: ``evidence.py`` above is one. A record is a JSON file of ``docs/evidence/`` with

- ``origin``: when it was measured,
- ``command``, ``settings``, ``seed``, ``versions``, ``machine``: what made it, as far as known,
- ``layout``, by its name in ``layouts.py``, and what that lays out: for ``cells`` the ``columns``
  (titles, with the format of their numbers) and the ``rows``; for the others ``metrics``.
"""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.records.layouts import AGAIN, Record, table
from featurekit.core.atomic import replacing
from featurekit.pipeline.run import versions

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/*.md", "plugins/*/README.md")  # where tables and pictures may stand
EVIDENCE = ROOT / "docs" / "evidence"
START, END = "<!-- table:{} -->", "<!-- end -->"


def pages() -> dict[Path, str]:
    """Text of every page, by its path."""
    return {path: path.read_text("utf-8") for one in PAGES for path in sorted(ROOT.glob(one))}


def checked(texts: Iterable[str], records: Mapping[str, Record]) -> None:
    """Refuse tables without a record, and records without a table.

    Args:
        texts: of all pages.
        records: by name; each has marks on one page, and all marks have one.

    Raises:
        ValueError: a mark has no record or no end, or a record has no mark.
    """
    named = sorted(name for text in texts for name, _ in tables_in(text))
    wanted = sorted([*records, *(name for name, of in AGAIN.items() if of in records)])
    if named != wanted:
        odd = ", ".join(sorted(set(named) ^ set(wanted))) or "one that stands twice"
        raise ValueError(f"every record must have a table and every table a record, but not: {odd}")


def rendered(page: str, records: Mapping[str, Record]) -> str:
    """Put each record's table between its marks.

    Args:
        page: text with marks.
        records: by name; all marks of the page have one.
    """
    for name, old in tables_in(page):
        start = START.format(name)
        page = page.replace(f"{start}\n{old}{END}", f"{start}\n{table(name, records)}{END}")
    return page


def tables_in(page: str) -> list[tuple[str, str]]:
    """Name and text of every table of a page that stands between marks, in their order.

    Raises:
        ValueError: a mark has no end.
    """
    before, _, _ = START.partition("{}")
    found = []
    for part in page.split(before)[1:]:
        name, _, rest = part.partition(" -->\n")
        text, end, _ = rest.partition(END)
        if not end or "<!--" in text:
            raise ValueError(f"table {name!r} must end with {END}")
        found.append((name, text))
    return found


def read_records() -> dict[str, Record]:
    """Every record that there is, by name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in EVIDENCE.glob("*.json")}


def write_record(record: Record, path: Path) -> None:
    """Write a record so that people can compare two: a line for each entry, and for each row."""
    entries = []
    for key, value in record.items():
        text = json.dumps(value, ensure_ascii=False)
        if key == "rows":
            rows = ",\n    ".join(json.dumps(row, ensure_ascii=False) for row in value)
            text = f"[\n    {rows}\n  ]"
        elif key == "metrics":
            text = json.dumps(value, ensure_ascii=False, indent=1)
        entries.append(f"  {json.dumps(key)}: {text}")
    with replacing(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


def measured(
    command: str,
    columns: Sequence[str | Mapping[str, str]],
    rows: Sequence[Sequence[object]],
    *,
    settings: Mapping[str, object],
    samples: Mapping[str, Sequence[object]] | None = None,
) -> Record:
    """Make the record of a table that a script has just measured.

    Args:
        command: that measured it.
        columns: titles, with the ``format`` of their numbers.
        rows: cells; numbers as they are, not rounded.
        settings: what the figures depend on.
        samples: what the rows are medians of, by the name of what was repeated.
    """
    return {
        **made_now(command, settings),
        "layout": "cells",
        "columns": list(columns),
        "rows": [list(row) for row in rows],
        "samples": {} if samples is None else dict(samples),
    }


def made_now(command: str, settings: Mapping[str, object]) -> Record:
    """Make the part of a record that says what made it, when and where.

    Args:
        command: that measured it.
        settings: what the figures depend on.
    """
    return {
        "origin": f"measured {datetime.now(UTC):%Y-%m-%d}",
        "command": command,
        "settings": dict(settings),
        "versions": versions(),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
            "threads": torch.get_num_threads(),
        },
    }
