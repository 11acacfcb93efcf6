"""The tables of the pages from the records of runs in docs/evidence/.

python -m benchmarks.evidence                            # write every table from its record
python -m benchmarks.evidence --check                    # only tell which differ
python -m benchmarks.evidence --run store-recipes        # run that record's command, then write
python -m benchmarks.evidence --missing                  # run those whose record is not there
python -m benchmarks.evidence --from FOLDER drag-scenes  # record a run that was done already
python -m benchmarks.evidence --pictures drag_first.png  # draw that picture of the pages anew
python -m benchmarks.evidence --list                     # what makes each table and each picture

``make evidence`` does the fourth, the third for RUN=NAME,NAME and the sixth for PICTURES=NAME,NAME.
Some need what is not ours, checkouts or photographs: ``--given DIFT=FOLDER``, or GIVEN= of make.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.records.commands import FOLDERS, RECORDS, ran
from benchmarks.records.layouts import AGAIN, LAYOUTS, Record
from benchmarks.records.pictures import draw, listed
from benchmarks.records.tables import (
    EVIDENCE,
    ROOT,
    checked,
    pages,
    read_records,
    rendered,
    tables_in,
    write_record,
)
from featurekit.core.atomic import replacing
from featurekit_sketch.exam.sweep_table import read_runs

ABLATIONS = ROOT / "plugins" / "sketch" / "conf" / "ablation"
OF_A_RUN = ("seed", "versions", "weights", "metrics")  # what a record takes over from run.json


def main(words: Sequence[str] | None = None) -> int:
    """Run what is asked for, then write the tables.

    Args:
        words: of the command line; None takes them from ``sys.argv``.

    Returns:
        0; 1 if ``--check`` finds a table that is not that of its record.

    Raises:
        SystemExit: a table has no record, or a record no table.
    """
    asked = _arguments().parse_args(words)
    if asked.list:
        print(f"{listed_tables()}\n{listed()}")
        return 0
    found = pages()
    named = [name for text in found.values() for name, _ in tables_in(text)]
    _make_anew(asked, {AGAIN.get(name, name): None for name in named})
    records = read_records()
    try:
        checked(found.values(), records)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    changed = {
        path: new for path, text in found.items() if (new := rendered(text, records)) != text
    }
    if not asked.check:
        for path, new in changed.items():
            with replacing(path) as temporary:
                temporary.write_text(new, encoding="utf-8")
    differ = "differs from its records" if asked.check else "written"
    print("\n".join(f"{path.relative_to(ROOT)}: {differ}" for path in changed) or
          f"{len(records)} tables are those of their records")  # fmt: skip
    return int(bool(asked.check and changed))


def _make_anew(asked: argparse.Namespace, known: Iterable[str]) -> None:
    """Make the records and pictures that are asked for."""
    if asked.source:
        for name in asked.names:
            write_record(of_runs(name, asked.source), EVIDENCE / f"{name}.json")
    missing = [name for name in known if not (EVIDENCE / f"{name}.json").exists()]
    for name in [*asked.run, *(missing if asked.missing else ())]:
        make(name, asked.given)
    for name in asked.pictures:
        draw(name, asked.given)


def listed_tables() -> str:
    """What makes each table, a line for each."""
    records = read_records()
    made = {name: AGAIN.get(name, name) for name in sorted([*records, *AGAIN])}
    return "\n".join(
        f"{name}: {records[of]['origin']}; python {RECORDS[of]}" for name, of in made.items()
    )


def make(name: str, given: Mapping[str, str]) -> None:
    """Run what makes a record, and record it.

    Args:
        name: of the record.
        given: folders by the words in capitals that stand for them in its command.

    Raises:
        SystemExit: nothing is known to make it, or its command fails.
    """
    name = AGAIN.get(name, name)
    if name not in RECORDS:
        raise SystemExit(f"no command makes {name!r}; known: {', '.join(RECORDS)}")
    ran(name, RECORDS[name], given, EVIDENCE / f"{name}.json")
    if "{out}" in RECORDS[name]:
        write_record(of_runs(name, FOLDERS / name), EVIDENCE / f"{name}.json")


def of_runs(name: str, folder: Path) -> Record:
    """Make a record of a finished run of ``featurekit run``, or of a sweep of ablations.

    Args:
        name: of the record, whose runs these are.
        folder: of the run, or of the sweep.

    Raises:
        SystemExit: no run makes such a record, or one is not finished.
    """
    if (folder / "run.json").exists():
        return of_run(name, folder)
    found = [of_run(name, folder / run) for run in read_runs(folder)]
    names = sorted(path.stem for path in ABLATIONS.glob("*.yaml"))  # as a sweep's glob has them
    if len(found) != len(names):
        raise SystemExit(f"a record must be of all ablations, {len(names)}, got {len(found)} runs")
    metrics = {
        ablation: next(iter(one["metrics"]["held_out"].values()))
        for ablation, one in zip(names, found, strict=True)
    }
    return {**found[names.index("whole")], "metrics": metrics}


def of_run(name: str, folder: Path) -> Record:
    """Make a record of a finished run of ``featurekit run``.

    Args:
        name: of the record, whose run that is.
        folder: of the run.

    Raises:
        SystemExit: no run makes such a record, or the run is not finished.
    """
    found = json.loads((folder / "run.json").read_text("utf-8"))
    if name not in LAYOUTS or found["status"] != "done":
        raise SystemExit(f"a record must be of a finished run, by the name of a layout "
                         f"({', '.join(LAYOUTS)}), got {name!r}, {found['status']}")  # fmt: skip
    command = RECORDS[name].format(out="FOLDER")
    return {
        "origin": f"measured, recorded {datetime.now(UTC):%Y-%m-%d}",
        "command": f"python {command}",
        "layout": name,
        "settings": found["config"]["plugin"],
        **{key: found[key] for key in OF_A_RUN},
    }


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    comma = {"type": lambda text: [one for one in text.split(",") if one], "default": []}
    parser.add_argument("names", nargs="*", help="records to make of --from")
    parser.add_argument("--from", dest="source", type=Path, help="folder of a finished run")
    parser.add_argument("--run", metavar="NAME,...", **comma)
    parser.add_argument("--pictures", metavar="NAME,...", **comma)
    parser.add_argument("--given", metavar="WORD=PATH,...", type=_given, default={})
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", action="store_true")
    return parser


def _given(text: str) -> dict[str, str]:
    return dict(one.split("=", 1) for one in text.split(",") if one)


if __name__ == "__main__":
    sys.exit(main())
