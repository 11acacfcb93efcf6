"""Tables on the terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

_UNWRAPPED = 1000  # columns, where nobody reads along and a program may


def show(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to stdout; cells are text as it stands, one line each.

    Args:
        titles: of the columns.
        rows: one cell per column.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, no_wrap=True, overflow="ignore")
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False)
    width = console.width if console.is_terminal else _UNWRAPPED
    console.print(table, width=width)
