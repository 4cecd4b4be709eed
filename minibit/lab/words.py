"""A run at one glance: a headline and a few figures, as text and as HTML; it never raises, whatever is missing."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import polars as pl

from minibit.events import TRACKER
from minibit.units import show_bytes, show_duration, show_rate

if TYPE_CHECKING:
    from minibit.lab.run import Run


def as_text(run: Run) -> str:
    """A headline, and a line for each figure."""
    head, figures = glance(run)
    return "\n".join([head, *(f"  {name:<9} {figure}" for name, figure in figures)])


def as_html(run: Run) -> str:
    """The same for a notebook."""
    head, figures = glance(run)
    rows = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(figure)}</td></tr>" for name, figure in figures)
    return f"<div><b>{html.escape(head)}</b><table>{rows}</table></div>"


def glance(run: Run) -> tuple[str, list[tuple[str, str]]]:
    """A headline and a few figures with their names."""
    try:
        return _headline(run), _figures(run)
    except Exception as error:  # a run in a notebook's cell, however broken, must show itself
        return f"Run: {error}", []


def _headline(run: Run) -> str:
    members = run.members.filter(pl.col("peer") != TRACKER).height
    complete = run.summary["completed"] if run.summary is not None else run.completion().height
    world = f" ({run.world})" if run.world else ""
    return f"Run {run.name}{world}: {complete} of {members} peers complete in {show_duration(run.end_s)}"


def _figures(run: Run) -> list[tuple[str, str]]:
    content, summary, found = run.content, run.summary, []
    if content["blocks"]:
        size, each = show_bytes(content["bytes"]), show_bytes(content["block_bytes"])
        found.append(("content", f"{size}, {content['blocks']:,} blocks of {each}"))
    odd = run.members.filter(pl.col("behaviour") != "honest").group_by("behaviour").len().sort("behaviour")
    if odd.height:
        found.append(("behaviour", ", ".join(f"{count} {behaviour}" for behaviour, count in odd.iter_rows())))
    if summary is not None:
        seconds = summary["seconds"]
        if seconds["first"] is not None:
            times = (f"{name} {show_duration(seconds[name])}" for name in ("first", "median", "last"))
            found.append(("complete", ", ".join(times)))
        if summary["efficiency"] is not None:
            bound = show_duration(summary["bound_s"])
            found.append(("at best", f"{bound}, efficiency {summary['efficiency']:.2f}"))
        found.append(("goodput", f"{show_rate(summary['goodput_bps'])}, all peers together"))
        found.append(("fairness", f"{summary['fairness_jain']:.2f} (Jain)"))
        if summary["failed"]:
            count = len(summary["failed"])
            who = "1 peer" if count == 1 else f"{count} peers"
            found.append(("failed", f"{who}: {summary['failed'][0]['why']}"))
    rows = ", ".join(f"{table.height:,} {name}" for name, table in run.records.items())
    found.append(("records", rows))
    return found + [("missing", sentence) for sentence in run.missing]
