"""What a picture is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
from bokeh.models import ColumnDataSource
from bokeh.models.ui import UIElement

if TYPE_CHECKING:
    from minibit.lab.run import Run

Columns = dict[str, dict[str, Any]]
"""By the name of a source, by the name of a column: a list or a numpy array."""


@dataclass(frozen=True)
class Picture:
    """One picture of a run.

    name   of its room, and before the colon in the names of its sources
    title  what it shows, in words
    look   what to look for, in a sentence
    model  the Bokeh model
    feed   the columns of each of its sources, of the run as it is then
    table  the table behind it
    """

    name: str
    title: str
    look: str
    model: UIElement
    feed: Callable[[Run], Columns]
    table: Callable[[Run], pl.DataFrame]


def sources(columns: Columns) -> dict[str, ColumnDataSource]:
    """A source of its own for each of these, findable in a page by its name."""
    return {name: ColumnDataSource(data, name=name) for name, data in columns.items()}
