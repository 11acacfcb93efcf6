"""The tables of docs/results.md from the records of runs in docs/evidence/.

python benchmarks/evidence.py                            # write every table from its record
python benchmarks/evidence.py --check                    # only tell which differ
python benchmarks/evidence.py --run store-recipes        # run that record's command, then write
python benchmarks/evidence.py --missing                  # run those whose record is not there
python benchmarks/evidence.py --from FOLDER drag-scenes  # record a run that was done already
python benchmarks/evidence.py --transcribe sketch-styles # a record of a table changed by hand
python benchmarks/evidence.py --pictures drag_first.png  # draw that picture of the pages anew
python benchmarks/evidence.py --list                     # what makes each table and each picture

``make evidence`` does the fourth, the third for RUN=NAME,NAME and the seventh for
PICTURES=NAME,NAME. A record of figures that were typed by hand says that it is transcribed, and
``--list`` names these, and the pictures that nothing draws.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from evidence_pictures import draw, listed
from evidence_tables import (
    EVIDENCE,
    LAYOUTS,
    PAGE,
    ROOT,
    TRANSCRIBED,
    Record,
    read_records,
    rendered,
    tables_in,
    transcribed,
    write_record,
)

from featurekit.core.atomic import replacing

OF_A_RUN = ("seed", "versions", "weights", "metrics")  # what a record takes over from run.json
RUNS: Mapping[str, str] = {  # how records that are not there are made
    "store-recipes": "benchmarks/store.py --record {record}",
    "store-speed": "benchmarks/store_speed.py --record {record}",
    "store-records": "benchmarks/store_speed.py --records 100000 --record {record}",
    "drag-scenes": "-m featurekit run plugin=drag task=evaluate plugin.scenes=50 "
    "'plugin.presets=[drag_warp,drag_fast,drag_balanced,drag_best]' out={out}",
    "sketch-scenes": "-m featurekit run plugin=sketch task=evaluate out={out}",
}
SHARED = {"sketch-kinds": "sketch-scenes"}  # a record that is made of the same run as another


def main(words: Sequence[str] | None = None) -> int:
    """Run what is asked for, then write the tables.

    Args:
        words: of the command line; None takes them from ``sys.argv``.

    Returns:
        0; 1 if ``--check`` finds a table that is not that of its record.
    """
    asked = _arguments().parse_args(words)
    if asked.list:
        print(f"{listed_tables()}\n{listed()}")
        return 0
    page = PAGE.read_text("utf-8")
    _make_anew(asked, page)
    new = rendered(page, read_records())
    if asked.check:
        records = read_records()
        differ = [name for name, text in tables_in(page) if dict(tables_in(new))[name] != text]
        print("\n".join(f"{name} differs from its record" for name in differ) or
              f"{len(records)} tables are those of their records")  # fmt: skip
        return int(bool(differ))
    if new != page:
        with replacing(PAGE) as temporary:
            temporary.write_text(new, encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {'written' if new != page else 'as it was'}")
    return 0


def _make_anew(asked: argparse.Namespace, page: str) -> None:
    """Make the records and pictures that are asked for."""
    for name in asked.transcribe:
        transcribe(name, dict(tables_in(page))[name])
    if asked.source:
        for name in asked.names:
            write_record(of_run(name, asked.source), EVIDENCE / f"{name}.json")
    known = [name for name, _ in tables_in(page)]
    missing = [name for name in known if not (EVIDENCE / f"{name}.json").exists()]
    for name in [*asked.run, *(missing if asked.missing else ())]:
        make(name)
    for name in asked.pictures:
        draw(name)


def listed_tables() -> str:
    """What makes each table, a line for each."""
    lines = []
    for name, record in sorted(read_records().items()):
        known = RUNS.get(SHARED.get(name, name)) or record["command"]
        made = f"; python {known.removeprefix('python ')}" if known else "; nothing makes it"
        lines.append(f"{name}: {record['origin']}{made}")
    return "\n".join(lines)


def make(name: str) -> None:
    """Run what makes a record, and record it.

    Raises:
        SystemExit: nothing is known to make it, or its command fails.
    """
    name = SHARED.get(name, name)
    if name not in RUNS:
        raise SystemExit(f"no command makes {name!r}; known: {', '.join(RUNS)}")
    record, out = EVIDENCE / f"{name}.json", ROOT / "runs" / "evidence" / name
    command = RUNS[name].format(record=shlex.quote(str(record)), out=shlex.quote(str(out)))
    print(f"{name}: python {command}", flush=True)
    done = subprocess.run([sys.executable, *shlex.split(command)], cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"what makes {name!r} must succeed, but it ended with {done.returncode}")
    if "{out}" in RUNS[name]:
        for one in [name, *(other for other, made in SHARED.items() if made == name)]:
            write_record(of_run(one, out), EVIDENCE / f"{one}.json")


def of_run(name: str, folder: Path) -> Record:
    """Make a record of a finished run of ``featurekit run``.

    Args:
        name: of the record, which is that of its layout.
        folder: of the run.

    Raises:
        SystemExit: no layout has that name, or the run is not finished.
    """
    found = json.loads((folder / "run.json").read_text("utf-8"))
    if name not in LAYOUTS or found["status"] != "done":
        raise SystemExit(f"a record must be of a finished run, by the name of a layout "
                         f"({', '.join(LAYOUTS)}), got {name!r}, {found['status']}")  # fmt: skip
    command = RUNS[SHARED.get(name, name)].format(out="FOLDER", record="")
    return {
        "origin": f"measured, recorded {datetime.now(UTC):%Y-%m-%d}",
        "command": f"python {command}",
        "layout": name,
        "settings": found["config"]["plugin"],
        **{key: found[key] for key in OF_A_RUN},
    }


def transcribe(name: str, text: str) -> None:
    """Make a record of a table as it stands on the page."""
    path = EVIDENCE / f"{name}.json"
    origin = f"{TRANSCRIBED}, {datetime.now(UTC):%Y-%m-%d}"
    write_record({"origin": origin, "command": None, **transcribed(text)}, path)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    comma = {"type": lambda text: [one for one in text.split(",") if one], "default": []}
    parser.add_argument("names", nargs="*", help="records to make of --from")
    parser.add_argument("--from", dest="source", type=Path, help="folder of a finished run")
    parser.add_argument("--run", metavar="NAME,...", **comma)
    parser.add_argument("--transcribe", metavar="NAME,...", **comma)
    parser.add_argument("--pictures", metavar="NAME,...", **comma)
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
