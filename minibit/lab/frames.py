"""Records as tables: polars DataFrames whose columns are the fields of the records.

Invariant: a table has its columns and their types also when it has no row. Its rows are in the order of time, and rows
of one moment keep the order in which they were noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import polars as pl

from minibit.records import TABLES, Record

ROWS_AT_ONCE = 100_000  # while a table is made, this many rows are in memory twice

_DTYPES: dict[Any, Any] = {float: pl.Float64, int: pl.Int64}


def schema(name: str) -> dict[str, Any]:
    """The columns of a table of records: times and durations Float64 (seconds), counts Int64, all else String."""
    return {field.name: _DTYPES.get(field.type, pl.String) for field in msgspec.structs.fields(TABLES[name])}


def empty(name: str) -> pl.DataFrame:
    """The table of that name, without a row."""
    return pl.DataFrame(schema=schema(name))


def fitted(name: str, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """A table from a file with the columns that it must have, and the names of those that it lacked, which are null."""
    columns = schema(name)
    lacking = [one for one in columns if one not in frame.columns]
    return frame.select(
        pl.lit(None, dtype).alias(one) if one in lacking else pl.col(one).cast(dtype) for one, dtype in columns.items()
    ), lacking


def frames(records: Iterable[Record]) -> dict[str, pl.DataFrame]:
    """The records as the tables `blocks`, `peers`, `serving`, `samples`, `links`."""
    return dict(each_frame(records))


def each_frame(records: Iterable[Record]) -> Iterator[tuple[str, pl.DataFrame]]:
    """The tables one after another, so that of millions of records only one table is in memory at once."""
    rows = _sorted_out(records)
    for name, kind in TABLES.items():
        yield name, _in_order(_frame(name, rows.pop(kind)))


class GrowingFrames:
    """The tables of a list of records that grows: each call converts only the records that are new."""

    def __init__(self) -> None:
        self._seen = 0
        self._frames = {name: empty(name) for name in TABLES}

    def of(self, records: Sequence[Record], zero_s: float = 0.0) -> dict[str, pl.DataFrame]:
        """The tables of all `records`; `zero_s` becomes 0. Records that an earlier call saw must not have changed."""
        rows = _sorted_out(records[self._seen :])
        self._seen = len(records)
        for name, kind in TABLES.items():
            if rows[kind]:
                self._frames[name] = pl.concat([self._frames[name], _frame(name, rows[kind])])
        return {name: _in_order(frame.with_columns(pl.col("at_s") - zero_s)) for name, frame in self._frames.items()}


def _sorted_out(records: Iterable[Record]) -> dict[type, list[Record]]:
    rows: dict[type, list[Record]] = {kind: [] for kind in TABLES.values()}
    for record in records:
        rows[type(record)].append(record)
    return rows


def _frame(name: str, rows: list[Record]) -> pl.DataFrame:
    columns = schema(name)
    parts = (rows[at : at + ROWS_AT_ONCE] for at in range(0, len(rows) or 1, ROWS_AT_ONCE))
    return pl.concat(
        [pl.DataFrame({one: [getattr(row, one) for row in part] for one in columns}, schema=columns) for part in parts]
    )


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    return frame if frame["at_s"].is_sorted() else frame.sort("at_s", maintain_order=True)
