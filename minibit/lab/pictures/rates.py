"""Payload a second: of all together, and how it is spread over the peers."""

from __future__ import annotations

import polars as pl
from bokeh.models import Column

from minibit.events import TRACKER
from minibit.lab.pictures.canvas import AT, BLUE, GREEN, ORANGE, bytes_ticks, hover, legend, over_time
from minibit.lab.pictures.clock import PageClock
from minibit.lab.pictures.picture import Columns, Picture, sources
from minibit.lab.run import Run
from minibit.units import show_rate

TITLE = "Rates"
LOOK = (
    "Above: soon after the start the peers give far more than the seed does, which is what a swarm is for. Below: the "
    "band holds the middle four fifths of the peers that still miss something; a wide one means that some are starved."
)


def columns(run: Run) -> Columns:
    """The columns of its sources."""
    rates = run.rates()
    of_seed = pl.col("peer") == TRACKER
    every = rates.group_by("at_s", maintain_order=True).agg(
        all_bps=pl.col("down_bps").sum(), seed_bps=pl.col("up_bps").filter(of_seed).sum()
    )
    if every.height:  # the last stair goes to the end of the run
        every = pl.concat([every, every.tail(1).with_columns(at_s=pl.lit(run.end_s))])
    lives = run.lives().select("peer", over_s=pl.min_horizontal("completed_s", "gone_s"))
    incomplete = (
        rates.filter(~of_seed)
        .join(lives, on="peer", how="left")
        .filter(pl.col("over_s").is_null() | (pl.col("at_s") < pl.col("over_s")))
        .group_by("at_s", maintain_order=True)
        .agg(
            low_bps=pl.col("down_bps").quantile(0.1),
            middle_bps=pl.col("down_bps").median(),
            high_bps=pl.col("down_bps").quantile(0.9),
        )
    )
    most = every["all_bps"].max() if every.height else None
    title = f"At most {show_rate(float(most))} all together" if isinstance(most, float) and most else "Nothing moved"
    return {
        "rates:title": {"text": [title]},
        "rates:each-title": {"text": ["One peer that is not complete"]},
        "rates:all": every.to_dict(as_series=False),
        "rates:each": incomplete.to_dict(as_series=False),
    }


def picture(run: Run, clock: PageClock) -> Picture:
    """Two figures: all together and the seed; the peers one by one, as a band."""
    of = sources(columns(run))
    together, each = of["all"], of["each"]
    above = over_time(of["title"], 210, "bytes a second")
    down = above.step("at_s", "all_bps", source=together, color=BLUE, line_width=2.5, mode="after")
    seed = above.step("at_s", "seed_bps", source=together, color=ORANGE, line_width=2, line_dash="dashed", mode="after")
    legend(above, [("all peers receive", [down]), ("the seed gives", [seed])])
    below = over_time(of["each-title"], 210, "bytes a second")
    below.x_range = above.x_range
    band = below.varea("at_s", "low_bps", "high_bps", source=each, fill_color=GREEN, fill_alpha=0.25)
    middle = below.line("at_s", "middle_bps", source=each, color=GREEN, line_width=2.5)
    legend(below, [("the middle one receives", [middle]), ("four fifths of them", [band])])
    for made in (above, below):
        bytes_ticks(made, "/s")
    hover(above, [down], AT, ("received", "@all_bps{0.0 ib}/s"), ("by the seed", "@seed_bps{0.0 ib}/s"), mode="vline")
    band_bps = "@low_bps{0.0 ib}/s to @high_bps{0.0 ib}/s"
    hover(below, [middle], AT, ("middle", "@middle_bps{0.0 ib}/s"), ("band", band_bps))
    both = Column(children=[above, below], sizing_mode="stretch_width")
    return Picture("rates", TITLE, LOOK, both, columns, lambda run: run.rates())
