"""How long a push would take: a simulation of its first blocks, which takes some seconds however large the push is."""

from __future__ import annotations

from math import log2

from minibit.errors import MinibitError
from minibit.rules import Rules
from minibit.run import bounds
from minibit.run.bounds import Capacity
from minibit.run.options import Options
from minibit.run.scenario import Scenario, Seconds
from minibit.run.summary import Summary
from minibit.sim.simulation import Simulation

NODES_MAX = 100  # that are simulated
DELIVERIES = 20_000  # blocks that are moved in the simulation, over all nodes
LATENCY_S = 0.0005  # between nodes of one cluster


def expected_s(
    content_bytes: int, block_bytes: int, *, nodes: int, sources: int = 1, upload_bps: float, rules: Rules
) -> float | None:
    """Seconds of the transfer to so many `nodes` that have nothing; None if there is nothing to move.

    What a transfer takes beyond its bound is spent where it begins and where it ends, so it hardly depends on the size
    of the content, and grows with the logarithm of the nodes. It is taken from a simulation of fewer blocks and fewer
    nodes, and added to the bound of the whole. Several `sources` are one with the uplinks of all. Disks and processors
    are taken to be fast enough.
    """
    if not nodes or not content_bytes:
        return None
    few = min(nodes, NODES_MAX)
    summary = simulated(
        min(content_bytes, DELIVERIES // few * block_bytes),
        block_bytes,
        nodes=few,
        upload_bps=upload_bps,
        source_bps=max(1.0, sources * few / nodes) * upload_bps,
        rules=rules,
    )
    bound_s = bounds.makespan(
        content_bytes, block_bytes, [Capacity(upload_bps)] * nodes, seed_upload_bps=sources * upload_bps
    )
    assert summary.bound_s is not None and bound_s is not None
    beyond_s = summary.seconds.transfer - summary.bound_s
    return bound_s + beyond_s * log2(nodes + 1) / log2(few + 1)


def simulated(
    content_bytes: int, block_bytes: int, *, nodes: int, upload_bps: float, source_bps: float, rules: Rules
) -> Summary:
    """The summary of a simulated push of all blocks to all `nodes`, which have nothing; it has a `bound_s`.

    `MinibitError` if not every node gets its copy.
    """
    options = Options(
        world="sim",
        rules=rules,
        peers=nodes,
        size_bytes=content_bytes,
        block_bytes=block_bytes,
        upload_bps=upload_bps,
        seed_upload_bps=source_bps,
    )
    summary = Simulation(options, Scenario(latency_s=Seconds(LATENCY_S))).run()
    if summary.failed:
        raise MinibitError("the simulation of this push does not come to an end: push without asking for it")
    return summary
