"""Records as tables: polars DataFrames whose columns are the fields of the records.

Invariant: a table has its columns and their types also when it has no row, and its rows are in order of time; rows
of one moment keep the order in which they were noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import polars as pl

from minibit.records import TABLES, Record

ROWS_AT_ONCE = 100_000  # that stand twice in memory while a table is made

_DTYPES: dict[Any, Any] = {float: pl.Float64, int: pl.Int64}


def schema(name: str) -> dict[str, Any]:
    """The columns of a table of records: times and durations Float64 (seconds), counts Int64, all else String."""
    return {field.name: _DTYPES.get(field.type, pl.String) for field in msgspec.structs.fields(TABLES[name])}


def empty(name: str) -> pl.DataFrame:
    """That table without a row."""
    return pl.DataFrame(schema=schema(name))


def fitted(name: str, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """A table that was read, with the columns that it must have; and those that it lacked, which are null."""
    columns = schema(name)
    lacking = [one for one in columns if one not in frame.columns]
    return frame.select(
        pl.lit(None, dtype).alias(one) if one in lacking else pl.col(one).cast(dtype) for one, dtype in columns.items()
    ), lacking


def frames(records: Iterable[Record]) -> dict[str, pl.DataFrame]:
    """The records as the tables `blocks`, `peers`, `serving`, `samples`, `links`."""
    return dict(each_frame(records))


def each_frame(records: Iterable[Record]) -> Iterator[tuple[str, pl.DataFrame]]:
    """One table after the other: where there are millions of records, only one need be there at once."""
    rows = _sorted_out(records)
    for name, kind in TABLES.items():
        yield name, _in_order(_frame(name, rows.pop(kind)))


class GrowingFrames:
    """The tables of records that become more: each look costs only what is new since the last one."""

    def __init__(self) -> None:
        self._seen = 0
        self._frames = {name: empty(name) for name in TABLES}

    def of(self, records: Sequence[Record], zero_s: float = 0.0) -> dict[str, pl.DataFrame]:
        """The tables of all `records`, of which none was changed since the last look; `zero_s` becomes 0."""
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
