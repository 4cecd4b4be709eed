"""Check 9: if peers come faster than the seed gives the missing block, they gather (Hajek and Zhu 2010)."""

from __future__ import annotations

from functools import partial
from typing import Any

from checks.check import Check, CheckRow, Found, Scale, Task, at_most, average, between
from checks.runs import BLOCK_BYTES, Figures, run, standard
from minibit.events import TRACKER
from minibit.run import bounds
from minibit.sim import Simulation

BLOCKS = 8
SEED_BLOCKS_PER_S = 1.0  # the uplink of the seed, and of every peer
CLUB = 200  # peers that are there at the start and lack the same block
STABLE, UNSTABLE = 0.5, 2.0  # arrivals a second
UNTIL_S = 400.0
NEIGHBOURS = 40


def tasks(scale: Scale) -> list[Task]:
    """An open swarm: peers enter empty and leave when complete; they arrive slower, and faster, than the seed gives."""
    club, until_s = scale.of((CLUB, UNTIL_S), (40, 80.0))
    return [
        Task(rate, partial(one, seed, rate, club, until_s), 100 * rate)
        for rate in (STABLE, UNSTABLE)
        for seed in scale.chances(3)
    ]


def one(seed: int, arrivals_per_s: float, club: int, until_s: float) -> Figures:
    """One run: the number of peers there, every few seconds and at the end."""
    peers = club + int(2 * arrivals_per_s * until_s)  # more than will arrive
    upload_bps = SEED_BLOCKS_PER_S * BLOCK_BYTES
    options = standard(
        seed,
        peers=peers,
        size=BLOCKS * BLOCK_BYTES,
        block_size=BLOCK_BYTES,
        upload=upload_bps,
        seed_upload=upload_bps,
        neighbours=NEIGHBOURS,
        leave="complete",
        timeout=until_s,
    )
    curve: list[tuple[float, int]] = []

    def look(simulation: Simulation) -> None:
        machines = simulation.world.machines
        curve.append((simulation.world.now, sum(machines[name].up for name in machines if name != TRACKER)))

    simulation, _ = run(
        options,
        look,
        classes=[{"name": "club", "peers": club, "lacks": [0]}],
        arrivals={"pattern": "poisson", "rate": arrivals_per_s, "already": club},
        sample="5s",
    )
    seed_use = simulation.world.machines[TRACKER].sent_bytes / (upload_bps * until_s)
    return {"there": curve[-1][1], "curve": curve, "seed_use": seed_use}


def rows(found: Found) -> list[CheckRow]:
    """The number of peers at the end."""
    grown = CLUB + UNTIL_S * (UNSTABLE - SEED_BLOCKS_PER_S)
    few, many = (average(found[rate], "there") for rate in (STABLE, UNSTABLE))
    assert bounds.stable(SEED_BLOCKS_PER_S, STABLE) and not bounds.stable(SEED_BLOCKS_PER_S, UNSTABLE)
    return [
        between("peers after 400 s, 2 arrivals a second", many, 0.75 * grown, 1.25 * grown),
        at_most("peers after 400 s, 1 arrival in 2 s", few, 30),
    ]


def draw(found: Found, figure: Any) -> None:
    """The number of peers over time, beside the law."""
    axes = figure.subplots()
    for rate, colour in ((UNSTABLE, "C1"), (STABLE, "C0")):
        for one in found[rate]:
            axes.plot(*zip(*one["curve"], strict=True), color=colour, linewidth=1)
        times_s = (0.0, UNTIL_S)
        law = [max(0.0, CLUB + at_s * (rate - SEED_BLOCKS_PER_S)) for at_s in times_s]
        axes.plot(times_s, law, color=colour, linestyle="--", label=f"law, {rate:g} arrivals a second")
    axes.set(xlabel="seconds", ylabel="peers")
    axes.set_ylim(bottom=0)
    axes.legend()


CHECK = Check(
    "Missing block",
    "Peers that leave at once can't keep a block alive that all lack: their number is stable if, and only if, the seed"
    " sends more blocks a second than peers arrive, whatever the picker (Hajek and Zhu 2010).",
    tasks,
    rows,
    draw,
    large=("peers after 400 s, 2",),
)
