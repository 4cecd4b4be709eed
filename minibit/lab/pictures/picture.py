"""What a picture is, and the look that all of them share: axes, colours, names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from bokeh.models import (
    AdaptiveTicker,
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
    DataRange1d,
    HoverTool,
    NoOverlap,
)
from bokeh.models.annotations import Legend, LegendItem, Title
from bokeh.models.renderers import GlyphRenderer
from bokeh.models.ui import UIElement
from bokeh.plotting import figure

from minibit.events import TRACKER

if TYPE_CHECKING:
    from minibit.lab.run import Run

Columns = dict[str, dict[str, Any]]
"""By the name of a source, by the name of a column: a list or a numpy array."""

# Okabe and Ito's colours, which the colour-blind can tell apart, as can a printer in grey by their lightness
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PINK = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
PALE, GREY, INK = "#EEF1F4", "#B0B5BA", "#222222"

BEHAVIOURS = {
    "honest": ("", "circle", BLUE),
    "free-rider": ("F", "inverted_triangle", RED),
    "corrupter": ("C", "x", BLACK),
    "liar": ("L", "star", PINK),
    "slow": ("S", "square", GREEN),
}
"""Of each behaviour: the letter behind the peer's name, its marker, its colour."""


def look_of(behaviour: str) -> tuple[str, str, str]:
    """Letter, marker and colour of a behaviour, also of one that isn't known here."""
    return BEHAVIOURS.get(behaviour, (behaviour[:1].upper(), "diamond", SKY))


@dataclass(frozen=True)
class Picture:
    """One picture of a run.

    name   of its room, and before the colon in the names of its sources
    title  what it shows, in words
    look   what to look for, in a sentence
    model  the Bokeh model
    feed   the columns of each of its sources, of the run as it is then
    table  the table behind it
    """

    name: str
    title: str
    look: str
    model: UIElement
    feed: Callable[[Run], Columns]
    table: Callable[[Run], pl.DataFrame]


def sources(columns: Columns) -> dict[str, ColumnDataSource]:
    """A source of its own for each of these, findable in a page by its name."""
    return {name: ColumnDataSource(data, name=name) for name, data in columns.items()}


def canvas(title: ColumnDataSource, height: int, x_label: str, y_label: str, **given: Any) -> figure:
    """An empty figure as wide as there is room, whose title is the `text` in this source.

    It pans and zooms only when told to by its toolbar: a finger on it moves the page.
    """
    made = figure(
        height=height,
        sizing_mode="stretch_width",
        tools="pan,box_zoom,reset,save",
        active_drag=None,
        toolbar_location="right",
        title=Title(text=title.data["text"][0], text_font_size="12px", text_font_style="normal", text_color=INK),
        x_axis_label=x_label,
        y_axis_label=y_label,
        **{"min_border_right": 10, **given},
    )
    made.toolbar.logo = None
    made.toolbar.autohide = True
    made.outline_line_color = None
    made.grid.grid_line_color = "#E4E7EA"
    made.xaxis.major_label_policy = NoOverlap(min_distance=6)
    for axis in made.axis:
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = "12px"
        axis.major_label_text_font_size = "11px"
        axis.axis_label_text_color = axis.major_label_text_color = INK
        axis.axis_line_color = axis.major_tick_line_color = GREY
        axis.minor_tick_line_color = None
    made.tags = [title]  # keeps the source in the document, where a page finds it by name
    title.js_on_change("data", CustomJS(args={"figure": made}, code="figure.title.text = cb_obj.data.text[0]"))
    return made


def over_time(title: ColumnDataSource, height: int, y_label: str, **given: Any) -> figure:
    """An empty figure of something from 0 on, over the seconds of the run."""
    given.setdefault("y_range", DataRange1d(start=0, range_padding=0.08))
    made = canvas(title, height, "seconds", y_label, x_range=DataRange1d(start=0, range_padding=0.02), **given)
    if isinstance(made.y_range, DataRange1d):
        begun(made)
    return made


def begun(made: figure) -> None:
    """Axes that begin at 0, also where there is nothing to show."""
    made.scatter([0], [0], size=0, alpha=0)


def legend(made: figure, items: Sequence[tuple[str, Sequence[Any]]], columns: int = 2) -> None:
    """A legend above the figure, where it hides nothing."""
    made.add_layout(
        Legend(
            items=[LegendItem(label=label, renderers=list(drawn)) for label, drawn in items],
            orientation="horizontal",
            ncols=columns,
            location="left",
            border_line_color=None,
            margin=4,
            spacing=12,
            label_text_font_size="11px",
            label_text_color=INK,
            glyph_height=14,
            glyph_width=18,
        ),
        "above",
    )


def key(made: figure, marker: str, colour: str) -> GlyphRenderer[Any]:
    """A mark for the legend alone."""
    return made.scatter([nan], [nan], marker=marker, size=10, color=colour, line_color=GREY)


def hover(made: figure, drawn: Sequence[Any], *rows: tuple[str, str], **given: Any) -> None:
    """What is said about the thing under the mouse."""
    made.add_tools(HoverTool(renderers=list(drawn), tooltips=list(rows), visible=False, **given))


def named_ticks(names: ColumnDataSource, column: str) -> CustomJSTickFormatter:
    """Ticks at 0, 1, 2... that say what stands there in this column."""
    return CustomJSTickFormatter(
        args={"names": names},
        code=f"""
        const at = Math.round(tick), column = names.data.{column}
        return Math.abs(tick - at) < 1e-6 && at >= 0 && at < column.length ? String(column[at]) : ""
        """,
    )


def bytes_ticks(made: figure, per: str = "") -> None:
    """Ticks in bytes upwards, in the unit that suits the largest of them; `per` stands behind it: `/s`."""
    made.yaxis.ticker = AdaptiveTicker(base=1024, mantissas=[2**power for power in range(10)], desired_num_ticks=5)
    made.yaxis.formatter = CustomJSTickFormatter(
        code=f"""
        const units = ["B", "KiB", "MiB", "GiB", "TiB"], most = Math.max(...ticks.map(Math.abs))
        const unit = most > 0 ? Math.min(4, Math.max(0, Math.floor(Math.log2(most) / 10))) : 0
        return `${{Number((Math.abs(tick) / 1024 ** unit).toPrecision(3))}} ${{units[unit]}}{per}`
        """
    )


def short(peer: str, behaviour: str = "honest") -> str:
    """The name of a peer where there is little room: `07`, `45 F` for a free rider, `seed`."""
    if peer == TRACKER:
        return "seed"
    return f"{peer.removeprefix('peer-')} {look_of(behaviour)[0]}".strip()


def shorts(run: Run, peers: Sequence[str]) -> list[str]:
    """The short names of these peers."""
    sort = behaviours(run)
    return [short(peer, sort.get(peer, "honest")) for peer in peers]


def letters(run: Run) -> str:
    """What the letters behind the names of peers mean, of those that are there; a sentence or nothing."""
    there = sorted(set(behaviours(run).values()))
    said = [f"{look_of(one)[0]} {one}" for one in there if look_of(one)[0]]
    return f" Behind a peer's number: {', '.join(said)}." if said else ""


def behaviours(run: Run) -> dict[str, str]:
    """The behaviour of each actor; `honest` where nobody says."""
    return dict(run.members.select("peer", pl.col("behaviour").fill_null("honest")).iter_rows())


def peers_of(run: Run) -> list[str]:
    """All but the seed."""
    return [peer for peer in run.members["peer"] if peer != TRACKER]


def moment(run: Run, now: float) -> str:
    """A time of the clock, as the page says it: `at 36.5 s`."""
    return f"at {now:.{2 if run.end_s < 20 else 1}f} s"


def spread(count: int, most: int) -> list[int]:
    """At most so many of 0, 1, ... count - 1, evenly spread, both ends among them."""
    return list(range(count)) if count <= most else [int(one) for one in np.linspace(0, count - 1, most).round()]


def part(drawn: int, there: int, what: str) -> str:
    """`60 of 1,000 peers`, or `50 peers` when all are drawn."""
    what = what.removesuffix("s") if there == 1 else what
    return f"{there:,} {what}" if drawn >= there else f"a sample: {drawn:,} of {there:,} {what}"
