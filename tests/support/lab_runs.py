"""Small runs to look at: one is simulated; of the others every record is written here."""

from __future__ import annotations

from typing import Any

from minibit import inventory
from minibit.events import TRACKER
from minibit.lab import Run
from minibit.lab.frames import frames
from minibit.records import BlockRecord, LinkRecord, PeerRecord, Record, ServingRecord
from minibit.run.options import Options
from minibit.sim import Scenario, Simulation

BLOCKS = 4
BLOCK_BYTES = 100
ALL = inventory.full(BLOCKS)


def simulated(scenario: dict[str, Any] | None = None, **options: Any) -> tuple[Run, list[Record]]:
    """A whole simulated run, and its records."""
    chosen = Options.build(
        **{"size": "1MiB", "block_size": "32KiB", "upload": "256KiB/s", "seed_upload": "512KiB/s", **options}
    )
    simulation = Simulation(chosen, Scenario.build(scenario or {}, chosen.peers))
    summary = simulation.run()
    records = list(simulation.records)
    return Run(simulation.ledger.about(summary), frames(records)), records


def written(*records: Record, held: dict[str, int] | None = None, end_s: float = 10.0, **about: Any) -> Run:
    """The run of the seed and of peers 1 to 3 that has just these records, and ends at `end_s`."""
    names = [TRACKER, "peer-01", "peer-02", "peer-03"]
    members = [
        {"peer": name, "behaviour": "honest", "held_at_start": inventory.to_hex((held or {}).get(name, 0))}
        for name in names
    ]
    members[0]["held_at_start"] = inventory.to_hex(ALL)
    content = {
        "name": "film", "bytes": BLOCKS * BLOCK_BYTES, "blocks": BLOCKS, "block_bytes": BLOCK_BYTES, "digest": "x"
    }  # fmt: skip
    frame = [event(0.0, TRACKER, "started"), LinkRecord(end_s, "peer-03", "peer-02", "listed")]
    told = {"run": "tuesday", "world": "sim", "content": content, "peers": members, **about}
    return Run(told, frames([*records, *frame]))


def came(at_s: float, peer: str, block: int, source: str = TRACKER, verdict: str = "useful") -> BlockRecord:
    return BlockRecord(at_s, peer, block, source, 0.5, verdict, BLOCK_BYTES)  # type: ignore[arg-type]


def event(at_s: float, peer: str, what: str, why: str = "") -> PeerRecord:
    return PeerRecord(at_s, peer, what, why)  # type: ignore[arg-type]


def serves(at_s: float, peer: str, neighbour: str, slot: str) -> ServingRecord:
    return ServingRecord(at_s, peer, neighbour, slot)  # type: ignore[arg-type]
