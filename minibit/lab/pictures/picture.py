"""What a picture is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl
from bokeh.models import ColumnDataSource
from bokeh.models.ui import UIElement

from minibit.lab.run import Run

Columns = dict[str, dict[str, Any]]
"""The columns of sources: lists or numpy arrays, by the name of the source, then of the column."""


@dataclass(frozen=True)
class Picture:
    """One picture of a run.

    name   the name of its room, and the part before the colon in the names of its sources
    title  says what it shows
    look   says what to look for
    model  the Bokeh model
    feed   gives the columns of each source for a run
    table  gives the table behind it
    """

    name: str
    title: str
    look: str
    model: UIElement
    feed: Callable[[Run], Columns]
    table: Callable[[Run], pl.DataFrame]


def sources(columns: Columns) -> dict[str, ColumnDataSource]:
    """One Bokeh source for each of these, by the part of its name after the colon; a page finds it by the whole."""
    return {name.partition(":")[2]: ColumnDataSource(data, name=name) for name, data in columns.items()}
