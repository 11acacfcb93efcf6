"""What scripts share that write a record of their table: cells, commands as typed, clocks.

No command: scripts of every room import it. A record is ``measured`` of ``tables.py``; here
is how its cells are worded, and how CPU seconds of another process are read.
"""

import argparse
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.records.layouts import Record, cells
from benchmarks.records.side_by_side import Seconds
from benchmarks.records.tables import measured, write_record

ELSEWHERE = "FOLDER"  # stands for a place of this machine
OWN = ("--record",)  # words, with the one behind each, that say nothing of what was measured


def recorded_to(parser: argparse.ArgumentParser) -> None:
    """Let a script be told where its record goes."""
    parser.add_argument("--record", type=Path, help="write the table there, for evidence.py")


def typed(script: str, words: Sequence[str] | None) -> str:
    """Word the command of a script: as typed, without places of this machine.

    Args:
        script: its module within ``benchmarks``, such as ``store.speed``.
        words: of the command line; None takes them from ``sys.argv``.
    """
    given = list(sys.argv[1:] if words is None else words)
    told: list[str] = []
    for number, word in enumerate(given):
        if word in OWN or (number and given[number - 1] in OWN) or word.startswith("--record="):
            continue
        told.append(ELSEWHERE if word.startswith(("/", "~", "./", "../")) else shlex.quote(word))
    return " ".join(["python", "-m", f"benchmarks.{script}", *told])


def recorded(
    path: Path | None,
    command: str,
    columns: Sequence[str | Mapping[str, str]],
    rows: Sequence[Sequence[object]],
    *,
    settings: Mapping[str, object],
    samples: Mapping[str, Sequence[object]] | None = None,
) -> Record:
    """Print a table, and write its record if there is a place for it.

    Args:
        path: of the record; None for none.
        command: likewise the others, as those of ``measured``.
        columns: titles, with the ``format`` of their numbers.
        rows: cells.
        settings: what the figures depend on.
        samples: what rows are medians of.
    """
    record = measured(command, columns, rows, settings=settings, samples=samples)
    print(f"\n{cells(record)}", flush=True)
    if path is not None:
        write_record(record, path)
    return record


def spread(figures: Sequence[float], form: str = ".2f") -> str:
    """Word the median of some figures, with the least and the greatest of them."""
    middle, least, most = (
        format(one, form) for one in (median(figures), min(figures), max(figures))
    )
    return f"{middle} ({least} to {most})"


def ratios(ours: Sequence[Seconds], theirs: Sequence[Seconds], clock: str = "cpu") -> list[float]:
    """Divide the seconds of two ways, round by round."""
    return [getattr(a, clock) / getattr(b, clock) for a, b in zip(ours, theirs, strict=True)]


def rounds_of(found: Mapping[str, Sequence[Seconds]]) -> dict[str, list[dict[str, float]]]:
    """Write the seconds of each round as the samples of a record."""
    return {name: [one._asdict() for one in some] for name, some in found.items()}


def child(
    words: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[str, Seconds]:
    """Run a command to its end.

    Args:
        words: of the command.
        environment: its variables; None are those of this process.

    Returns:
        What it printed, and its seconds: the CPU's are those of all of its threads, and of the
        processes that it waited for.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    before, start = _children_s(), time.perf_counter()
    done = subprocess.run(
        words, check=True, stdout=subprocess.PIPE, text=True,
        env=None if environment is None else dict(environment),
    )  # fmt: skip
    return done.stdout, Seconds(time.perf_counter() - start, _children_s() - before)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
