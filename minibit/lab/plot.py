"""The pictures of a run, each by one call: `run.plot.blocks()`.

A notebook shows the result of such a call, with a clock of its own if the picture shows a moment. The result has the
Bokeh model (`.model`) and the table behind it (`.table`). It needs no server, no set-up and no network, and it is still
there when the notebook is opened without a kernel: the first picture of a notebook contains Bokeh, and the others wait
for it. Where scripts do not run, there is text in its place.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cached_property
from html import escape
from typing import Any, ClassVar
from uuid import uuid4

import bokeh
import polars as pl
from bokeh.embed import json_item
from bokeh.models import Column
from bokeh.models.annotations import Title
from bokeh.models.ui import UIElement

from minibit.lab.pictures import MAKERS, PageClock, Picture
from minibit.lab.pictures.page import packed_library
from minibit.lab.pictures.shade import SHADE
from minibit.lab.run import Run

WAIT_MS = 20_000  # how long a picture waits for the one that contains Bokeh
SHOW = """
(async () => {
    const place = document.getElementById("%(place)s"), packed = "%(packed)s"
    const there = () => window.Bokeh !== undefined && Bokeh.version === "%(version)s"
    if (packed && !there()) {
        const bytes = Uint8Array.from(atob(packed), (one) => one.charCodeAt(0))
        const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))
        const script = document.createElement("script")
        script.textContent = await new Response(unpacked).text()
        document.head.appendChild(script)
    }
    for (let waited_ms = 0; !there(); waited_ms += 100) {
        if (waited_ms >= %(wait_ms)d) {
            place.append("Bokeh, which draws this, came with an earlier picture that is gone: restart the kernel.")
            return
        }
        await new Promise((done) => setTimeout(done, 100))
    }
    place.textContent = ""
    %(shade)s
    minibit_shade(Bokeh.documents.length)
    Bokeh.embed.embed_item(%(item)s, "%(place)s")
})()
"""


def _call(name: str, says: str) -> Callable[[Plot], Shown]:
    """A method of `Plot` that shows the picture of this name; `says` is its docstring."""

    def call(self: Plot) -> Shown:
        return Shown(self._run, name)

    call.__doc__ = says
    return call


class Plot:
    """All pictures of a run, by name."""

    def __init__(self, run: Run) -> None:
        self._run = run

    blocks = _call("blocks", "Peers x blocks at a moment: the blocks that each peer holds, the rarest blocks marked.")
    completion = _call("completion", "The number of complete peers over time, and the lower bound.")
    rates = _call("rates", "Payload a second: of all together, of the seed, of a peer.")
    copies = _call("copies", "Copies of a block over time: fewest, mean, most; blocks that only the seed holds.")
    messages = _call("messages", "Messages by verb.")
    choking = _call("choking", "The slots of every peer at a moment, guests marked.")
    graph = _call("graph", "Payload from peer to peer, as arrows.")
    shares = _call("shares", "What each peer gave and took, and its share ratio.")
    timeline = _call("timeline", "Failed peers, faults, bans and departures on the axis of time.")

    def __repr__(self) -> str:
        return f"<the pictures of {self._run.name}: {', '.join(f'{name}()' for name in MAKERS)}>"


class Shown:
    """One picture that shows itself: as HTML in a notebook, as text elsewhere."""

    _carrier: ClassVar[str | None] = None  # the cell whose output has Bokeh in it

    def __init__(self, run: Run, name: str) -> None:
        self._run = run
        clock = PageClock(run)
        self.picture: Picture = MAKERS[name](run, clock)
        self.model: UIElement = self.picture.model
        if clock.slider.js_property_callbacks:  # the picture moves with the clock
            self.model = Column(children=[clock.model, self.picture.model], sizing_mode="stretch_width")

    @cached_property
    def table(self) -> pl.DataFrame:
        """The table behind the picture."""
        return self.picture.table(self._run)

    def __repr__(self) -> str:
        return "\n".join([f"{self.picture.title} ({self._run.name})", *self._said(), "", str(self.table)])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": repr(self)}

    def _repr_html_(self) -> str:
        place = f"minibit-{uuid4().hex}"
        values: dict[str, Any] = {
            "place": place,
            "packed": packed_library() if self._carries() else "",
            "version": bokeh.__version__,
            "wait_ms": WAIT_MS,
            "shade": SHADE,
            "item": json.dumps(json_item(self.model)).replace("<", "\\u003c"),
        }
        said = "".join(f"<div>{escape(line)}</div>" for line in self._said())
        return (
            '<div style="padding: 8px; max-width: 1100px">'
            f"<b>{escape(self.picture.title)}</b><div>{escape(self.picture.look)}</div>"
            f'<div id="{place}">{said}<div><i>The picture is drawn by a script: trust the notebook to see it.</i></div>'
            f"</div></div>\n<script>{SHOW % values}</script>"
        )

    def _said(self) -> list[str]:
        """The titles in the picture."""
        titles = [one.text for one in self.picture.model.select({"type": Title}) if isinstance(one, Title)]
        return [line for text in titles for line in str(text).splitlines()]

    @classmethod
    def _carries(cls) -> bool:
        """Whether this output must contain Bokeh: in a notebook only the output of the first cell with a picture."""
        shell: Any = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        if not hasattr(shell, "get_parent"):  # a terminal, not a notebook
            return True
        told = shell.get_parent()
        cell: str = told.get("metadata", {}).get("cellId") or told.get("content", {}).get("code", "")
        cls._carrier = cls._carrier or cell
        return cell == cls._carrier
