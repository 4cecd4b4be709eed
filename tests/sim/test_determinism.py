"""Same seed, same records, to the byte: whatever order the interpreter gives its sets, in this process or another."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from minibit import records
from minibit.run.options import Options
from minibit.sim import Scenario, Simulation

ROOT = Path(__file__).parents[2]
ARRIVALS: dict[str, dict[str, Any]] = {
    "at once": {},
    "poisson": {"pattern": "poisson", "rate": 3.0, "already": 4},
}


def digest(arrivals: str, seed: int) -> str:
    """Of all records of a world in which a bit of everything goes wrong."""
    world = {
        "latency": "20ms",
        "classes": [
            {"name": "slow", "peers": 4, "upload": "100kB/s", "download": "300kB/s"},
            {"name": "free", "peers": 3, "behaviour": "free-rider"},
            {"name": "usual", "peers": 6},
        ],
        "arrivals": ARRIVALS[arrivals],
        "faults": [
            {"kind": "dies", "at": 5, "until": 20, "peers": 2},
            {"kind": "leaves", "at": 10, "peers": 1},
            {"kind": "pauses", "at": 3, "until": 9, "lasts": 4, "peers": 3},
            {"kind": "cut", "at": 2, "until": 12, "lasts": 6, "probability": 0.2},
            {"kind": "slow", "at": 1, "until": 4, "lasts": 5, "peers": 9, "rate": "20kB/s"},
            {"kind": "delayed", "at": 1, "lasts": 10, "peers": 20, "by": "300ms"},
            {"kind": "split", "at": 8, "lasts": 4, "peers": 5},
            {"kind": "corrupt", "at": 0, "peers": 2, "share": 0.2},
            {"kind": "tracker-gone", "at": 4, "lasts": 5},
        ],
    }
    options = Options.build(
        peers=16, size="4MiB", block_size="64KiB", upload="400kB/s", round="2s", behave="liar=1,corrupter=1", seed=seed,
        neighbours=10, timeout="2m", world="sim",
    )  # fmt: skip
    simulation = Simulation(options, Scenario.build(world, options.peers))
    simulation.run()
    found = list(simulation.records)
    assert len(found) > 1000
    return hashlib.sha256(records.encode(found)).hexdigest()


def digests_elsewhere(arrivals: str, seed: int, *hash_seeds: str) -> list[str]:
    """The same in processes of their own, with these seeds of their hashes, at the same time."""
    program = f"from test_determinism import digest; print(digest({arrivals!r}, {seed}))"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in hash_seeds
    ]
    return [run.communicate()[0].strip() for run in runs]


@pytest.mark.parametrize("arrivals", ARRIVALS)
def test_the_same_seed_gives_the_same_records_in_every_process(arrivals: str):
    one, other = digests_elsewhere(arrivals, 1, "1", "2")
    assert one == other
    assert len(one) == 64


def test_another_seed_gives_other_records():
    assert digest("at once", 1) != digest("at once", 2)
