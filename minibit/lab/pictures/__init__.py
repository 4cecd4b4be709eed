"""The pictures of a run: one room each, built once and fed many times.

The report, a notebook and the live page show the same pictures. A picture is a Bokeh model over sources that have
names (`blocks:image`). `feed` gives new columns for each source when the run has become longer. Nothing in a picture
calls Python: the page moves the pictures itself, by the one clock that they share.

A picture shows what the run's tables say and decides nothing. If there is too much to draw, it draws a sample and its
title says so; if there is nothing, its title says that. A mark, a letter or a hatch repeats what a colour means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
from minibit.lab.run import Run

__all__ = ["MAKERS", "Columns", "PageClock", "Picture", "each_picture"]

MAKERS: dict[str, Callable[[Run, PageClock], Picture]] = {
    room.__name__.rpartition(".")[2]: room.picture
    for room in (blocks, completion, rates, copies, messages, choking, graph, shares, timeline)
}


def each_picture(run: Run, *, follow: bool = False) -> Iterator[Picture]:
    """The clock (named `time`; at the end with `follow`) and every picture of the run, in the order of reading.

    Put all models into one document: otherwise the clock moves nothing.
    """
    clock = PageClock(run, follow=follow)
    yield clock.picture()
    for make in MAKERS.values():
        yield make(run, clock)
