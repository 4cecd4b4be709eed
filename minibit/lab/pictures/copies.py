"""Copies of a block over time: fewest, mean and most, and the number of blocks that only the seed holds."""

from __future__ import annotations

from bokeh.models import Column

from minibit.lab.pictures.canvas import AT, BLUE, GREEN, ORANGE, RED, hover, legend, over_time
from minibit.lab.pictures.clock import PageClock
from minibit.lab.pictures.picture import Columns, Picture, sources
from minibit.lab.run import Run

TITLE = "Copies of a block"
LOOK = (
    "With rarest first the fewest copies keep close to the mean, once the seed has given every block. Below: the "
    "blocks that nobody but the seed holds should fall in a straight line to none, as fast as the seed can send."
)


def columns(run: Run) -> Columns:
    """The columns of its sources."""
    copies = run.availability()
    spread = copies.filter(alone=0)["at_s"]
    title = f"Every block had left the seed by {spread[0]:.1f} s" if len(spread) else "Some blocks never left the seed"
    if not run.content_blocks:
        copies, title = copies.clear(), "There is no block yet"
    return {
        "copies:title": {"text": ["Copies among the peers, the seed's not counted"]},
        "copies:alone-title": {"text": [title]},
        "copies:all": copies.to_dict(as_series=False),
    }


def picture(run: Run, clock: PageClock) -> Picture:
    """Two figures: copies of a block, and blocks without a copy."""
    of = sources(columns(run))
    source = of["all"]
    above = over_time(of["title"], 240, "copies")
    above.varea("at_s", "least", "most", source=source, fill_color=BLUE, fill_alpha=0.12)
    most = above.line("at_s", "most", source=source, color=ORANGE, line_width=2, line_dash="dashed")
    mean = above.line("at_s", "mean", source=source, color=BLUE, line_width=2.5)
    least = above.line("at_s", "least", source=source, color=RED, line_width=2.5, line_dash="dotted")
    legend(above, [("most", [most]), ("mean", [mean]), ("fewest", [least])], 3)
    below = over_time(of["alone-title"], 180, "blocks")
    below.x_range = above.x_range
    alone = below.varea("at_s", 0, "alone", source=source, fill_color=GREEN, fill_alpha=0.35)
    below.line("at_s", "alone", source=source, color=GREEN, line_width=2)
    legend(below, [("held by the seed alone", [alone])])
    hover(above, [mean], AT, ("most", "@most"), ("mean", "@mean{0.0}"), ("fewest", "@least"), mode="vline")
    both = Column(children=[above, below], sizing_mode="stretch_width")
    return Picture("copies", TITLE, LOOK, both, columns, lambda run: run.availability())
