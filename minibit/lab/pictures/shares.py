"""The bytes that each peer gave and took, and how fair that was."""

from __future__ import annotations

import polars as pl
from bokeh.models import Column, DataRange1d

from minibit.events import TRACKER
from minibit.lab.pictures.canvas import BLUE, INK, ORANGE, begun, bytes_ticks, canvas, hover, key, legend
from minibit.lab.pictures.clock import PageClock
from minibit.lab.pictures.names import look_of, part, shorts, spread
from minibit.lab.pictures.picture import Columns, Picture, sources
from minibit.lab.run import Run
from minibit.run.summary import jain

TITLE = "Shares and fairness"
LOOK = (
    "Peers in the order of their share ratio, given / taken. Near 1 everybody gives back what was got; the seed's part "
    "keeps the mean below it. Jain's index is 1 when all gave the same. Free riders stand at 0."
)
PEERS_MAX = 200


def columns(run: Run) -> Columns:
    """The columns of its sources."""
    shares = run.shares().filter(pl.col("peer") != TRACKER).with_columns(pl.col("behaviour").fill_null("honest"))
    gave_any = bool(shares["up_bytes"].sum())
    ordered = shares.sort("share_ratio", "peer", nulls_last=True)
    found = ordered[spread(ordered.height, PEERS_MAX)]
    ratio = [one if one is not None and one < float("inf") else float("nan") for one in found["share_ratio"]]
    title = part(found.height, shares.height, "peers")
    fair = f"Jain's index {jain(shares['up_bytes']):.2f}, reciprocity {run.reciprocity_of_all:.2f}"
    return {
        "shares:title": {"text": [title if gave_any else "No peer has given anything"]},
        "shares:ratio-title": {"text": [fair if gave_any else "No share ratio yet"]},
        "shares:peers": {
            "at": list(range(found.height)),
            "peer": shorts(run, found["peer"].to_list()),
            "behaviour": found["behaviour"].to_list(),
            "up": found["up_bytes"].to_list(),
            "down": (-found["down_bytes"]).to_list(),
            "down_bytes": found["down_bytes"].to_list(),
            "ratio": ratio,
            "marker": [look_of(one)[1] for one in found["behaviour"]],
            "color": [look_of(one)[2] for one in found["behaviour"]],
        },
    }


def picture(run: Run, clock: PageClock) -> Picture:
    """Two figures over the same peers: bytes given and taken, and the ratio of the two."""
    of = sources(columns(run))
    source = of["peers"]
    above = canvas(of["title"], 260, "", "taken  |  given", x_range=DataRange1d(range_padding=0.02))
    begun(above)
    given = above.vbar("at", 0.8, "up", source=source, color=BLUE, line_color=None)
    taken = above.vbar("at", 0.8, "down", source=source, color=ORANGE, line_color=None,
                       hatch_pattern="/", hatch_color="white", hatch_scale=6, hatch_weight=1)  # fmt: skip
    bytes_ticks(above)
    above.xaxis.visible = above.xgrid.visible = False
    legend(above, [("given", [given]), ("taken", [taken])])
    below = canvas(of["ratio-title"], 220, "peers, by share ratio", "share ratio", x_range=above.x_range)
    below.y_range = DataRange1d(start=0, range_padding=0.1)
    below.xaxis.major_label_text_font_size = "0px"
    below.xaxis.major_tick_line_color = None
    below.xgrid.visible = False
    below.hspan(1, line_color=INK, line_dash="dashed")
    begun(below)
    dots = below.scatter("at", "ratio", source=source, marker="marker", color="color", size=8)
    there = sorted(set(source.data["behaviour"]), reverse=True)
    if there:
        legend(below, [(one, [key(below, *look_of(one)[1:])]) for one in there], 3)
    for made, drawn in ((above, [given, taken]), (below, [dots])):
        hover(made, drawn, ("peer", "@peer, @behaviour"), ("gave", "@up{0.0 ib}"), ("took", "@down_bytes{0.0 ib}"),
              ("ratio", "@ratio{0.00}"))  # fmt: skip
    both = Column(children=[above, below], sizing_mode="stretch_width")
    return Picture("shares", TITLE, LOOK, both, columns, lambda run: run.shares())
