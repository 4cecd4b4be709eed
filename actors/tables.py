"""The state of a swarm as tables: polars DataFrames for work, text and HTML for the eye."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from minibit.events import TRACKER

if TYPE_CHECKING:
    import polars as pl

Snapshots = Mapping[str, Mapping[str, Any]]
Row = tuple[str, float, str]  # a name, a share from 0 to 1, a note


PEERS = {
    "peer": str,
    "behaviour": str,
    "held": int,
    "blocks": int,
    "complete": bool,
    "leaving": str,
    "failure": str,
    "host": str,
    "port": int,
    "pid": int,
    "neighbours": int,
    "served": int,
}
LINKS = {
    "peer": str,
    "neighbour": str,
    "standing": str,
    "held": int,
    "serves_us": bool,
    "slot": str,
    "blocks_in": int,
    "blocks_out": int,
    "strikes": int,
    "asked": int,
    "wanted": int,
}


def peers(snapshots: Snapshots) -> pl.DataFrame:
    """A row for each actor: what it holds, its neighbours, its process."""
    return _table(
        PEERS,
        (
            {
                **state,
                "neighbours": sum(n["standing"] == "sharing" for n in state["neighbours"].values()),
                "served": sum(n["slot"] != "none" for n in state["neighbours"].values()),
            }
            for state in snapshots.values()
        ),
    )


def blocks(snapshots: Snapshots) -> pl.DataFrame:
    """A row for each block: how many of these peers hold it."""
    count = max((state["blocks"] for state in snapshots.values()), default=0)
    held = [int(state["inventory"], 16) for state in snapshots.values()]
    copies = ({"block": block, "copies": sum(one >> block & 1 for one in held)} for block in range(count))
    return _table({"block": int, "copies": int}, copies)


def links(snapshots: Snapshots) -> pl.DataFrame:
    """A row for each end of a link: who serves whom, what is asked and queued."""
    return _table(
        LINKS,
        (
            {**state, "peer": name, "neighbour": other, "asked": len(state["asked"]), "wanted": len(state["wanted"])}
            for name, snapshot in snapshots.items()
            for other, state in snapshot["neighbours"].items()
            if state["standing"] in ("linked", "sharing")
        ),
    )


def mailboxes(boxes: Snapshots) -> pl.DataFrame:
    """A row for each actor, verb and way: how many messages."""
    return _table(
        {"peer": str, "way": str, "verb": str, "messages": int},
        (
            {"peer": name, "way": way, "verb": verb, "messages": count}
            for name, box in boxes.items()
            for way in ("in", "out")
            for verb, count in sorted(box[way].items())
        ),
    )


def overview(names: Iterable[str], snapshots: Snapshots) -> list[Row]:
    """A row for each of the actors called `names`, whether it is there or not."""
    rows = []
    for name in names:
        state = snapshots.get(name)
        if state is None:
            rows.append((name, 0.0, "gone"))
            continue
        share = state["held"] / state["blocks"] if state["blocks"] else 1.0
        note = state["failure"] or state["leaving"] or ("complete" if state["complete"] else "")
        rows.append((name, share, note if name != TRACKER else "seed"))
    return rows


def as_text(head: str, rows: list[Row]) -> str:
    """A headline, and a bar for each row."""
    return "\n".join([head] + [f"  {name:<10} {bar(share)} {100 * share:3.0f} %  {note}" for name, share, note in rows])


def as_html(head: str, rows: list[Row]) -> str:
    """The same for a notebook."""
    cells = "".join(
        f"<tr><td>{html.escape(name)}</td><td><progress max='1' value='{share:.3f}'></progress></td>"
        f"<td style='text-align:right'>{100 * share:.0f}&nbsp;%</td><td>{html.escape(note)}</td></tr>"
        for name, share, note in rows
    )
    return f"<div><b>{html.escape(head)}</b><table>{cells}</table></div>"


def bar(share: float, width: int = 20) -> str:
    """A share from 0 to 1 as a bar of characters."""
    full = round(share * width)
    return "█" * full + "░" * (width - full)


def _table(schema: Mapping[str, type], rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """The rows with the columns of `schema`, and no others."""
    import polars as pl  # noqa: PLC0415  heavy, and scripts without tables don't need it

    return pl.DataFrame([{column: row[column] for column in schema} for row in rows], schema=dict(schema))
