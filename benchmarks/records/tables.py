"""Records of runs as tables of pages: what a record looks like, and how each kind is laid out.

No command: ``evidence.py`` above is one. A record is a JSON file of ``docs/evidence/`` with

- ``origin``: when it was measured,
- ``command``, ``settings``, ``seed``, ``versions``, ``machine``: what made it, as far as known,
- ``layout`` and what that lays out: for ``cells`` the ``columns`` (titles, with the format of their
  numbers) and the ``rows``; for the others ``metrics``, as the ``run.json`` of a run has them.
"""

import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from featurekit.core.atomic import replacing
from featurekit.pipeline.run import versions
from featurekit_drag.tasks.evaluate_table import overall
from featurekit_sketch.metrics.figures import means

Record = Mapping[str, Any]

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/*.md", "plugins/*/README.md")  # where tables and pictures may stand
EVIDENCE = ROOT / "docs" / "evidence"
START, END = "<!-- table:{} -->", "<!-- end -->"

SKETCH_ROWS = {  # by what the task calls them
    "sketch": "**ours**",
    "vae alone": "the autoencoder's maps alone",
    "random unet": "UNet of random weights",
    "paper's network and sum": "the paper's network and sum, at 64 px and enlarged",
    "as released": "the same as its released code computes it",
    "tuned edges": "tuned edge map",
    "XDoG": "XDoG",
    "blank paper": "blank paper",
    "all black": "all black",
}
ONCE = ("XDoG", "all black")  # the same in every style but for the truth
SKETCH_FIGURES = {
    "ssim": ("SSIM", ".2f"),
    "f1": ("F1", ".3f"),
    "f1_exact": ("F1 exact", ".3f"),
    "pearson": ("Pearson", ".2f"),
    "ink": ("ink", ".3f"),
    "grey": ("grey", ".2f"),
}
DRAWN = "face"  # the kind of scene whose drawing is learnt


def cells(record: Record) -> str:
    """Rows as they are, numbers in the format of their column; None is an empty cell."""
    columns = [one if isinstance(one, dict) else {"title": one} for one in record["columns"]]
    formats = [one.get("format", "") for one in columns]
    rows = [
        ["" if cell is None else cell if isinstance(cell, str) else format(cell, form)
         for cell, form in zip(row, formats, strict=True)]
        for row in record["rows"]
    ]  # fmt: skip
    return laid([one["title"] for one in columns], rows)


def drag_scenes(record: Record) -> str:
    """The table that ``task=evaluate`` of drags writes itself."""
    return overall(record["metrics"])


def sketch_scenes(record: Record) -> str:
    """Every style and row, faces beside the other kinds."""
    titles = [title for title, _ in SKETCH_FIGURES.values()]
    heads = ["style", "row", f"{DRAWN}s: {titles[0]}", *titles[1:], f"other kinds: {titles[0]}"]
    return laid([*heads, *titles[1:]], [*_sketch_rows(record["metrics"]["held_out"])])


def sketch_kinds(record: Record) -> str:
    """F1 of lines by kind of scene, ours beside the edge map."""
    held_out = record["metrics"]["held_out"]
    kinds = list(next(iter(held_out.values()))["sketch"])
    rows = [
        [style, *(f"{rows['sketch'][k]['f1']:.2f} / {rows['tuned edges'][k]['f1']:.2f}"
                  for k in kinds)]
        for style, rows in held_out.items()
    ]  # fmt: skip
    return laid(["line F1 by kind, ours / tuned edge map", *kinds], rows)


LAYOUTS: Mapping[str, Callable[[Record], str]] = {
    "cells": cells,
    "drag-scenes": drag_scenes,
    "drag-published": drag_scenes,
    "sketch-scenes": sketch_scenes,
    "sketch-kinds": sketch_kinds,
}


def laid(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table in Markdown."""
    lines = [titles, *rows]
    head, *rest = ("|" + "|".join(f" {cell} " if cell else " " for cell in one) + "|\n"
                   for one in lines)  # fmt: skip
    return "".join([head, "|" + "---|" * len(titles) + "\n", *rest])


def table(record: Record) -> str:
    """A record's table."""
    return LAYOUTS[record["layout"]](record)


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
    named = [name for text in texts for name, _ in tables_in(text)]
    if sorted(named) != sorted(records):
        odd = ", ".join(sorted(set(named) ^ set(records))) or "one that stands twice"
        raise ValueError(f"every record must have a table and every table a record, but not: {odd}")


def rendered(page: str, records: Mapping[str, Record]) -> str:
    """Put each record's table between its marks.

    Args:
        page: text with marks.
        records: by name; all marks of the page have one.
    """
    for name, old in tables_in(page):
        start = START.format(name)
        page = page.replace(f"{start}\n{old}{END}", f"{start}\n{table(records[name])}{END}")
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
        "layout": "cells",
        "columns": list(columns),
        "rows": [list(row) for row in rows],
        "samples": {} if samples is None else dict(samples),
    }


def _sketch_rows(held_out: Mapping[str, Any]) -> Iterator[list[str]]:
    seen: set[str] = set()
    for style, rows in held_out.items():
        sides = {
            row: [means(kinds, [DRAWN]), means(kinds, [kind for kind in kinds if kind != DRAWN])]
            for row, kinds in rows.items()
        }
        true = ", ".join(f"{side['ink_true']:.3f}" for side in next(iter(sides.values())))
        for row, title in SKETCH_ROWS.items():
            if row in sides and not (row in ONCE and row in seen):
                seen.add(row)
                found = [format(side[name], form) for side in sides[row]
                         for name, (_, form) in SKETCH_FIGURES.items()]  # fmt: skip
                yield [f"{style} (true ink {true})", title, *found]
