"""A dozen simulated runs, and the digest of all that each recorded: a change of the structure changes none of them.

The digest is of values (records, summary, journals), not of a file format. A change of behaviour changes some of them
on purpose: then look at what changed, say why in the commit, and write them anew with

    python tests/test_golden.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from minibit.run.options import Options
from minibit.sim import Scenario, Simulation

DIGESTS = Path(__file__).parent / "golden.json"

SMALL: dict[str, Any] = {"world": "sim", "peers": 8, "size": "1MiB", "block_size": "32KiB", "upload": "256KiB/s"}

RUNS: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "defaults": ({**SMALL, "seed_upload": "256KiB/s"}, {}, []),
    "classic": ({**SMALL, "preset": "classic", "peers": 12, "seed": 7}, {}, ["peer-03", "tracker"]),
    "bittorrent": ({**SMALL, "preset": "bittorrent", "peers": 30, "neighbours": 6, "leave": "complete"}, {}, []),
    "fast": ({**SMALL, "block_size": "64KiB", "size": "4MiB", "upload": "40MiB/s"}, {}, ["peer-01"]),
    "behaviours": (
        {**SMALL, "peers": 14, "behave": "free-rider=2,liar=2,corrupter=1,slow=1", "initial": "0.2+1"},
        {},
        ["peer-14"],
    ),
    "teams": ({**SMALL, "peers": 12, "teams": "random+none=4,sequential=3,free-rider=2", "seed": 3}, {}, []),
    "rarity": (
        {**SMALL, "choker": "rarity", "picker": "random", "slots": 2, "guests": 2, "download": "1MiB/s"},
        {},
        [],
    ),
    "deaths": (
        {**SMALL, "peers": 16, "upload": "64KiB/s", "request_timeout": "5s", "round": "3s"},
        {
            "faults": [
                {"kind": "dies", "at": "2s", "until": "20s", "peers": 3},
                {"kind": "leaves", "at": "4s", "peers": ["peer-05"]},
                {"kind": "pauses", "at": "3s", "until": "10s", "lasts": "15s", "peers": 4},
                {"kind": "tracker-gone", "at": "1s", "lasts": "20s"},
            ]
        },
        ["peer-05", "peer-06"],
    ),
    "networks": (
        {**SMALL, "peers": 12, "upload": "64KiB/s", "neighbours": 4},
        {
            "latency": "80ms",
            "faults": [
                {"kind": "split", "at": "3s", "lasts": "30s", "peers": 5},
                {"kind": "cut", "at": "1s", "until": "30s", "lasts": "20s", "peers": 6},
                {"kind": "slow", "rate": "4KiB/s", "at": "5s", "lasts": "20s", "peers": 5},
                {"kind": "delayed", "by": "2s", "at": "2s", "lasts": "20s", "probability": 0.3},
                {"kind": "corrupt", "share": 0.2, "peers": 2},
            ],
        },
        ["peer-02"],
    ),
    "classes": (
        {**SMALL, "peers": 15, "behave": "free-rider=1", "seed_upload": "1MiB/s"},
        {
            "stay": "5s",
            "connect": "50ms",
            "sample": "2s",
            "arrivals": {"pattern": "poisson", "rate": 2.0, "already": 2},
            "classes": [
                {"name": "dsl", "peers": 4, "upload": "64KiB/s", "download": "512KiB/s"},
                {"name": "odd", "peers": 3, "behaviour": "liar"},
                {"name": "readers", "peers": 2, "picker": "sequential", "choker": "none"},
                {"name": "nearly", "peers": 2, "lacks": [3, 17]},
            ],
        },
        ["peer-08"],
    ),
    "crowd": (
        {**SMALL, "peers": 40, "neighbours": 5, "seed": 11},
        {"arrivals": {"pattern": "crowd", "within": "20s"}},
        [],
    ),
    "lost block": (
        {**SMALL, "peers": 6, "initial": "0.1", "timeout": "200s", "seed_upload": "64KiB/s"},
        {"faults": [{"kind": "dies", "at": "3s", "peers": ["tracker"]}]},
        [],
    ),
    "time limit": ({**SMALL, "upload": "16KiB/s", "timeout": "9s", "peers": 10}, {}, []),
}


def digest(name: str) -> str:
    """Of every value that the run recorded, said and journalled."""
    options, scenario, journal = RUNS[name]
    chosen = Options.build(**options)
    simulation = Simulation(chosen, Scenario.build(scenario, chosen.peers), journal=journal)
    summary = simulation.run()
    found = hashlib.sha256()
    for record in simulation.records:
        found.update(repr((type(record).__name__, *msgspec.structs.astuple(record))).encode())
    found.update(json.dumps(summary.as_dict(), sort_keys=True).encode())
    for peer, kept in sorted(simulation.journals.items()):
        found.update(repr((peer, *((at_s, event and type(event).__name__) for at_s, event in kept.entries))).encode())
        found.update(kept.encode())
    return found.hexdigest()


@pytest.mark.parametrize("name", RUNS)
def test_a_simulated_run_records_what_it_always_did(name):
    assert digest(name) == json.loads(DIGESTS.read_text())[name]


def test_every_golden_digest_is_of_a_run():
    assert sorted(json.loads(DIGESTS.read_text())) == sorted(RUNS)


if __name__ == "__main__":
    DIGESTS.write_text(json.dumps({name: digest(name) for name in RUNS}, indent=1) + "\n")
