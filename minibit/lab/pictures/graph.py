"""Payload between peers: they stand on a circle, the seed above it; an arrow is as wide as the bytes it stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from bokeh.models import DataRange1d
from numpy.typing import NDArray

from minibit.events import TRACKER
from minibit.lab.pictures.canvas import BLUE, INK, ORANGE, canvas, hover, legend
from minibit.lab.pictures.clock import PageClock
from minibit.lab.pictures.names import behaviours, letters, look_of, part, short, shorts
from minibit.lab.pictures.picture import Columns, Picture, sources
from minibit.lab.run import Run
from minibit.units import show_bytes

TITLE = "Who fed whom"
LOOK = (
    "Peers stand on a circle, the seed above it. Good swarms look like a ball of thread: everybody feeds many, and the "
    "seed's arrows are few beside it. A star around the seed means that peers don't share; bundles, that they trade "
    "among their like."
)
EDGES_MAX = 200
NODES_MAX = 1000
NAMES_MAX = 64
BEND = np.linspace(0.0, 1.0, 13)
ARROW_AT = 8  # the point of a bend that has the arrow's head
SEED_AT = (0.0, 1.42)


def columns(run: Run) -> Columns:
    """The columns of its sources."""
    gave = run.gave().filter(pl.col("bytes") > 0)
    strongest = gave.sort("bytes", "source", "peer", descending=[True, False, False]).head(EDGES_MAX)
    peers = run.peer_names
    if len(peers) > NODES_MAX:
        there = set(strongest["source"]) | set(strongest["peer"])
        peers = [name for name in peers if name in there]
    turn = np.pi / 2 - 2 * np.pi * (np.arange(len(peers)) + 0.5) / max(1, len(peers))
    places = {name: (float(np.cos(at)), float(np.sin(at))) for name, at in zip(peers, turn, strict=True)}
    places[TRACKER] = SEED_AT
    edges = strongest.filter(pl.col("source").is_in(list(places)) & pl.col("peer").is_in(list(places)))
    by_seed = pl.col("source") == TRACKER
    most = max([1, *edges["bytes"]])
    moved = int(gave["bytes"].sum())
    drawn = part(edges.height, gave.height, "arrows").replace("a sample: ", "the strongest ")
    share = f", {100 * edges['bytes'].sum() / moved:.3g} % of {show_bytes(moved)}" if moved else ""
    sort = behaviours(run)
    nodes = [*peers, TRACKER]
    looks = [("hex", ORANGE) if name == TRACKER else look_of(sort[name])[1:] for name in nodes]
    return {
        "graph:title": {"text": [f"{drawn}{share}" if gave.height else "Nobody has given anything"]},
        "graph:peers": _arrows(edges.filter(~by_seed), places, most),
        "graph:seed": _arrows(edges.filter(by_seed), places, most),
        "graph:nodes": {
            "x": [places[name][0] for name in nodes],
            "y": [places[name][1] for name in nodes],
            "peer": nodes,
            "marker": [marker for marker, _ in looks],
            "color": [colour for _, colour in looks],
            "size": [16 if name == TRACKER else 9 if len(nodes) <= NAMES_MAX else 4 for name in nodes],
        },
        "graph:names": _names(run, peers, turn),
    }


def _arrows(edges: pl.DataFrame, places: dict[str, tuple[float, float]], most: int) -> dict[str, list[object]]:
    """Bent lines with heads between the places; the two directions of a pair bend apart."""
    bends = [_bend(places[source], places[peer]) for source, peer in edges.select("source", "peer").iter_rows()]
    heads = [bend[:, ARROW_AT] for bend in bends]
    ways = [bend[:, ARROW_AT + 1] - bend[:, ARROW_AT - 1] for bend in bends]
    widths = [0.6 + 4.4 * one / most for one in edges["bytes"]]
    return {
        "xs": [bend[0].round(3).tolist() for bend in bends],
        "ys": [bend[1].round(3).tolist() for bend in bends],
        "x": [float(x) for x, _ in heads],
        "y": [float(y) for _, y in heads],
        "angle": [float(np.arctan2(dy, dx) - np.pi / 2) for dx, dy in ways],
        "width": widths,
        "head": [4 + 1.6 * width for width in widths],
        "source": [short(name) for name in edges["source"]],
        "peer": [short(name) for name in edges["peer"]],
        "bytes": edges["bytes"].to_list(),
        "blocks": edges["blocks"].to_list(),
    }


def _bend(source: tuple[float, float], target: tuple[float, float]) -> NDArray[np.float64]:
    """Points (x, y) of a quadratic curve that leaves the straight line to its right, and nears the middle."""
    begin, end = np.array(source), np.array(target)
    aside = np.array([end[1] - begin[1], begin[0] - end[0]])
    over = 0.35 * (begin + end) + 0.12 * aside
    at = BEND
    bend: NDArray[np.float64] = (
        np.outer(begin, (1 - at) ** 2) + np.outer(over, 2 * at * (1 - at)) + np.outer(end, at**2)
    )
    return bend


def _names(run: Run, peers: list[str], turn: NDArray[np.float64]) -> dict[str, list[object]]:
    """The short names around the circle, if there is room, and the name of the seed."""
    shown = shorts(run, peers) if len(peers) <= NAMES_MAX else []
    at = turn[: len(shown)]
    return {
        "x": [*(1.09 * np.cos(at)).tolist(), SEED_AT[0] + 0.12],
        "y": [*(1.09 * np.sin(at)).tolist(), SEED_AT[1]],
        "name": [*shown, "seed"],
        "align": ["center"] * len(shown) + ["left"],
    }


def picture(run: Run, clock: PageClock) -> Picture:
    """The whole run's arrows."""
    of = sources(columns(run))
    x_range, y_range = DataRange1d(range_padding=0.1), DataRange1d(range_padding=0.1)
    made = canvas(of["title"], 560, "", "", match_aspect=True, x_range=x_range, y_range=y_range)
    made.axis.visible = made.grid.visible = False
    drawn = []
    for source, colour, dash in ((of["peers"], BLUE, "solid"), (of["seed"], ORANGE, [5, 2])):
        look: dict[str, Any] = {"source": source, "color": colour}
        drawn.append(made.multi_line("xs", "ys", line_width="width", alpha=0.45, line_dash=dash, **look))
        made.scatter("x", "y", marker="triangle", angle="angle", size="head", line_color=None, **look)
    nodes = made.scatter("x", "y", source=of["nodes"], marker="marker", color="color", size="size")
    made.text("x", "y", "name", source=of["names"], text_align="align", text_baseline="middle",
              text_font_size="10px", text_color=INK)  # fmt: skip
    legend(made, [("peer to peer", [drawn[0]]), ("from the seed", [drawn[1]])])
    told = (("from", "@source"), ("to", "@peer"), ("gave", "@bytes{0.0 ib}, @blocks blocks"))
    hover(made, drawn, *told, line_policy="interp")
    hover(made, [nodes], ("", "@peer"))
    return Picture("graph", TITLE, LOOK + letters(run), made, columns, lambda run: run.gave())
