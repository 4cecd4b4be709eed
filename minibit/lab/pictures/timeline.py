"""Failures, faults, bans, departures, and what was done by hand, on the axis of time."""

from __future__ import annotations

import polars as pl
from bokeh.models import FactorRange

from minibit.lab.pictures.canvas import ASH, AT, BLUE, GREEN, ORANGE, PINK, RED, hover, over_time
from minibit.lab.pictures.clock import PageClock
from minibit.lab.pictures.names import short
from minibit.lab.pictures.picture import Columns, Picture, sources
from minibit.lab.run import Run
from minibit.records import BY_HAND

TITLE = "What happened"
LOOK = (
    "When peers were complete, and what went wrong: planned faults, peers that died, gave up, or that others banned, "
    "and blocks of the source that were changed. "
    "Below, what was added, killed and limited by hand. The mouse on a mark says which peer it was, and why."
)
HAND = "by hand"
KINDS = {
    "completed": ("circle", BLUE),
    "left": ("triangle", GREEN),
    "fault": ("diamond", ORANGE),
    "died": ("x", RED),
    "failed": ("square_x", ASH),
    "damaged": ("square_cross", ORANGE),
    "banned": ("asterisk", PINK),
    HAND: ("plus", BLUE),
}
EVENTS_MAX = 2000


def table(run: Run) -> pl.DataFrame:
    """`at_s, peer, event, why` of all that is drawn; `by hand` is the event of what the user did, `why` says what."""
    done = run.completion().select("at_s", "peer", event=pl.lit("completed"), why=pl.lit(""))
    by_hand = pl.col("event").is_in(BY_HAND)
    said = pl.concat_str("event", pl.lit(" "), "why").str.strip_chars()
    happened = run.events().with_columns(
        event=pl.when(by_hand).then(pl.lit(HAND)).otherwise("event"), why=pl.when(by_hand).then(said).otherwise("why")
    )
    return pl.concat([happened.select(done.columns), done]).sort("at_s", maintain_order=True)


def columns(run: Run) -> Columns:
    """The columns of its sources."""
    found = table(run).filter(pl.col("event").is_in(list(KINDS)))
    counts = dict(found.group_by("event").agg(pl.col("peer").n_unique()).iter_rows())
    if found.height > EVENTS_MAX:
        found = found.gather_every(found.height // EVENTS_MAX + 1)
    others = [f"{kind}: {counts[kind]:,}" for kind in KINDS if kind in counts and kind != "completed"]
    nothing = "Nobody noted what happened" if run.peers.is_empty() else "Nothing went wrong, and nobody left"
    return {
        "timeline:title": {"text": [", ".join(others) or nothing]},
        "timeline:axis": {"at_s": [0.0, run.end_s or 1.0], "kind": ["completed", "completed"]},
        "timeline:events": {
            "at_s": found["at_s"].to_list(),
            "kind": found["event"].to_list(),
            "peer": [short(peer) for peer in found["peer"]],
            "why": found["why"].to_list(),
            "marker": [KINDS[kind][0] for kind in found["event"]],
            "color": [KINDS[kind][1] for kind in found["event"]],
        },
    }


def picture(run: Run, clock: PageClock) -> Picture:
    """A row for each kind of event, a mark for each time."""
    of = sources(columns(run))
    made = over_time(of["title"], 230, "", y_range=FactorRange(factors=list(reversed(KINDS))))
    made.scatter("at_s", "kind", source=of["axis"], size=0, alpha=0)
    marks = made.scatter("at_s", "kind", source=of["events"], marker="marker", line_color="color",
                         fill_color="color", fill_alpha=0.4, size=10, line_width=1.5)  # fmt: skip
    hover(made, [marks], AT, ("who", "@peer"), ("what", "@kind @why"))
    return Picture("timeline", TITLE, LOOK, made, columns, table)
