"""The report of a run: one HTML file that contains everything and loads nothing from the network.

It is a page of the run's pictures with the figures above them, all moved by one clock. It names what is missing and
shows the rest. It is written under another name and then renamed, so there is never half a report.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.lab import words
from minibit.lab.pictures import each_picture
from minibit.lab.pictures.page import STYLE, TWO, library, placed
from minibit.lab.run import Run
from minibit.lab.told import command, told
from minibit.run.figures import as_rows
from minibit.units import show_bytes

PEERS_MAX = 500  # rows of the table of peers


def write(run: Run, path: str | os.PathLike[str]) -> Path:
    """Write the report of `run` to this file and return its path. `LocalError` if the file cannot be written."""
    place = Path(path)
    beside = place.with_name(f".{place.name}.new")
    try:
        with beside.open("w", encoding="utf-8") as file:  # before the work, so that a missing folder is told at once
            file.write(html(run))
        beside.replace(place)
    except OSError as error:
        raise LocalError(f"can't write {place} ({error.strerror or error}): give another path") from None
    finally:
        beside.unlink(missing_ok=True)
    return place


def html(run: Run) -> str:
    """The report as text."""
    sections, script = placed(list(each_picture(run)))
    missing = "".join(f'<p class="missing">{escape(one)}</p>' for one in run.missing)
    rows = as_rows([(figure.question, figure.text) for figure in (*words.known(run), *told(run))])
    if line := command(run):
        rows += f"<tr><th>command</th><td><code>{words_apart(line)}</code></td></tr>"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(run.name)}: a Minibit run</title>
<style>{STYLE}</style>
{library()}
</head>
<body>
<h1>{escape(run.name)}</h1>
{missing}
<table>{rows}</table>
<main>
{sections}
{peers(run)}
</main>
{script}
{TWO}
</body>
</html>
"""


def words_apart(line: str) -> str:
    """A command as HTML that is broken between its words only, and not within an option."""
    return " ".join(f"<span>{escape(word)}</span>" for word in line.split(" "))


def peers(run: Run) -> str:
    """The table of peers: what the pictures show, in words and numbers, also for a screen reader."""
    seed = pl.col("peer") == TRACKER
    table = run.outcomes().with_columns(
        behaviour=pl.when(seed).then(pl.lit("seed")).otherwise("behaviour"),
        completed_s=pl.when(~seed).then("completed_s"),
    )
    shown = table.head(PEERS_MAX)
    columns = [column for column in COLUMNS if column.always or any(map(column.says, shown[column.name].drop_nulls()))]
    head = "".join(f'<th scope="col"{column.style}>{column.title}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{escape(row["peer"])}</th>'
        + "".join(f"<td{column.style}>{escape(column.text(row[column.name]))}</td>" for column in columns[1:])
        + "</tr>\n"
        for row in shown.iter_rows(named=True)
    )
    more = f" The first {PEERS_MAX} of {table.height:,}: <code>minibit runs export</code> writes all."
    more *= table.height > PEERS_MAX
    return f"""<section id="peers" class="wide">
<h2>Peer by peer</h2>
<p>When each was complete, in seconds from the first request allowed, and what it got and gave.{more}</p>
<div tabindex="0"><table><thead><tr>{head}</tr></thead>
<tbody>
{body}</tbody></table></div>
</section>"""


class PeerColumn(NamedTuple):
    """A column of the table of peers.

    name    of a column of `Run.outcomes`
    show    gives the text of a value
    says    whether a value says something: the column is there if any does
    always  it is there in any case
    """

    name: str
    title: str
    show: Callable[[Any], str] = str
    says: Callable[[Any], bool] = lambda _: True
    always: bool = False

    @property
    def style(self) -> str:
        """The attribute of its cells."""
        return "" if self.show is str else ' class="number"'

    def text(self, value: Any) -> str:
        """The text of a cell."""
        return "" if value is None else self.show(value)


def _at(at_s: float) -> str:
    return f"{max(0.0, at_s):.1f} s"


COLUMNS = (
    PeerColumn("peer", "peer", always=True),
    PeerColumn("behaviour", "behaviour", says=lambda behaviour: behaviour not in ("honest", "seed")),
    PeerColumn("class", "class"),
    PeerColumn("joined_s", "joined", _at, says=lambda at_s: at_s > 0),
    PeerColumn("completed_s", "complete", _at, always=True),
    PeerColumn("got_bytes", "got", show_bytes, always=True),
    PeerColumn("gave_bytes", "gave", show_bytes, always=True),
    PeerColumn("node", "host"),
    PeerColumn("end", "end"),
)
