"""How many messages of each verb were sent."""

from __future__ import annotations

import polars as pl
from bokeh.models import DataRange1d, FactorRange, LogTicker, NumeralTickFormatter

from minibit.lab.pictures.canvas import BLUE, GREY, INK, canvas
from minibit.lab.pictures.clock import PageClock
from minibit.lab.pictures.picture import Columns, Picture, sources
from minibit.lab.run import Run
from minibit.run.summary import MessageCounts

TITLE = "Messages by verb"
LOOK = (
    "The scale grows tenfold from line to line. BLOCO and PEDIDO should be nearly equal; what BLOCO has more than the "
    "blocks that were missing was sent for nothing."
)
VERBS = MessageCounts.__struct_fields__


def table(run: Run) -> pl.DataFrame:
    """`peer, verb, messages`; if the senders are not known, the sums of the summary, without a peer."""
    found = run.messages()
    if found.is_empty() and run.summary:
        sums = run.summary["messages"]
        found = pl.DataFrame(
            {"peer": [None] * len(sums), "verb": list(sums), "messages": list(sums.values())}, found.schema
        )
    return found


def columns(run: Run) -> Columns:
    """The columns of its sources."""
    sent = dict(table(run).group_by("verb").agg(pl.col("messages").sum()).iter_rows())
    counts = [sent.get(verb, 0) for verb in VERBS]
    total, peers = sum(counts), max(1, len(run.peer_names))
    title = f"{total:,} messages, {total / peers:,.0f} a peer" if total else "No message was counted"
    return {
        "messages:title": {"text": [title]},
        "messages:verbs": {
            "verb": list(VERBS),
            "messages": [max(0.7, count) for count in counts],
            "from": [0.7] * len(VERBS),
            "said": [f"  {count:,}" for count in counts],
        },
    }


def picture(run: Run, clock: PageClock) -> Picture:
    """A dot for each verb on a logarithmic scale, with its number."""
    of = sources(columns(run))
    source = of["verbs"]
    x_range, y_range = DataRange1d(start=0.7, range_padding=0.7), FactorRange(factors=list(reversed(VERBS)))
    made = canvas(of["title"], 420, "messages sent", "", x_axis_type="log", x_range=x_range, y_range=y_range)
    made.ygrid.visible = False
    made.xaxis.formatter = NumeralTickFormatter(format="0a")
    made.xaxis.ticker = LogTicker(desired_num_ticks=4)
    made.segment("from", "verb", "messages", "verb", source=source, color=GREY, line_width=2)
    made.scatter("messages", "verb", source=source, size=9, color=BLUE)
    made.text("messages", "verb", "said", source=source, text_baseline="middle", text_font_size="11px", text_color=INK)
    return Picture("messages", TITLE, LOOK, made, columns, table)
