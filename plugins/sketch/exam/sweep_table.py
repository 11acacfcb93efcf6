"""``featurekit sketch-table``: the runs of a sweep as one table, a row each."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featurekit.core.atomic import replacing
from featurekit.core.errors import ConfigError
from featurekit.core.json_files import read_json, write_json
from featurekit.pipeline.overrides import fill, usage
from featurekit.scenes import KINDS
from featurekit_sketch.inputs import SCENE_KIND
from featurekit_sketch.metrics.figures import Row, means

HELP = ("-h", "--help")
DONE, SKIPPED = 0, 3  # exit codes, as those of ``featurekit run``
RECORD, TABLE, NUMBERS = "run.json", "table.md", "table.json"
PLACES = ("out", "cache")  # root keys that say where, not what
SHOWN = ("ssim", "f1", "l1")
MOST = "as most"  # the row of a run that differs from most in nothing
EDGES = "tuned edges"


@dataclass
class SweepTableOptions:
    """What ``featurekit sketch-table`` takes."""

    runs: str = field(
        default="", metadata={"help": "folder of a sweep: a run of plugin=sketch in each folder"}
    )


def main(words: Sequence[str]) -> int:
    """Read the runs of a sweep, write their table into its folder and show it.

    Args:
        words: overrides of ``SweepTableOptions``, or ``--help``.

    Returns:
        The exit code: 0, or 3 if a run has no figures of held-out scenes.

    Raises:
        FeatureKitError: the words are wrong, there is no run with figures, or the table cannot be
            written.
    """
    if words and words[0] in HELP:
        summary = "held-out figures of the runs of a sweep as one table: runs=FOLDER"
        sys.stdout.write(f"featurekit sketch-table: {summary}\n\n{usage(SweepTableOptions)}\n")
        return DONE
    options = fill(SweepTableOptions, words)
    if not options.runs:
        raise ConfigError("sketch-table reads the folder of a sweep, got none; give runs=FOLDER")
    folder = Path(options.runs).expanduser()
    records = read_runs(folder)
    found = {name: one for name, one in records.items() if _figures(one)}
    if not found:
        raise ConfigError(
            f"runs must be the folder of a sweep of plugin=sketch over bundled scenes, but "
            f"{options.runs!r} has {len(records)} runs, none of them with figures; give the out of "
            f"featurekit run -m plugin=sketch ..."
        )
    rows = table_of(found)
    text = as_markdown(rows)
    with replacing(folder / TABLE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    write_json({"rows": rows}, folder / NUMBERS)
    sys.stdout.write(f"{text}\n{folder / TABLE}\n")
    over = [name for name in records if name not in found]
    sys.stderr.write("".join(f"skipped {name}: {_why(records[name])}\n" for name in over))
    return SKIPPED if over else DONE


def read_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """The records of the runs in the folders of a folder, by name, in the order they were begun.

    Raises:
        ConfigError: there is no such folder, or a record is damaged.
    """
    if not folder.is_dir():
        raise ConfigError(f"runs must be a folder, but {str(folder)!r} is none")
    paths = sorted(folder.glob(f"*/{RECORD}"), key=lambda path: _order(path.parent.name))
    return {path.parent.name: read_json(path) for path in paths}


def table_of(records: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each run and drawing style, and for the edge map of each style.

    Args:
        records: of runs with figures, by the name of their folder.

    Returns:
        For each row ``run``, ``changed`` (what differs from most runs), ``style``, and mean figures
        of scenes of the learnt kind (``same``) and of all others (``other``).
    """
    changed = differences({name: _settings(one) for name, one in records.items()})
    rows, edges = [], {}
    for name, record in records.items():
        for style, table in _figures(record).items():
            rows.append({"run": name, "changed": changed[name], "style": style, **_of(table)})
            edges[style] = {"run": "", "changed": EDGES, "style": style, **_of(table, "edges")}
    return [*rows, *edges.values()]


def differences(settings: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Name what each run has otherwise than most; of equally many the first run's counts as most.

    Args:
        settings: of each run, by their full names.
    """
    names = list(dict.fromkeys(name for one in settings.values() for name in one))
    usual = {
        name: Counter(one.get(name, "") for one in settings.values()).most_common(1)[0][0]
        for name in names
    }
    found = {}
    for run, one in settings.items():
        parts = [f"{name}={one.get(name)}" for name in names if one.get(name, "") != usual[name]]
        found[run] = " ".join(parts).replace("plugin.", "") or MOST
    return found


def as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the table for people."""
    figures = [*SHOWN, "ink"]
    heads = ["what differs", "style"]
    heads += [f"{name} {group}" for group in (f"{SCENE_KIND}s", "others") for name in figures]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        numbers = [_shown(row[group][name]) for group in ("same", "other") for name in figures]
        lines.append([str(row["changed"]).replace("|", "/"), row["style"], *numbers])
    told = "ink is the share of the true amount; others are means over all other kinds of scenes"
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{told}\n"


def _figures(record: Mapping[str, Any]) -> Mapping[str, Mapping[str, Mapping[str, Row]]]:
    """Figures of held-out scenes by style, row and kind, of a training that came to its end."""
    if record.get("task") != "train" or record.get("status") != "done":
        return {}
    found: Mapping[str, Any] = record["metrics"].get("held_out", {})
    return found


def _why(record: Mapping[str, Any]) -> str:
    if record.get("status") != "done":
        return f"it is {record.get('status', 'of no known state')}"
    return "it has no figures of bundled scenes"


def _of(table: Mapping[str, Mapping[str, Row]], row: str = "sketch") -> dict[str, Any]:
    groups = {"same": [SCENE_KIND], "other": [kind for kind in KINDS if kind != SCENE_KIND]}
    found: dict[str, Any] = {}
    for group, kinds in groups.items():
        mean = means(table[row], kinds)
        found[group] = {name: mean[name] for name in SHOWN}
        found[group]["ink"] = mean["ink"] / mean["ink_true"] if mean["ink_true"] else None
    return found


def _settings(record: Mapping[str, Any]) -> dict[str, str]:
    config = {name: one for name, one in record["config"].items() if name not in PLACES}
    return dict(_flat(config))


def _flat(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", str(value).replace(" ", "")


def _order(name: str) -> tuple[int, str]:
    number = name.partition("_")[0]
    return (int(number) if number.isdigit() else sys.maxsize, name)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
