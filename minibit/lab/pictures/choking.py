"""The matrix of fixed slots and guests at a moment."""

from __future__ import annotations

from collections import Counter

import polars as pl

from minibit.events import TRACKER
from minibit.lab.pictures.canvas import BLACK, BLUE, CELL, ORANGE, begun, hover, legend, matrix, named_ticks
from minibit.lab.pictures.clock import PageClock
from minibit.lab.pictures.names import letters, moment, part, shorts
from minibit.lab.pictures.picture import Columns, Picture, sources
from minibit.lab.run import Run

TITLE = "Who serves whom"
LOOK = (
    "A row serves, a column is served; G is the guest, who need not have given anything. Under tit-for-tat many blue "
    "squares have a twin on the other side of the diagonal, and free riders' columns show little but G."
)
PEERS_MAX = 61

MOVE = """
const all = intervals.data, end_s = slider.end, slots = {fixed: [[], [], []], guest: [[], [], []]}
for (let at = 0; at < all.from_s.length; at++) {
    if (all.from_s[at] <= now && (now < all.until_s[at] || (now >= end_s && all.until_s[at] >= end_s))) {
        const [x, y, since_s] = slots[all.guest[at] ? "guest" : "fixed"]
        x.push(all.column[at])
        y.push(all.row[at])
        since_s.push(all.from_s[at])
    }
}
const named = (found) => found.map((one) => peers.data.peer[one])
for (const [source, [x, y, since_s]] of [[fixed, slots.fixed], [guest, slots.guest]])
    source.data = {x, y, serves: named(y), served: named(x), since_s}
figure.title.text = `${title.data.text[0].split("\\n")[0]}\\n${moment}: `
    + `${slots.fixed[0].length} fixed slots, ${slots.guest[0].length} guests`
"""


def columns(run: Run, now: float | None = None) -> Columns:
    """The columns of its sources; the slots are those of `now`, or of the end."""
    now = run.end_s if now is None else now
    choking = run.choking()
    peers = drawn(run, choking)
    names = shorts(run, peers)
    places = pl.DataFrame({"peer": peers, "place": range(len(peers))}, schema={"peer": pl.String, "place": pl.Int64})
    there = (
        choking.join(places.rename({"place": "row"}), on="peer")
        .join(places.rename({"peer": "neighbour", "place": "column"}), on="neighbour")
        .select("row", "column", "from_s", "until_s", guest=(pl.col("slot") == "guest").cast(pl.Int8))
        .sort("from_s", "row", "column")
    )
    at_end = (pl.col("until_s") >= run.end_s) & (now >= run.end_s)
    then = there.filter((pl.col("from_s") <= now) & ((pl.col("until_s") > now) | at_end))
    fixed, guest = then.filter(guest=0), then.filter(guest=1)
    title = part(len(peers), run.members.height, "actors")
    said = f"{moment(run, now)}: {fixed.height} fixed slots, {guest.height} guests"
    return {
        "choking:title": {"text": [f"{title}\n{said}" if choking.height else "Nobody has served anybody"]},
        "choking:peers": {"peer": names, "at": list(range(len(names)))},
        "choking:intervals": {column: there[column].to_numpy() for column in there.columns},
        "choking:fixed": _cells(fixed, names),
        "choking:guest": _cells(guest, names),
    }


def drawn(run: Run, choking: pl.DataFrame) -> list[str]:
    """The peers that are drawn: all, or the seed and then, one by one, the peer with most slots among those before."""
    names = run.members["peer"].to_list()
    if len(names) <= PEERS_MAX:
        return names
    ties: dict[str, Counter[str]] = {}
    for one, other, count in choking.group_by("peer", "neighbour").len().iter_rows():
        ties.setdefault(one, Counter())[other] += count
        ties.setdefault(other, Counter())[one] += count
    chosen, near = {TRACKER}, Counter(ties.get(TRACKER, {}))
    while len(chosen) < PEERS_MAX and near:
        nearest = max(near, key=lambda name: (near[name], name))
        chosen.add(nearest)
        near.update(ties[nearest])
        for name in chosen & near.keys():
            del near[name]
    return [name for name in names if name in chosen]


def _cells(found: pl.DataFrame, names: list[str]) -> dict[str, list[object]]:
    rows, places = found["row"].to_list(), found["column"].to_list()
    named = {"serves": [names[at] for at in rows], "served": [names[at] for at in places]}
    return {"x": places, "y": rows, **named, "since_s": found["from_s"].to_list()}


def picture(run: Run, clock: PageClock) -> Picture:
    """The matrix, at the clock's time."""
    of = sources(columns(run, clock.at_s))
    made = matrix(of["title"], 560, "is served", "serves", ticks=10)
    for axis in made.axis:
        axis.formatter = named_ticks(of["peers"], "peer")
    # the diagonal, where no slot can be, gives the axes their length
    made.rect("at", "at", 1, 1, source=of["peers"], fill_color=CELL, line_color=None)
    begun(made)
    fixed = made.rect("x", "y", 0.9, 0.9, source=of["fixed"], fill_color=BLUE, line_color=None)
    guest = made.rect("x", "y", 0.9, 0.9, source=of["guest"], fill_color=ORANGE, line_color=None)
    made.text("x", "y", {"value": "G"}, source=of["guest"], text_align="center", text_baseline="middle",
              text_font_size="9px", text_font_style="bold", text_color=BLACK)  # fmt: skip
    legend(made, [("fixed slot", [fixed]), ("G: the guest", [guest])])
    hover(made, [fixed, guest], ("serves", "@serves"), ("is served", "@served"), ("since", "@since_s{0.0} s"))
    clock.moves(MOVE, of["intervals"], figure=made, **of)
    return Picture("choking", TITLE, LOOK + letters(run), made, columns, lambda run: run.choking())
