"""What the rule `economy` is worth: simulated swarms with it and without, beside the lower bound.

    python experiments/economy.py              # seeds that are scarce, pushes, fast seeds with slow peers
    python experiments/economy.py scarce       # only the cells whose name begins so
    python experiments/economy.py --json push --seeds 1

Efficiency is bound / makespan. Copies are what the seed had sent when every block was elsewhere too. All are means
over random seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean
from typing import Any, NamedTuple

import click
from results import SHOWN, tell

from minibit.events import TRACKER
from minibit.run import measures
from minibit.run.options import Options
from minibit.sim import Scenario, Simulation


class Cell(NamedTuple):
    """A swarm: its name, its options, and the time of a message one way."""

    name: str
    options: dict[str, Any]
    latency: str = "10ms"


class Figures(NamedTuple):
    """What came of it."""

    makespan_s: float
    bound_s: float
    copies: float
    wasted: float


def cells() -> Iterator[Cell]:
    """All of them."""
    for rate, block in (("10MiB/s", "1MiB"), ("8MiB/s", "512KiB")):
        for peers in (5, 16, 50):
            yield scarce(peers, rate, block)
    for peers in (5, 16, 50):
        for block in ("256KiB", "512KiB", "1MiB"):
            for rate in ("6MiB/s", "12MiB/s"):
                yield scarce(peers, rate, block)
    for choker in ("none", "tit-for-tat"):
        for peers, size, rate in ((5, "200MiB", "400Mbit/s"), (16, "64MiB", "50Mbit/s")):
            for block in ("256KiB", "1MiB"):
                name = f"push, {peers} hosts, {size} in {block}, {rate}, {choker}"
                options = uplinks(rate) | {"peers": peers, "size": size, "block_size": block, "choker": choker}
                yield Cell(name, options, "0.2ms")
    for peers, rate in ((10, "1KiB/s"), (10, "16KiB/s"), (20, "2MiB/s"), (30, "1MiB/s"), (100, "1MiB/s")):
        yield Cell(f"fast seed, {peers} peers, {rate}", {"peers": peers, "size": "64MiB", "upload": rate})
    yield Cell("downlinks, 20 peers, 5MB/s", {"peers": 20, "size": "64MiB", "download": "5MB/s"})


def scarce(peers: int, rate: str, block: str) -> Cell:
    """A swarm of equals, whose seed is no faster than a peer, with 400 blocks."""
    size = 400 * Options.build(block_size=block).block_bytes_for(1)
    return Cell(
        f"scarce seed, {peers} peers, {rate}, {block}",
        uplinks(rate) | {"peers": peers, "size": size, "block_size": block},
    )


def uplinks(rate: str) -> dict[str, Any]:
    """The same for all."""
    return {"upload": rate, "seed_upload": rate}


def measure(cell: Cell, economy: str, seed: int) -> Figures:
    """One run."""
    options = Options.build(world="sim", economy=economy, seed=seed, **cell.options)
    simulation = Simulation(options, Scenario.build({"latency": cell.latency}, options.peers))
    summary = simulation.run()
    records, content = list(simulation.records), simulation.content
    spread_s = measures.spread_s(records, content.block_count)
    copies = measures.seed_copies(records, TRACKER, content.content_bytes, spread_s)
    wasted = summary.bytes.wasted / summary.bytes.moved
    return Figures(summary.seconds.transfer, summary.bound_s or 0.0, copies, wasted)


@click.command(context_settings=SHOWN)
@click.argument("beginning", default="")
@click.option("--seeds", default=3, type=click.IntRange(1), help="Random seeds, from 1.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(beginning: str, seeds: int, as_json: bool) -> None:
    """Compare swarms with the rule `economy` and without, beside the lower bound."""
    found, shown = [], []
    for cell in cells():
        if cell.name.startswith(beginning):
            row: dict[str, Any] = {"cell": cell.name}
            for economy in ("off", "on"):
                runs = [measure(cell, economy, seed) for seed in range(1, seeds + 1)]
                row[economy] = {
                    "efficiency": mean(run.bound_s / run.makespan_s for run in runs),
                    "copies": mean(run.copies for run in runs),
                    "makespan_s": mean(run.makespan_s for run in runs),
                    "wasted": mean(run.wasted for run in runs),
                }
            found.append(row)
            both = row["off"], row["on"]
            texts = {
                "efficiency": " ".join(f"{one['efficiency']:.3f}" for one in both),
                "seed copies": " ".join(f"{one['copies']:.3f}" for one in both),
                "seconds": " ".join(f"{one['makespan_s']:.1f}" for one in both),
            }
            shown.append({"off, on": cell.name} | texts)
            click.echo(" | ".join(shown[-1].values()), err=True)
    tell(as_json, {"cells": found}, shown)


if __name__ == "__main__":
    main()
