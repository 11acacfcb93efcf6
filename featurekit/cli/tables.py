"""Tables on the terminal."""

import sys
from collections.abc import Iterable, Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table

_UNWRAPPED = 1000  # columns; a line of a table is for grep, too


def show(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to stdout; cells are text as it stands, one line each.

    Args:
        titles: of the columns.
        rows: one cell per column.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    page = StringIO()  # rich would answer a closed pipe by ending the program
    Console(file=page, width=_UNWRAPPED, markup=False, highlight=False).print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines()))
