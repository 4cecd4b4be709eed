"""The pictures of a run: one room each, built once and fed many times.

The report, a notebook and the live page show the same pictures. A picture is a Bokeh model over sources that have
names (`blocks:image`), and `feed` gives new columns for each of them, from a run that has become longer. Nothing
in a picture calls Python: what moves is moved by the page itself, by the one clock that all of them share.

A picture shows what the run's tables say and decides nothing. Where there is too much it draws a sample and its
title says so; where there is nothing it says that. What a colour tells, a mark, a letter or a hatch tells too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from minibit.lab.pictures import (
    blocks,
    choking,
    completion,
    copies,
    graph,
    messages,
    rates,
    shares,
    timeline,
)
from minibit.lab.pictures.clock import PageClock
from minibit.lab.pictures.picture import Columns, Picture

if TYPE_CHECKING:
    from minibit.lab.run import Run

__all__ = ["MAKERS", "Columns", "PageClock", "Picture", "all_pictures"]

MAKERS: dict[str, Callable[[Run, PageClock], Picture]] = {
    room.__name__.rpartition(".")[2]: room.picture
    for room in (blocks, completion, rates, copies, messages, choking, graph, shares, timeline)
}


def all_pictures(run: Run, clock: PageClock | None = None) -> list[Picture]:
    """The clock (named `time`) and every picture of the run, in the order in which they are read.

    All models belong into one document, or the clock moves nothing.
    """
    clock = clock or PageClock(run)
    return [clock.picture(), *(make(run, clock) for make in MAKERS.values())]
