"""The table of a comparison: a row for each cell, for the eye, for a page, and for programs."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from minibit.compare.columns import Estimate, estimate, heading, shown
from minibit.compare.grid import Grid, GridCell
from minibit.compare.results import ResultsFolder

NOTHING = Estimate(None, None, 0)


class TableRow(NamedTuple):
    """A cell in the table: so many runs that ended well, so many that were lost, and the estimate of each measure."""

    cell: dict[str, str]
    runs: int
    lost: int
    estimates: dict[str, Estimate]


def row(cell: GridCell, results: ResultsFolder) -> TableRow:
    """The estimates of a cell."""
    found = [result for run in cell.runs if (result := results.whole(run)) is not None]
    names = dict.fromkeys(name for result in found for name in result.figures)
    estimates = {name: estimate(result.figures.get(name) for result in found) for name in names}
    return TableRow(cell.values, len(found), len(cell.runs) - len(found), estimates)


def cells_of(grid: Grid, rows: list[TableRow]) -> tuple[list[str], list[list[str]]]:
    """The table as texts: its headings, its rows. What no cell has is left out."""
    measures = [name for name in grid.measures if any(one.estimates.get(name, NOTHING).runs for one in rows)]
    headings = [*grid.axes, "runs", *map(heading, measures)]
    return headings, [
        [
            *one.cell.values(),
            f"{one.runs} of {one.runs + one.lost}" if one.lost else str(one.runs),
            *(shown(name, one.estimates.get(name, NOTHING), one.runs) for name in measures),
        ]
        for one in rows
    ]


def as_markdown(grid: Grid, rows: list[TableRow]) -> str:
    """The table for a page, readable as text too."""
    return in_markdown(*cells_of(grid, rows), names=len(grid.axes))


def in_markdown(headings: list[str], texts: list[list[str]], names: int = 1) -> str:
    """A table for a page: its first columns are names, all others are figures."""
    widths = [max(map(len, column)) for column in zip(headings, *texts, strict=True)]

    def line(cells: list[str]) -> str:
        padded = (
            text.ljust(width) if index < names else text.rjust(width)
            for index, (text, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |\n"

    rule = [("-" * width if index < names else "-" * (width - 1) + ":") for index, width in enumerate(widths)]
    return line(headings) + line(rule) + "".join(map(line, texts))


def as_object(grid: Grid, rows: list[TableRow], lost: dict[str, str], out: Path) -> dict[str, Any]:
    """What --json prints: all measures, in base units."""
    cells = []
    for one in rows:
        measures = {name: found._asdict() for name, found in one.estimates.items()}
        cells.append({"cell": one.cell, "runs": one.runs, "lost": one.lost, "measures": measures})
    return {"title": grid.title, "out": str(out), "cells": cells, "lost": lost}


def as_parquet(grid: Grid, rows: list[TableRow]) -> bytes:
    """The table for programs: for each measure its mean, `half` of its interval, and of how many `runs` it is."""
    import polars as pl  # noqa: PLC0415  of the extra `lab`

    names = dict.fromkeys(name for one in rows for name in one.estimates)
    columns: dict[str, Any] = {axis: [one.cell[axis] for one in rows] for axis in grid.axes}
    columns |= {"runs": [one.runs for one in rows], "lost": [one.lost for one in rows]}
    for name in names:
        found = [one.estimates.get(name, NOTHING) for one in rows]
        columns[name] = pl.Series([one.mean for one in found], dtype=pl.Float64)
        columns[f"{name}:half"] = pl.Series([one.half for one in found], dtype=pl.Float64)
        columns[f"{name}:runs"] = [one.runs for one in found]
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer)
    return buffer.getvalue()


# what is not in it


def lost_runs(grid: Grid, results: ResultsFolder) -> dict[str, str]:
    """Why each lost run was lost, by what it was."""
    lost = [run for run in grid.runs() if results.whole(run) is None]
    return {named({**run.cell, "seed": str(run.seed)}): results.by_key[run.key].lost or "" for run in lost}


def incomplete(grid: Grid, results: ResultsFolder) -> dict[str, str]:
    """Why most of the peers that never became complete didn't, by cell."""
    found = {}
    for cell in grid.cells:
        ended = [result for run in cell.runs if (result := results.whole(run)) is not None]
        whys = Counter(failure["why"] for result in ended for failure in result.summary["failed"])
        if whys:
            found[named(cell.values)] = f"{whys.total()} peers in all runs together, e.g. {whys.most_common(1)[0][0]}"
    return found


def named(values: dict[str, str]) -> str:
    """A cell in one line."""
    return ", ".join(f"{axis} = {value}" for axis, value in values.items()) or "the only cell"
