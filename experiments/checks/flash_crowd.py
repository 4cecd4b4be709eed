"""Check 7: twice as many peers take a little longer, not twice as long."""

from __future__ import annotations

from functools import partial
from typing import Any

from checks.check import Check, CheckRow, Found, Scale, Task, at_most, average, between
from checks.runs import BLOCK_BYTES, SLOTS, Figures, everybody, figures, run, standard
from minibit.run import bounds

PEERS = (25, 50, 100, 200, 400, 800, 1600)
MORE = 16  # so many times the peers take little longer
MOST_NEIGHBOURS = 80  # up to 39 peers all know each other; beyond, this is the limit of links


def tasks(scale: Scale) -> list[Task]:
    """More and more peers, which all come at once."""
    return [
        Task(peers, partial(one, seed, peers, scale.of(128, 16)), peers)
        for peers in scale.of(PEERS, (6, 12, 24, 48, 96))
        for seed in scale.chances(5 if peers <= 100 else 2 if peers <= 400 else 1)
    ]


def one(seed: int, peers: int, blocks: int) -> Figures:
    """One run, with blocks of the same size whatever their number."""
    size = {"size": blocks * BLOCK_BYTES, "block_size": BLOCK_BYTES}
    return figures(*run(standard(seed, peers=peers, neighbours=min(everybody(peers), MOST_NEIGHBOURS), **size)))


def rows(found: Found) -> list[CheckRow]:
    """The cost of a doubling on average, and of sixteen times as many peers."""
    sizes = sorted(found)
    first, last = (average(found[peers], "startup_tau") for peers in (sizes[0], sizes[-1]))
    some, many = (average(found[sizes[0] * times], "makespan_s") for times in (1, MORE))
    return [
        between("start-up in τ, more for each doubling", (last - first) / (len(sizes) - 1), 1.5, 4),
        at_most(f"makespan of {sizes[0] * MORE} peers / of {sizes[0]}", many / some, 1.3),
    ]


def draw(found: Found, figure: Any) -> None:
    """The start-up by the number of peers, beside the law."""
    axes = figure.subplots()
    startups = [average(found[peers], "startup_tau") for peers in PEERS]
    axes.semilogx(PEERS, startups, marker="o", base=2, label="measured")
    law = [bounds.startup_s(peers, SLOTS, 1.0) for peers in PEERS]
    axes.semilogx(PEERS, law, color="black", linewidth=1, linestyle="--", base=2, label="law")
    axes.set_xticks(PEERS, PEERS)
    axes.set(xlabel="peers", ylabel="(makespan - bound) / τ")
    axes.set_ylim(bottom=0)
    axes.legend()


CHECK = Check(
    "Flash crowd",
    "When all come at once, the serving peers double and double again: the time grows with the logarithm of the peers.",
    tasks,
    rows,
    draw,
    """\
It grows with the logarithm, and a little faster than expected: 1.7 τ a doubling is the law, 3 to 6 is what a doubling
costs between 25 and 800 peers. What is missing is what check 6 tells of: with whole blocks, slots at the start are held
by neighbours whose every wish is in flight from somebody else already. Shorter rounds don't cure it: with rounds of 2 s
instead of 10 s, 400 peers start in 28 τ instead of 27 (one seed of chance).
""",
    large=("makespan of",),
)
