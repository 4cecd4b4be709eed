"""Peers x blocks: the blocks that each peer holds at a moment, with the rarest blocks marked.

The page gets the time at which each peer first held each block, and `MOVE` makes the picture of any moment from that.
`seen` follows the same rule for the first moment; tests/lab/test_lab_report.py compares the two in a browser. Copies
are counted among the peers that are drawn and present, without the seed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from bokeh.models import ColumnDataSource, CustomJSHover, Image, LinearColorMapper
from numpy.typing import NDArray

from minibit.lab.pictures.canvas import BLUE, GREY, ORANGE, PALE, RED, hover, key, legend, matrix, named_ticks
from minibit.lab.pictures.clock import PageClock
from minibit.lab.pictures.names import letters, moment, part, shorts, spread
from minibit.lab.pictures.picture import Columns, Picture, sources
from minibit.lab.run import Run

TITLE = "Who holds what"
LOOK = (
    "A row is a peer, a column a block. Where rarest first works, no column stays empty for long, and the marks "
    "above (the rarest blocks of the moment) keep moving."
)
NOTHING = "There is no peer or no block yet"
ROWS_MAX, COLUMNS_MAX = 120, 1000
MISSING, HELD, RAREST, GONE = range(4)
COLOURS = [PALE, BLUE, ORANGE, GREY]

MOVE = """
const {arrived, gone_s} = peers.data, cells = image.data.image[0]
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
    const times = arrived[row], gone = gone_s[row] <= now
    for (let column = 0; column < columns; column++, at++) {
        const rare = copies[column] === least && least < most
        cells[at] = gone ? 3 : !(times[column] <= now) ? 0 : rare ? 2 : 1
    }
}
image.change.emit()
rarest.data = {x: marked, y: marked.map(() => frame.data.mark[0])}
const share = rows * columns ? 100 * held / (rows * columns) : 0
const of_what = title.data.text[0].split("\\n")[0]
figure.title.text = `${of_what}\\n${moment}: ${share.toFixed(0)} % held, rarest: `
    + (marked.length ? `${marked.length} ${marked.length === 1 ? "block" : "blocks"}, ${least} of ${rows} copies`
                     : "none")
"""


class Seen(NamedTuple):
    """The picture at a moment: the image, the marked columns (the rarest blocks), and the line about them."""

    image: NDArray[np.uint8]
    rarest: list[int]
    said: str


def seen(arrived: NDArray[np.float32], gone_s: NDArray[np.float64], now: float) -> Seen:
    """The picture at `now`, from the times at which each peer (a row) first held each block (a column)."""
    gone = gone_s <= now
    held = (arrived.astype(np.float64) <= now) & ~gone[:, None]
    copies = held.sum(axis=0)
    least, most = (int(copies.min()), int(copies.max())) if copies.size else (0, 0)
    rare = (copies == least) & (least < most)
    image = np.where(held, np.where(rare, RAREST, HELD), MISSING)
    image[gone] = GONE
    marked = [int(one) for one in np.flatnonzero(rare)]
    share = held.mean() if held.size else 0.0
    blocks = "block" if len(marked) == 1 else "blocks"
    what = f"{len(marked)} {blocks}, {least} of {len(arrived)} copies" if marked else "none"
    return Seen(image.astype(np.uint8), marked, f"{100 * share:.0f} % held, rarest: {what}")


def columns(run: Run, now: float | None = None) -> Columns:
    """The columns of its sources; the image is that of `now`, or of the end."""
    names = run.peer_names
    drawn = [names[at] for at in spread(len(names), ROWS_MAX)]
    blocks = spread(run.content_blocks, COLUMNS_MAX)
    arrived = _arrived(run, drawn, blocks)
    gone = dict(run.lives().select("peer", "gone_s").drop_nulls().iter_rows())
    gone_s = np.array([gone.get(peer, np.inf) for peer in drawn], dtype=np.float64)
    now = run.end_s if now is None else now
    shown = seen(arrived, gone_s, now)
    title = f"{part(len(drawn), len(names), 'peers')} x {part(len(blocks), run.content_blocks, 'blocks')}"
    mark = -0.5 - max(0.5, 0.015 * len(drawn))  # the marks stand above the first row; in rows
    image = {"image": [shown.image], "x": [-0.5], "y": [-0.5], "dw": [len(blocks)], "dh": [len(drawn)]}
    return {
        "blocks:title": {"text": [f"{title}\n{moment(run, now)}: {shown.said}" if arrived.size else NOTHING]},
        "blocks:blocks": {"block": blocks},
        "blocks:peers": {"peer": shorts(run, drawn), "gone_s": gone_s, "arrived": list(arrived)},
        "blocks:image": image if arrived.size else {column: [] for column in image},
        "blocks:frame": {"x": [-0.5], "y": [2 * mark + 0.5], "mark": [mark]},
        "blocks:rarest": {"x": shown.rarest, "y": [mark] * len(shown.rarest)},
    }


def _arrived(run: Run, peers: list[str], blocks: list[int]) -> NDArray[np.float32]:
    """When each of these peers (rows) first held each of these blocks (columns); infinite for never."""
    rows = pl.DataFrame({"peer": peers}, schema={"peer": pl.String}).with_row_index("row")
    columns = pl.DataFrame({"block": blocks}, schema={"block": pl.Int64}).with_row_index("column")
    found = run.arrivals().join(rows, on="peer").join(columns, on="block")
    arrived = np.full((len(peers), len(blocks)), np.inf, dtype=np.float32)
    at_s = found["at_s"].to_numpy()
    rounded = at_s.astype(np.float32)  # rounded down, so that the last block has come by the end
    rounded = np.where(rounded > at_s, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    arrived[found["row"].to_numpy(), found["column"].to_numpy()] = rounded
    return arrived


def picture(run: Run, clock: PageClock) -> Picture:
    """Peers x blocks, at the clock's time."""
    of = sources(columns(run, clock.at_s))
    peers, blocks = of["peers"], of["blocks"]
    height = min(640, 140 + 9 * max(12, len(peers.data["peer"])))
    made = matrix(of["title"], height, "block", "peer", ticks=8)
    made.grid.visible = False
    made.xaxis.formatter, made.yaxis.formatter = named_ticks(blocks, "block"), named_ticks(peers, "peer")
    mapper = LinearColorMapper(palette=COLOURS, low=-0.5, high=len(COLOURS) - 0.5)
    cells = made.add_glyph(of["image"], Image(color_mapper=mapper))
    made.scatter("x", "y", source=of["frame"], size=0, alpha=0)  # room for marks also while there are none
    marks = made.scatter(source=of["rarest"], marker="inverted_triangle", size=7, color=RED, line_color=None)
    keys = [key(made, "square", one) for one in COLOURS]
    said = ("missing", "held", "held and rarest", "peer gone")
    legend(made, [*((text, [one]) for text, one in zip(said, keys, strict=True)), ("a rarest block", [marks])], 3)
    formatters = {"$y": _named(peers, "y", "peer"), "$x": _named(blocks, "x", "block")}
    hover(made, [cells], ("peer", "$y{custom}"), ("block", "$x{custom}"), formatters=formatters)
    clock.moves(MOVE, peers, figure=made, **of)
    return Picture("blocks", TITLE, LOOK + letters(run), made, columns, lambda run: run.arrivals())


def _named(names: ColumnDataSource, axis: str, column: str) -> CustomJSHover:
    """The name, from this column of a source, of the row or column under the mouse."""
    code = f"const found = names.data.{column}[Math.round(special_vars.{axis})]"
    return CustomJSHover(args={"names": names}, code=code + "\nreturn found === undefined ? '' : `${found}`")
