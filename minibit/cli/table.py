"""A table of results, as all experiments print it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

WIDTH_MAX = 1000


def show(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on standard output: the first column names the row, all others are figures."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(str, row))
    console = Console(highlight=False)
    wide = console.options.update(max_width=WIDTH_MAX)
    console.width = max(console.width, console.measure(table, options=wide).maximum)  # no figure is cut
    put(table, console)


def put(table: Table, console: Console) -> None:
    """Print a table in one piece. rich itself would end the program, with a code of its own, when nobody reads it."""
    with console.capture() as shown:
        console.print(table)
    console.file.write(shown.get())
    console.file.flush()
