"""Rows as a table in text, and as one in HTML. The first column names the row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from minibit.errors import printable


def as_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A line of the names of the columns, and a line for each row; columns with nothing in them are left out."""
    table = _filled(columns, rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in padded)


def as_html(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The same for a notebook."""
    head, *body = _filled(columns, rows)
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in body)
    return f"<table><tr>{heads}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _filled(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[list[str]]:
    """The names of the columns and the rows, without the columns in which no row has anything."""
    table = [[printable(cell) for cell in row] for row in rows]
    kept = [index for index in range(len(columns)) if not index or any(row[index] for row in table)]
    return [[row[index] for index in kept] for row in [list(columns), *table]]
