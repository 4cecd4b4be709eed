"""Check 10: the simulation gives the results of real actors under the same limits."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Any

from checks.check import Check, CheckRow, Found, Scale, Task, at_least, at_most, average, between
from checks.runs import Figures
from minibit.events import TRACKER
from minibit.records import Record
from minibit.run import measures
from minibit.run.options import Options
from minibit.run.summary import Summary
from minibit.sim import Scenario, Simulation

LATENCY_S = 0.001  # between processes of one machine
TIMEOUT_S = 300.0
QUICK: dict[int, dict[str, Any]] = {6: {"size": "4MiB", "upload": "2MiB/s", "seed_upload": "4MiB/s"}}
SWARMS: dict[int, dict[str, Any]] = {  # by the number of peers; each below what two cores can carry
    20: {"size": "32MiB", "upload": "2MiB/s", "seed_upload": "4MiB/s"},
    40: {"size": "16MiB", "upload": "1MiB/s", "seed_upload": "2MiB/s"},
}
RULES = {"block_size": "128KiB", "slots": 3, "guests": 1, "round": "2s", "guest_rounds": 3}


def tasks(scale: Scale) -> list[Task]:
    """Each swarm in both worlds."""
    found = []
    for peers, limits in scale.of(SWARMS, QUICK).items():
        options = {"peers": peers, **limits, **RULES}
        for seed in scale.chances(3):
            found.append(Task((peers, "sim"), partial(simulated, options | {"seed": seed}), 1))
            found.append(Task((peers, "ray"), partial(real, options | {"seed": seed}), 1, alone=True))
    return found


def simulated(options: dict[str, Any]) -> Figures:
    """One simulated run."""
    chosen = Options.build(**options, world="sim")
    simulation = Simulation(chosen, Scenario.build({"latency": LATENCY_S}, chosen.peers))
    summary = simulation.run()
    return of_both(summary, list(simulation.records))


def real(options: dict[str, Any]) -> Figures:
    """One run of real actors, on a Ray cluster of its own."""
    from minibit.actors import Swarm  # noqa: PLC0415  simulated runs need no Ray
    from minibit.actors.driver import cluster  # noqa: PLC0415

    try:
        with (
            tempfile.TemporaryDirectory(prefix="minibit-check-") as folder,
            Swarm.launch(out=folder, **options) as swarm,
        ):
            summary = swarm.wait(timeout=TIMEOUT_S)
            records = sorted(swarm.ledger.records(), key=lambda record: record.at_s)
    finally:
        cluster.disconnect()
    return of_both(summary, records)


def of_both(summary: Summary, records: Sequence[Record]) -> Figures:
    """The figures that are compared."""
    completed_s = {peer: one.completed_s for peer, one in measures.presences(records).items() if peer != TRACKER}
    return {
        "median_s": summary.seconds.median,
        "over_bound": summary.seconds.transfer / summary.bound_s if summary.bound_s else None,
        "incomplete": summary.peers - summary.completed,
        "waste": summary.bytes.wasted_share,
        "jain": summary.fairness_jain,
        "reciprocity": measures.reciprocity(measures.bytes_between(records), completed_s),
        "completed_s": sorted(completed_s.values()),
    }


def rows(found: Found) -> list[CheckRow]:
    """The times of both worlds, and the fairness of the real one."""
    told = []
    for peers in sorted({peers for peers, _ in found}):
        ray, sim = found[peers, "ray"], found[peers, "sim"]
        incomplete = sum(one["incomplete"] > 0 for one in ray + sim)
        ratio = median(one["median_s"] for one in ray) / median(one["median_s"] for one in sim)
        told += [
            CheckRow(f"{peers} peers: runs in which somebody is incomplete", "0", str(incomplete), not incomplete),
            between(f"{peers} peers: median time, real / simulated", ratio, 1.0, 1.3),
        ]
        for world, some in (("real", ray), ("simulated", sim)):
            told += [
                at_most(f"{peers} peers, {world}: share of bytes sent twice", average(some, "waste"), 0.02),
                at_least(f"{peers} peers, {world}: Jain's index of bytes sent", average(some, "jain"), 0.98),
                at_least(f"{peers} peers, {world}: reciprocity", average(some, "reciprocity"), 0.7),
            ]
    return told


def draw(found: Found, figure: Any) -> None:
    """When the peers were complete, in both worlds."""
    for axes, peers in zip(figure.subplots(1, len(SWARMS)), SWARMS, strict=True):
        for world, colour in (("sim", "C0"), ("ray", "C1")):
            for one in found[peers, world]:
                shares = [(place + 1) / peers for place in range(peers)]
                axes.step(one["completed_s"], shares, where="post", color=colour, linewidth=1)
            axes.plot([], [], color=colour, label={"sim": "simulated", "ray": "real actors"}[world])
        axes.set(xlabel="seconds", title=f"{peers} peers")
        axes.legend()
    figure.axes[0].set_ylabel("share of the peers that are complete")


CHECK = Check(
    "Transfer",
    "Real actors under the same limits take as long as the simulation says, and up to 30 % longer: its blocks are a"
    " fluid, and theirs are packets, processes and system calls.",
    tasks,
    rows,
    draw,
    """\
Real peers took 14.0 to 14.1 s beside 13.8 to 14.0 simulated with 20 peers, and 15.3 to 15.4 beside 15.4 to 15.5 with
40 (medians of each run): the same within 1 %. They can be the faster ones because a real limiter lets as much quota
gather as comes in 0.1 s while a peer has nothing to send, and a simulated uplink that is idle has lost that. With
0.02 s (`BURST_S` in `actors/links/gate.py`) 20 real peers once took 1.05 times as long as simulated ones. The limiter
doesn't leak: since its start no more has passed than the rate allows, and no real run is below its lower bound. On a
machine that was slower by half, and did other things beside, 20 peers took 1.11 times as long. Real peers send about as
much twice as simulated ones.
""",
    large=(
        "6 peers: median time",
        "6 peers, real: Jain",
        "6 peers, real: reciprocity",
        "6 peers, simulated: Jain",
        "6 peers, simulated: reciprocity",
    ),
)
