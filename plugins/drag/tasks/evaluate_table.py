"""The table of ``task=evaluate`` in Markdown: edits of every preset above what they are beside."""

from collections.abc import Iterator, Mapping
from typing import Any

from featurekit_drag.metrics.scores import CONTROLS

HEADINGS = (
    *("sort", "picture", "scenes", "MSE ratio, mean", "median", "success"),
    *("by patch", "by features", "all arrived", "CPU s"),
)
KIND_HEADINGS = ("sort", "kind", "picture", "scenes", "MSE ratio, median", "success")
SHARED = (*CONTROLS, "truth", "vae_floor")  # rows that are the same for every preset
NAMES = {"noop": "nothing", "shifted_copy": "shifted copy", "vae_floor": "VAE of the truth"}

Sorts = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By sort and preset, what ``averages`` found, with ``kinds`` from ``by_kind``."""


def overall(sorts: Sorts) -> str:
    """Lay out the table over all scenes of a sort: figures with their 95 % intervals."""
    return _table(HEADINGS, [*_rows(sorts)])


def of_kinds(sorts: Sorts) -> str:
    """Lay out the table of the edits by kind of scene."""
    return _table(KIND_HEADINGS, [*_kind_rows(sorts)])


def _rows(sorts: Sorts) -> Iterator[list[str]]:
    for sort, presets in sorts.items():
        for preset, found in presets.items():
            for name, row in found["rows"].items():
                if name not in SHARED:
                    label = preset if name == "edit" else f"{preset}: {name}"
                    seconds = f"{found['seconds']:.1f}" if name == "edit" else ""
                    yield [sort, label, *_figures(row), seconds]
        rows = next(iter(presets.values()))["rows"]
        for name in SHARED:
            if name in rows:
                yield [sort, NAMES.get(name, name), *_figures(rows[name]), ""]


def _kind_rows(sorts: Sorts) -> Iterator[list[str]]:
    for sort, presets in sorts.items():
        for kind in next(iter(presets.values()))["kinds"]:
            for preset, found in presets.items():
                row = found["kinds"][kind]
                ratio, success = _number(row["mse_ratio"]), _share(row["success"])
                yield [sort, kind, preset, str(row["scenes"]), ratio, success]


def _figures(row: Mapping[str, Any]) -> list[str]:
    ratio, arrived = row["mse_ratio"], row["arrived"]
    return [
        str(row["scenes"]),
        _number(ratio["mean"]),
        _number(ratio["median"]),
        _share(row["success"]),
        f"{arrived['patch']:.0%}",
        f"{arrived['feature']:.0%}",
        str(row["all_arrived"]),
    ]


def _number(found: Mapping[str, float]) -> str:
    return f"{found['value']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def _share(found: Mapping[str, float]) -> str:
    return f"{found['value']:.0%} ({found['low']:.0%} to {found['high']:.0%})"


def _table(headings: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
