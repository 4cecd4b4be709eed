"""Check 4: a peer that gives nothing gets a quarter (Qiu and Srikant 2004)."""

from __future__ import annotations

from functools import partial
from statistics import mean
from typing import Any

from checks.check import Check, CheckRow, Found, Scale, Task, average, between
from checks.runs import SLOTS, Figures, figures, run, standard
from minibit.records import BlockRecord
from minibit.run import bounds, measures
from minibit.sim import Simulation

CHOKERS = ("tit-for-tat", "none")
BIN_S = 20.0


def tasks(scale: Scale) -> list[Task]:
    """The standard swarm in which every tenth peer takes and never gives, with and without choking."""
    peers, blocks = scale.of((100, 128), (30, 48))
    return [
        Task(choker, partial(one, seed, choker, peers, blocks), 100) for choker in CHOKERS for seed in scale.chances(5)
    ]


def one(seed: int, choker: str, peers: int, blocks: int) -> Figures:
    """One run. Rates until one peer in twenty is complete: in all, over time, and once the blocks are spread."""
    options = standard(seed, peers=peers, blocks=blocks, choker=choker, behave={"free-rider": peers // 10})
    simulation, summary = run(options)
    records = list(simulation.records)
    until_s = sorted(presence.completed_s for presence in measures.presences(records).values())[1 + peers // 20]
    spread_s = measures.spread_s(records, blocks)
    edges_s = [BIN_S * step for step in range(int(until_s / BIN_S) + 1)]
    return figures(simulation, summary) | {
        "share": rate_share(simulation, 0.0, until_s),
        "share_when_spread": rate_share(simulation, spread_s, until_s),
        "over_time": [rate_share(simulation, at_s, at_s + BIN_S) for at_s in edges_s],
    }


def rate_share(simulation: Simulation, from_s: float, until_s: float) -> float:
    """The rate at which free riders got useful blocks in that time, as a share of honest peers' rate."""
    accounts = simulation.ledger.peers
    got_bytes = dict.fromkeys(accounts, 0)
    for record in simulation.records:
        if isinstance(record, BlockRecord) and record.verdict == "useful" and from_s <= record.at_s < until_s:
            got_bytes[record.peer] += record.bytes
    riders, honest = (
        mean(got_bytes[peer] for peer, account in accounts.items() if account.seat.behaviour == behaviour)
        for behaviour in ("free-rider", "honest")
    )
    return riders / honest if honest else 0.0


def rows(found: Found) -> list[CheckRow]:
    """The share with tit-for-tat, and without choking."""
    choked, law = found["tit-for-tat"], bounds.free_rider_share(SLOTS - 1)
    near = law - 0.07, law + 0.07
    return [
        between("rate of a free rider / an honest peer", average(choked, "share"), *near),
        between("the same, once every block is elsewhere", average(choked, "share_when_spread"), *near),
        between("the same without choking", average(found["none"], "share"), 0.9, 1.1),
    ]


def draw(found: Found, figure: Any) -> None:
    """The share of free riders over time."""
    axes = figure.subplots()
    for choker in CHOKERS:
        bins = list(zip(*(one["over_time"] for one in found[choker]), strict=False))
        axes.step([BIN_S * step for step in range(len(bins))], list(map(mean, bins)), where="post", label=choker)
    axes.axhline(bounds.free_rider_share(SLOTS - 1), color="black", linewidth=1, linestyle="--", label="1 / (n + 1)")
    axes.set(xlabel="seconds", ylabel="rate of a free rider / an honest peer", ylim=(0, 1.5))
    axes.legend()


CHECK = Check(
    "Free riders",
    "With n regular slots and one for a guest, a peer that gives nothing gets about 1 / (n + 1) of an honest peer's"
    " rate (Qiu and Srikant 2004).",
    tasks,
    rows,
    draw,
    """\
It differs in the beginning only. Before a peer has got its first block, whole, it has nothing to give back, and until
it has given something back nobody can tell it from a free rider: slots go by chance. With whole blocks that lasts for
several times the ten seconds that a block takes with four slots. Once every block is somewhere else than at the seed,
the law holds: that is the second row, and the picture shows it. Of what a free rider got in all (60 peers, one seed of
chance, in blocks) 34 came from guest slots, 10 from the seed, which can't tell either, and 7 from regular slots; an
honest peer got 24, 8 and 81.

Other suspects were tried and are not it: with windows of four and eight rounds for the rates instead of two the share
is 0.38 and 0.39 instead of 0.45, where another seed of chance has 0.36; with one open PEDIDO for each neighbour instead
of two, or with PEDIDO and ESTOQUE passing blocks, it stayed the same within the noise. A quarter of all blocks arrives
after its slot was taken away, since a block under way goes out whole; but that is so for free riders and honest peers
alike.

Without choking free riders got 1.37 times as much as honest peers before PEDIDO passed blocks (60 peers, one seed of
chance): an honest peer's PEDIDO waited behind what it sent itself.
""",
    large=("rate of a free rider", "the same, once"),
)
