"""How long a push would take: a simulation of it that takes some seconds, with larger blocks where need be."""

from __future__ import annotations

from minibit.errors import MinibitError
from minibit.manifest import BLOCK_BYTES_MAX
from minibit.rules import PRESETS
from minibit.run import bounds
from minibit.run.bounds import Capacity
from minibit.run.options import Options
from minibit.run.scenario import Scenario
from minibit.sim.simulation import Simulation

DELIVERIES = 30_000  # blocks that are moved in the simulation, over all nodes: a few seconds
BLOCKS_MIN = 20  # with fewer, hardly anything would overlap
LATENCY_S = 0.0005  # between nodes of one cluster
PRESET = "push" if "push" in PRESETS else "lan"


def expected_s(
    content_bytes: int, block_bytes: int, *, nodes: int, sources: int = 1, upload_bps: float
) -> float | None:
    """Seconds of the transfer to so many `nodes` that have nothing; None if there is nothing to move.

    The efficiency of a simulated transfer, whose blocks are larger if there would be too many, is that of the real
    one: the bound with the real blocks is divided by it. Several `sources` are one with the uplinks of all. Disks and
    processors are taken to be fast enough.
    """
    if not nodes or not content_bytes:
        return None
    blocks = max(BLOCKS_MIN, DELIVERIES // nodes)
    # of the content only the ratio to the uplink matters, so that blocks of any size will do
    coarse_bytes = max(block_bytes, -(-content_bytes // blocks))
    scale = min(1.0, BLOCK_BYTES_MAX / coarse_bytes)
    options = Options.build(
        world="sim",
        preset=PRESET,
        peers=nodes,
        size=max(1, int(content_bytes * scale)),
        block_size=max(1, int(coarse_bytes * scale)),
        upload=upload_bps * scale,
        seed_upload=sources * upload_bps * scale,
    )
    summary = Simulation(options, Scenario(latency_s=LATENCY_S)).run()
    bound_s = bounds.makespan(
        content_bytes, block_bytes, [Capacity(upload_bps)] * nodes, seed_upload_bps=sources * upload_bps
    )
    if summary.efficiency is None or bound_s is None or summary.failed:
        raise MinibitError("the simulation of this push doesn't end: push without it")
    return bound_s / summary.efficiency
