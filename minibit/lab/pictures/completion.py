"""The number of complete peers over time, the progress of all, and the lower bound of theory."""

from __future__ import annotations

import numpy as np
from bokeh.models import NumeralTickFormatter, Range1d

from minibit.lab.pictures.canvas import AT, BLUE, ORANGE, RED, hover, legend, over_time, shown_where
from minibit.lab.pictures.clock import PageClock
from minibit.lab.pictures.names import part
from minibit.lab.pictures.picture import Columns, Picture, sources
from minibit.lab.run import Run

TITLE = "Completion"
LOOK = (
    "The steep stair is a swarm in which peers finish together. The dashed line is the earliest time at which the last "
    "peer can be complete, with the capacities that are known: the nearer the stair's top, the better."
)
STEPS = 200


def columns(run: Run) -> Columns:
    """The columns of its sources."""
    done, there = run.completion(), len(run.peer_names)
    all_blocks = there * run.content_blocks
    arrived_s = run.arrivals()["at_s"].to_numpy()
    axis_s = np.linspace(0, run.end_s, STEPS + 1)
    held = np.searchsorted(np.sort(arrived_s), axis_s, side="right") / max(1, all_blocks)
    bound_s = (run.summary or {}).get("bound_s")
    share = (done["complete"] / max(1, there)).to_list()
    title = f"{done.height:,} of {part(there, there, 'peers')} complete" if done.height else "Nobody is complete"
    if run.peers.is_empty():
        title = "Nobody noted who was complete"
    if done.height:
        title += f", the last after {done['at_s'][-1]:.1f} s"
    title += "\nno lower bound is known" if bound_s is None else f"\nat best after {bound_s:.1f} s (the lower bound)"
    return {
        "completion:title": {"text": [title]},
        "completion:complete": {
            "at_s": [0.0, *done["at_s"], run.end_s],
            "share": [0.0, *share, share[-1] if share else 0.0],
            "complete": [f"{count:,} of {there:,}" for count in (0, *done["complete"], done.height)],
            "peer": ["", *done["peer"], ""],
        },
        "completion:held": {"at_s": axis_s, "share": held},
        "completion:bound": {"at_s": [] if bound_s is None else [bound_s]},
    }


def picture(run: Run, clock: PageClock) -> Picture:
    """A stair of the complete peers, a curve of the blocks that all hold, the bound."""
    of = sources(columns(run))
    made = over_time(of["title"], 420, "share", y_range=Range1d(start=0, end=1.04))
    made.yaxis.formatter = NumeralTickFormatter(format="0 %")
    held = made.line("at_s", "share", source=of["held"], color=ORANGE, line_width=2, line_dash="dotted")
    stair = made.step("at_s", "share", source=of["complete"], color=BLUE, line_width=2.5, mode="after")
    bound = made.ray("at_s", 0, source=of["bound"], length=0, angle=np.pi / 2, color=RED, line_dash=[10, 4])
    bound.glyph.line_width = 2
    *_, bound_item = legend(made, [("peers complete", [stair]), ("blocks held", [held]), ("bound", [bound])], 3)
    shown_where(bound_item, of["bound"], "at_s")
    hover(made, [stair], AT, ("complete", "@complete"), ("peer", "@peer"), mode="mouse")
    return Picture("completion", TITLE, LOOK, made, columns, lambda run: run.completion())
