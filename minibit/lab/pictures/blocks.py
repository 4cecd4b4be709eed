"""Peers x blocks: the blocks that each peer holds at a moment, with the rarest blocks marked.

The page gets the time at which each peer first held each block, and `MOVE` makes the picture of any moment from that.
`seen` follows the same rule for the first moment; tests/lab/test_report.py compares the two in a browser. Copies
are counted among the peers that are drawn and present, without the seed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from bokeh.models import ColumnDataSource, CustomJSHover, Image, LinearColorMapper
from numpy.typing import NDArray

from minibit.events import TRACKER
from minibit.lab.pictures.canvas import (
    BLUE,
    GREY,
    ORANGE,
    PALE,
    RED,
    WHITE,
    hover,
    key,
    legend,
    matrix,
    named_ticks,
    shown_where,
)
from minibit.lab.pictures.clock import PageClock
from minibit.lab.pictures.names import every_nth, letters, moment, part, short, shorts
from minibit.lab.pictures.picture import Columns, Picture, sources
from minibit.lab.run import Run

TITLE = "Who holds what"
LOOK = (
    "A row is a peer, a column a block. Where rarest first works, no column stays empty for long, and the marks "
    "above (the rarest blocks of the moment) keep moving. The mouse on a cell says since when, and from whom."
)
NOTHING = "There is no peer or no block yet"
ROWS_MAX, COLUMNS_MAX = 120, 2048
FIRST_ROW = 1  # so that a round number on the axis is the row of a peer with a round number
MISSING, HELD, RAREST, GONE, ABSENT = range(5)
COLOURS = [PALE, BLUE, ORANGE, GREY, WHITE]
SAID = ("missing", "held", "held, rarest", "peer gone", "peer not here yet")

MOVE = """
const {arrived, joined_s, gone_s} = peers.data, cells = image.data.image[0]
const rows = arrived.length, columns = blocks.data.block.length
if (cells === undefined || cells.length !== rows * columns) return
const copies = new Uint16Array(columns)
let held = 0
for (let row = 0; row < rows; row++) {
    if (gone_s[row] <= now) continue
    const times = arrived[row]
    for (let column = 0; column < columns; column++) if (times[column] <= now) { copies[column]++; held++ }
}
let least = Infinity, most = -Infinity
for (const count of copies) { least = Math.min(least, count); most = Math.max(most, count) }
const marked = []
copies.forEach((count, column) => { if (count === least && least < most) marked.push(column) })
for (let row = 0, at = 0; row < rows; row++) {
    const times = arrived[row], gone = gone_s[row] <= now, absent = joined_s[row] > now
    for (let column = 0; column < columns; column++, at++) {
        const rare = copies[column] === least && least < most
        cells[at] = gone ? 3 : absent ? 4 : !(times[column] <= now) ? 0 : rare ? 2 : 1
    }
}
image.change.emit()
rarest.data = {x: marked, y: marked.map(() => frame.data.mark[0])}
const share = rows * columns ? 100 * held / (rows * columns) : 0
const of_what = title.data.text[0].split("\\n")[0]
figure.title.text = `${of_what}\\n${moment}: ${Math.floor(share)} % held\\nrarest: `
    + (marked.length ? `${marked.length} ${marked.length === 1 ? "block" : "blocks"}, ${least} of ${rows} copies`
                     : "none")
"""


class Seen(NamedTuple):
    """The picture at a moment: the image, the marked columns (the rarest blocks), and the line about them."""

    image: NDArray[np.uint8]
    rarest: list[int]
    said: str


TELL = """
const row = Math.round(special_vars.y) - first_row, column = Math.round(special_vars.x), {data} = peers
const at_s = data.arrived[row]?.[column], now = slider.value, when = (s) => s.toFixed(slider.end < 20 ? 2 : 1) + " s"
if (at_s === undefined) return ""
if (data.gone_s[row] <= now) return `its peer is gone since ${when(data.gone_s[row])}`
if (data.joined_s[row] > now) return `its peer is not here before ${when(data.joined_s[row])}`
if (at_s === Infinity) return "missing to the end"
const from = sources.data.name[data.source[row][column]]
return at_s <= now ? `held since ${when(at_s)}, ${from}` : `missing until ${when(at_s)}`
"""
"""What the mouse says about a cell, at the clock's time."""


def seen(arrived: NDArray[np.float32], joined_s: NDArray[np.float64], gone_s: NDArray[np.float64], now: float) -> Seen:
    """The picture at `now`, from the times at which each peer (a row) first held each block (a column)."""
    gone = gone_s <= now
    held = (arrived.astype(np.float64) <= now) & ~gone[:, None]
    copies = held.sum(axis=0)
    least, most = (int(copies.min()), int(copies.max())) if copies.size else (0, 0)
    rare = (copies == least) & (least < most)
    image = np.where(held, np.where(rare, RAREST, HELD), MISSING)
    image[joined_s > now] = ABSENT
    image[gone] = GONE
    marked = [int(one) for one in np.flatnonzero(rare)]
    percent = 100 * int(held.sum()) // held.size if held.size else 0
    blocks = "block" if len(marked) == 1 else "blocks"
    what = f"{len(marked)} {blocks}, {least} of {len(arrived)} copies" if marked else "none"
    return Seen(image.astype(np.uint8), marked, f"{percent} % held\nrarest: {what}")


def columns(run: Run, now: float | None = None) -> Columns:
    """The columns of its sources; the image is that of `now`, or of the end."""
    members, names = run.members["peer"].to_list(), run.peer_names
    drawn = [names[at] for at in every_nth(len(names), ROWS_MAX, FIRST_ROW)]
    blocks = every_nth(run.content_blocks, COLUMNS_MAX)
    arrived, source = _arrived(run, drawn, blocks)
    joined_s, gone_s = _there(run, drawn)
    joined_s = np.minimum(joined_s, arrived.min(axis=1, initial=np.inf))  # also where only its blocks are known
    now = run.end_s if now is None else now
    shown = seen(arrived, joined_s, gone_s, now)
    title = f"{part(len(drawn), len(names), 'peers')} x {part(len(blocks), run.content_blocks, 'blocks')}"
    above = FIRST_ROW - 0.5  # the edge of the first row
    mark = above - max(0.5, 0.015 * len(drawn))  # the marks stand above it; in rows
    image = {"image": [shown.image], "x": [-0.5], "y": [above], "dw": [len(blocks)], "dh": [len(drawn)]}
    return {
        "blocks:title": {"text": [f"{title}\n{moment(run, now)}: {shown.said}" if arrived.size else NOTHING]},
        "blocks:blocks": {"block": blocks},
        "blocks:sources": {"name": ["from the start", *map(_from, shorts(run, members))]},
        "blocks:peers": {
            **{"peer": shorts(run, drawn), "joined_s": joined_s, "gone_s": gone_s},
            **{"arrived": list(arrived), "source": list(source)},
        },
        "blocks:image": image if arrived.size else {column: [] for column in image},
        "blocks:frame": {"x": [-0.5], "y": [2 * mark - above], "mark": [mark]},
        "blocks:rarest": {"x": shown.rarest, "y": [mark] * len(shown.rarest)},
    }


def _from(name: str) -> str:
    return "from the seed" if name == short(TRACKER) else f"from peer {name}"


def _arrived(run: Run, peers: list[str], blocks: list[int]) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """When each of these peers (rows) first held each of these blocks (columns), infinite for never; and the number of
    the member that gave it, from 1 on, 0 for none."""
    rows = pl.DataFrame({"peer": peers}, schema={"peer": pl.String}).with_row_index("row")
    columns = pl.DataFrame({"block": blocks}, schema={"block": pl.Int64}).with_row_index("column")
    found = run.arrivals().join(rows, on="peer").join(columns, on="block")
    arrived = np.full((len(peers), len(blocks)), np.inf, dtype=np.float32)
    at_s = found["at_s"].to_numpy()
    rounded = at_s.astype(np.float32)  # rounded down, so that the last block has come by the end
    rounded = np.where(rounded > at_s, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    arrived[found["row"].to_numpy(), found["column"].to_numpy()] = rounded
    members = run.members.select(source="peer").with_row_index("number", offset=1)
    gave = (
        run.blocks.filter(verdict="useful").join(rows, on="peer").join(columns, on="block").join(members, on="source")
    )
    source = np.zeros(arrived.shape, dtype=np.uint16)
    source[gave["row"].to_numpy(), gave["column"].to_numpy()] = gave["number"].to_numpy()
    return arrived, source


def _there(run: Run, peers: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """When each of these peers joined and was gone, infinite for never. If nobody noted it, all are there from 0 on."""
    lives = run.lives()
    never_s = 0.0 if lives["joined_s"].is_null().all() else np.inf
    joined, gone = (dict(lives.select("peer", column).drop_nulls().iter_rows()) for column in ("joined_s", "gone_s"))
    return np.array([joined.get(one, never_s) for one in peers]), np.array([gone.get(one, np.inf) for one in peers])


def picture(run: Run, clock: PageClock) -> Picture:
    """Peers x blocks, at the clock's time."""
    of = sources(columns(run, clock.at_s))
    peers, blocks = of["peers"], of["blocks"]
    height = min(640, 155 + 9 * max(12, len(peers.data["peer"])))
    made = matrix(of["title"], height, "block", "peer", ticks=8)
    made.grid.visible = False
    made.xaxis.formatter, made.yaxis.formatter = named_ticks(blocks, "block"), named_ticks(peers, "peer", FIRST_ROW)
    made.yaxis.bounds = (FIRST_ROW - 0.5, 1e9)  # no tick above the first row
    mapper = LinearColorMapper(palette=COLOURS, low=-0.5, high=len(COLOURS) - 0.5)
    cells = made.add_glyph(of["image"], Image(color_mapper=mapper))
    made.scatter("x", "y", source=of["frame"], size=0, alpha=0)  # room for marks also while there are none
    marks = made.scatter(source=of["rarest"], marker="inverted_triangle", size=7, color=RED, line_color=None)
    keys = [key(made, "square", one) for one in COLOURS]
    named = legend(
        made, [*((text, [one]) for text, one in zip(SAID, keys, strict=True)), ("a rarest block", [marks])], 3
    )
    shown_where(named[GONE], peers, "gone_s")
    shown_where(named[ABSENT], peers, "joined_s", 0.0)
    formatters = {
        "$y": _named(peers, "y", "peer", FIRST_ROW),
        "$x": _named(blocks, "x", "block"),
        "$sx": CustomJSHover(
            args={"peers": peers, "sources": of["sources"], "slider": clock.slider, "first_row": FIRST_ROW}, code=TELL
        ),
    }
    hover(made, [cells], ("peer", "$y{custom}"), ("block", "$x{custom}"), ("", "$sx{custom}"), formatters=formatters)
    clock.moves(MOVE, peers, figure=made, **of)
    return Picture("blocks", TITLE, LOOK + letters(run), made, columns, lambda run: run.arrivals())


def _named(names: ColumnDataSource, axis: str, column: str, first: int = 0) -> CustomJSHover:
    """The name, from this column of a source, of the row or column under the mouse."""
    code = f"const found = names.data.{column}[Math.round(special_vars.{axis}) - {first}]"
    return CustomJSHover(args={"names": names}, code=code + "\nreturn found === undefined ? '' : `${found}`")
