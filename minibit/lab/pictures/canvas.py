"""The look that all pictures share: colours, axes, legends, ticks."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, nan
from typing import Any

from bokeh.models import (
    AdaptiveTicker,
    BasicTicker,
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
    DataRange1d,
    HoverTool,
    NoOverlap,
)
from bokeh.models.annotations import Legend, LegendItem, Title
from bokeh.models.renderers import GlyphRenderer
from bokeh.plotting import figure

# Okabe and Ito's colours: colour-blind readers can tell them apart, and a grey printer by their lightness
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PINK = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
WHITE, PALE, CELL, GRID, GREY, ASH, INK = (
    "#FFFFFF", "#E3E8ED", "#DDE1E5", "#E4E7EA", "#B0B5BA", "#767B80", "#222222",
)  # fmt: skip

AT = ("at", "@at_s{0.0} s")
"""A row for `hover`."""


def canvas(title: ColumnDataSource, height: int, x_label: str, y_label: str, **given: Any) -> figure:
    """An empty figure as wide as its place; its title is the `text` of the source `title`.

    Its toolbar switches panning and zooming on. Until then a finger on it moves the page.
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
    made.outline_line_color = made.border_fill_color = None
    made.grid.grid_line_color = GRID
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
    """An empty figure over the seconds of the run, with a vertical axis from 0."""
    given.setdefault("y_range", DataRange1d(start=0, range_padding=0.08))
    made = canvas(title, height, "seconds", y_label, x_range=DataRange1d(start=0, range_padding=0.02), **given)
    if isinstance(made.y_range, DataRange1d):
        begun(made)
    return made


def matrix(title: ColumnDataSource, height: int, x_label: str, y_label: str, ticks: int) -> figure:
    """An empty figure of cells at whole numbers, the first row above; about so many have a tick."""
    x_range, y_range = DataRange1d(range_padding=0), DataRange1d(range_padding=0, flipped=True)
    made = canvas(title, height, x_label, y_label, x_range=x_range, y_range=y_range)
    for axis in made.axis:
        axis.ticker = BasicTicker(min_interval=1, desired_num_ticks=ticks)
    return made


def begun(made: figure) -> None:
    """Let the axes begin at 0, also if there is nothing to show."""
    made.scatter([0], [0], size=0, alpha=0)


def legend(made: figure, items: Sequence[tuple[str, Sequence[Any]]], columns: int = 2) -> list[LegendItem]:
    """Put a legend above the figure, where it hides nothing; its items, for `shown_where`."""
    made_items = [LegendItem(label=label, renderers=list(drawn)) for label, drawn in items]
    made.add_layout(
        Legend(
            items=made_items,
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
    return made_items


def shown_where(item: LegendItem, source: ColumnDataSource, column: str, least: float = -inf) -> None:
    """Show this item of a legend only while the column has a finite number above `least`: no name without its thing."""
    item.visible = any(least < one < inf for one in source.data[column])
    code = "item.visible = source.data[column].some((one) => one > least && one < Infinity)"
    source.js_on_change(
        "data", CustomJS(args={"item": item, "source": source, "column": column, "least": least}, code=code)
    )


def key(made: figure, marker: str, colour: str) -> GlyphRenderer[Any]:
    """A mark for the legend alone."""
    return made.scatter([nan], [nan], marker=marker, size=10, color=colour, line_color=GREY)


def hover(made: figure, drawn: Sequence[Any], *rows: tuple[str, str], **given: Any) -> None:
    """Show these rows about the thing under the mouse."""
    made.add_tools(HoverTool(renderers=list(drawn), tooltips=list(rows), visible=False, **given))


def named_ticks(names: ColumnDataSource, column: str, first: int = 0) -> CustomJSTickFormatter:
    """Ticks at `first`, `first` + 1... labelled with the entries of this column."""
    return CustomJSTickFormatter(
        args={"names": names},
        code=f"""
        const at = Math.round(tick) - {first}, column = names.data.{column}
        return Math.abs(tick - {first} - at) < 1e-6 && at >= 0 && at < column.length ? String(column[at]) : ""
        """,
    )


def bytes_ticks(made: figure, per: str = "") -> None:
    """Ticks of bytes on the vertical axis, in the unit that fits the largest; `per` follows the unit: `/s`."""
    made.yaxis.ticker = AdaptiveTicker(base=1024, mantissas=[2**power for power in range(10)], desired_num_ticks=5)
    made.yaxis.formatter = CustomJSTickFormatter(
        code=f"""
        const units = ["B", "KiB", "MiB", "GiB", "TiB"], most = Math.max(...ticks.map(Math.abs))
        const unit = most > 0 ? Math.min(4, Math.max(0, Math.floor(Math.log2(most) / 10))) : 0
        return `${{Number((Math.abs(tick) / 1024 ** unit).toPrecision(3))}} ${{units[unit]}}{per}`
        """
    )
