"""What pictures call things: peers and their behaviours, moments, samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from minibit.events import TRACKER
from minibit.lab.pictures.canvas import ASH, BLUE, GREEN, PINK, RED, SKY
from minibit.lab.run import Run

BEHAVIOURS = {
    "honest": ("", "circle", BLUE),
    "free-rider": ("F", "inverted_triangle", RED),
    "corrupter": ("C", "x", ASH),
    "liar": ("L", "star", PINK),
    "slow": ("S", "square", GREEN),
}
"""For each behaviour: the letter behind a peer's name, the marker, the colour."""


def look_of(behaviour: str) -> tuple[str, str, str]:
    """Letter, marker and colour of a behaviour, also of one that is not in the table."""
    return BEHAVIOURS.get(behaviour, (behaviour[:1].upper(), "diamond", SKY))


def short(peer: str, behaviour: str = "honest") -> str:
    """A short name of a peer: `07`, `45 F` for a free rider, `seed`."""
    if peer == TRACKER:
        return "seed"
    return f"{peer.removeprefix('peer-')} {look_of(behaviour)[0]}".strip()


def shorts(run: Run, peers: Sequence[str]) -> list[str]:
    """The short names of these peers."""
    sort = behaviours(run)
    return [short(peer, sort.get(peer, "honest")) for peer in peers]


def letters(run: Run) -> str:
    """A sentence on the letters behind the peers' names, of the behaviours in this run; empty if there are none."""
    there = sorted(set(behaviours(run).values()))
    said = [f"{look_of(one)[0]} {one}" for one in there if look_of(one)[0]]
    return f" Behind a peer's number: {', '.join(said)}." if said else ""


def behaviours(run: Run) -> dict[str, str]:
    """The behaviour of each actor; `honest` if it is not known."""
    return dict(run.members.select("peer", pl.col("behaviour").fill_null("honest")).iter_rows())


def moment(run: Run, now: float) -> str:
    """A time of the clock in the words of the page: `at 36.5 s`."""
    return f"at {now:.{2 if run.end_s < 20 else 1}f} s"


def spread(count: int, most: int) -> list[int]:
    """At `most` so many of 0, 1, ... count - 1, evenly spread, with both ends."""
    return list(range(count)) if count <= most else [int(one) for one in np.linspace(0, count - 1, most).round()]


def every_nth(count: int, most: int, first: int = 0) -> list[int]:
    """At `most` so many of 0, 1, ... count - 1, all the same step apart, so that round places have round numbers.

    Numbers are counted from `first`, and those that are multiples of the step are taken.
    """
    step = max(1, -(-count // most))
    return list(range(-first % step, count, step))


def part(drawn: int, there: int, what: str) -> str:
    """`60 of 1,000 peers`, or `50 peers` when all are drawn."""
    what = what.removesuffix("s") if there == 1 else what
    return f"{there:,} {what}" if drawn >= there else f"a sample: {drawn:,} of {there:,} {what}"
