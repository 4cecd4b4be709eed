"""The clock that pictures share: a slider over the seconds of a run, and a button that lets it run.

A picture that shows a moment gives `PageClock.moves` the script that the page runs when the moment changes. The
slider's end is the end of the run. If the slider stands at the end, it goes with the end of a run that becomes longer.
"""

from __future__ import annotations

from typing import Any

import polars as pl
from bokeh.models import ColumnDataSource, CustomJS, InlineStyleSheet, Row
from bokeh.models.widgets import Slider, Toggle

from minibit.lab.pictures.canvas import BLUE
from minibit.lab.pictures.picture import Columns, Picture
from minibit.lab.run import Run

STEPS = 200  # from the start of a run to its end
STEP_MS = 80

LOOK = """
.bk-btn-default { background: var(--page, #fff); color: var(--ink, #1a1a1a); border-color: var(--line, #bbb); }
.noUi-target { background: var(--line, #eee); border-color: var(--line, #bbb); box-shadow: none; }
"""
"""Style of its parts: the colours of the page around it, if that has names for them."""
PLAY = """
clearInterval(window.minibit_clock)
toggle.label = toggle.active ? "❚❚ pause" : "▶ play"
if (toggle.active) {
    if (slider.value >= slider.end) slider.value = 0
    window.minibit_clock = setInterval(() => {
        slider.value = Math.min(slider.end, slider.value + slider.end / steps)
        if (slider.value >= slider.end) toggle.active = false
    }, step_ms)
}
"""
NOW = """
const now = slider.value, moment = `at ${now.toFixed(slider.end < 20 ? 2 : 1)} s`
"""
FOLLOW = """
const end_s = cb_obj.data.end_s[0], at_end = slider.value >= slider.end - slider.step
slider.end = end_s
slider.step = end_s / 1000
if (at_end) slider.value = end_s
"""


class PageClock:
    """A moment of the run that the reader chooses: at first the middle, or the end with `follow`."""

    def __init__(self, run: Run, *, follow: bool = False) -> None:
        columns = self.feed(run)
        end_s = columns["time:axis"]["end_s"][0]
        self.at_s: float = end_s if follow else end_s / 2
        self.slider = Slider(
            start=0, end=end_s, value=self.at_s, step=end_s / 1000, title="seconds", format="0.0[0]",
            sizing_mode="stretch_width", name="time:slider", bar_color=BLUE,
            stylesheets=[InlineStyleSheet(css=LOOK)],
        )  # fmt: skip
        play = Toggle(label="▶ play", width=90, height=36, name="time:play", align="center",
                      stylesheets=[InlineStyleSheet(css=LOOK)])  # fmt: skip
        play.js_on_change(
            "active",
            CustomJS(args={"toggle": play, "slider": self.slider, "steps": STEPS, "step_ms": STEP_MS}, code=PLAY),
        )
        axis = ColumnDataSource(columns["time:axis"], name="time:axis")
        axis.js_on_change("data", CustomJS(args={"slider": self.slider}, code=FOLLOW))
        # the slider's tag keeps the source in the document: a page finds it by name
        self.slider.tags = [axis]
        self.model = Row(children=[play, self.slider], sizing_mode="stretch_width", name="time")

    def moves(self, code: str, watched: ColumnDataSource, **args: Any) -> None:
        """Run this JavaScript when the clock or `watched` changes; it knows `args`, `now`, and `moment` in words."""
        does = CustomJS(args={"slider": self.slider, **args}, code=NOW + code)
        self.slider.js_on_change("value", does)
        watched.js_on_change("data", does)

    def picture(self) -> Picture:
        """The clock itself, to be placed and fed like a picture."""
        look = "Move the slider, or press play: the pictures of a moment follow."
        return Picture("time", "Time", look, self.model, self.feed, lambda run: pl.DataFrame({"end_s": [run.end_s]}))

    @staticmethod
    def feed(run: Run) -> Columns:
        """The end of the run, in seconds."""
        return {"time:axis": {"end_s": [run.end_s or 1.0]}}
