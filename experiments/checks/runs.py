"""The common part of all checks: the standard swarm, one run of it, and the figures of every run.

The standard swarm (S0): 100 peers that join within a second and stay; 50 kB/s up, no download limit; all peers know
each other; 128 blocks of 128 kB; 3 + 1 slots, rounds of 10 s, a guest stays for 30 s; rarest first; news
every 100 ms; without `economy`: the laws are those of BitTorrent, where neighbours share an uplink.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minibit.run.options import Options
from minibit.run.summary import Summary
from minibit.sim import Scenario, Simulation

UPLOAD_BPS = 50_000.0
BLOCK_BYTES = 128_000
CONTENT_BYTES = 128 * BLOCK_BYTES
SLOTS = 4  # with the guest's
MOST_SETTLING_S = 1000.0  # time for blocks that were asked twice and come after the last peer is complete

Figures = dict[str, Any]


def standard(seed: int, *, peers: int = 100, blocks: int = 128, **changes: Any) -> Options:
    """The options of S0, with a seed four times as fast as a peer, and `changes`; the content stays the same."""
    options = {
        "peers": peers,
        "size": CONTENT_BYTES,
        "block_size": -(-CONTENT_BYTES // blocks),
        "upload": UPLOAD_BPS,
        "seed_upload": 4 * UPLOAD_BPS,
        "slots": SLOTS - 1,
        "guests": 1,
        "round": "10s",
        "guest_rounds": 3,
        "neighbours": everybody(peers),
        "economy": "off",
        "announce": "100ms",
        "seed": seed,
        "world": "sim",
    }
    return Options.build(**options | changes)


def everybody(peers: int) -> int:
    """The limit of links at which all peers know each other: a peer dials until it has half of its links."""
    return 2 * (peers + 1)


def run(
    options: Options, look: Callable[[Simulation], None] | None = None, **scenario: Any
) -> tuple[Simulation, Summary]:
    """One simulated run. The peers join within a second, unless the scenario says otherwise."""
    table = {"arrivals": {"within": 1.0}} | scenario
    simulation = Simulation(options, Scenario.build(table, options.peers))
    return simulation, simulation.run(look)


def figures(simulation: Simulation, summary: Summary) -> Figures:
    """The figures of every run. The start-up is its time beyond the bound, in blocks of one uplink (τ)."""
    tau_s = simulation.content.block_bytes / UPLOAD_BPS
    settle(simulation)
    machines = simulation.world.machines.values()
    transfer_s, bound_s = summary.seconds.transfer, summary.bound_s
    return {
        "makespan_s": transfer_s,
        "bound_s": bound_s,
        "over_bound": transfer_s / bound_s if bound_s else None,
        "startup_tau": (transfer_s - bound_s) / tau_s if bound_s else None,
        "sent_bytes": sum(machine.sent_bytes for machine in machines),
        "received_bytes": sum(machine.received_bytes for machine in machines),
        "lost_bytes": simulation.world.network.lost_bytes,
    }


def settle(simulation: Simulation) -> None:
    """Go on until the blocks that were under way at the end have come."""
    world = simulation.world
    clock, machines = world.clock, world.machines.values()
    limit_s = clock.now + MOST_SETTLING_S
    while any(machine.end.sending for machine in machines) and clock.next_s < limit_s:
        clock.step()
    until_s = clock.now + world.network.latency_s
    while clock.next_s <= until_s:
        clock.step()
