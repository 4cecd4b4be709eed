"""What the simulation itself costs: block transfers a second of one core, and memory a peer, as swarms grow.

    python experiments/sim_speed.py                          # 100, 1,000 and 10,000 peers x 256 blocks: half an hour
    python experiments/sim_speed.py --peers 100,1000 --blocks 64

Each swarm runs in a process of its own, one after the other: 20 neighbours, 4 + 1 slots, uplinks of 1 MiB/s, a seed
with 4 MiB/s, blocks of 128 KiB. Time is that of the processor, so other programs disturb it little; but they share
its caches, and a short run can hit a bad moment. So every swarm but the largest is run `--turns` times before the
largest and as often after it: the median counts, and the extremes are shown. The last column is what a block transfer
costs, relative to the first swarm.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import signal
import sys
import time
from statistics import median
from typing import Any

import click
from ending import ending
from tables import show

from minibit.options import Options
from minibit.sim import Scenario, Simulation

BLOCK_BYTES = 128 << 10


def measured(peers: int, blocks: int) -> dict[str, Any]:
    """One whole simulated swarm, in a process that has done nothing else."""
    before_bytes = _most_bytes()
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    options = Options.build(
        peers=peers,
        size=blocks * BLOCK_BYTES,
        block_size=BLOCK_BYTES,
        upload="1MiB/s",
        seed_upload="4MiB/s",
        neighbours=20,
        slots=4,
        world="sim",
    )
    summary = Simulation(options, Scenario.build({"arrivals": {"within": "1s"}}, peers)).run()
    cpu_s = time.process_time() - began_cpu_s
    most_bytes = _most_bytes()
    return {
        "peers": peers,
        "blocks": blocks,
        "completed": summary.completed,
        "virtual_s": summary.seconds.transfer,
        "efficiency": summary.efficiency,
        "wall_s": time.perf_counter() - began_s,
        "cpu_s": cpu_s,
        "memory_bytes": most_bytes,
        "peer_bytes": (most_bytes - before_bytes) / peers,
    }


def told(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What several runs of the same swarm come to: only their times differ, and of these the median counts."""
    first = runs[0]
    each_s = [run["cpu_s"] for run in runs]
    cpu_s = median(each_s)
    transfers = first["peers"] * first["blocks"]
    return {
        **first,
        "wall_s": median(run["wall_s"] for run in runs),
        "cpu_s": cpu_s,
        "cpu_s_each": each_s,
        "transfers_per_s": transfers / cpu_s,
        "transfer_s": cpu_s / transfers,
        "memory_bytes": max(run["memory_bytes"] for run in runs),
        "peer_bytes": max(run["peer_bytes"] for run in runs),
    }


def _most_bytes() -> int:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--peers", default="100,1000,10000", show_default=True, metavar="N,N,...")
@click.option("--blocks", default=256, show_default=True, type=click.IntRange(1))
@click.option("--turns", default=2, show_default=True, type=click.IntRange(1), help="Of all but the largest, each way.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(peers: str, blocks: int, turns: int, as_json: bool) -> None:
    """Measure what simulated swarms of several sizes cost."""
    if not all(part.isdigit() and int(part) > 0 for part in peers.split(",")):
        raise click.BadParameter(f"{peers!r}: give whole numbers from 1, e.g. 100,1000", param_hint="--peers")
    fresh = multiprocessing.get_context("spawn")
    counts = list(dict.fromkeys(map(int, peers.split(","))))
    largest = max(counts)
    smaller = [count for count in counts if count != largest] * turns
    runs: dict[int, list[dict[str, Any]]] = {count: [] for count in counts}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ending("sim_speed"):
        for count in [*smaller, largest, *smaller]:
            with fresh.Pool(1) as pool:  # which ends its process whatever happens here
                runs[count].append(pool.apply(measured, (count, blocks)))
            click.echo(f"{count} peers: {runs[count][-1]['cpu_s']:.1f} s", err=True)
    rows = [told(same) for same in runs.values()]
    if as_json:
        click.echo(json.dumps({"runs": rows}))
        return
    show(
        (
            "peers",
            "blocks",
            "complete",
            "virtual",
            "core time",
            "of each turn",
            "transfers/s",
            "memory",
            "a peer",
            "a transfer",
            "growth",
        ),
        [
            (
                row["peers"],
                row["blocks"],
                row["completed"],
                f"{row['virtual_s']:.1f} s",
                f"{row['cpu_s']:.1f} s",
                f"{min(row['cpu_s_each']):.1f} to {max(row['cpu_s_each']):.1f} s",
                f"{row['transfers_per_s']:,.0f}",
                f"{row['memory_bytes'] / 1e6:,.0f} MB",
                f"{row['peer_bytes'] / 1e3:.0f} kB",
                f"{1e6 * row['transfer_s']:.0f} µs",
                f"{row['transfer_s'] / rows[0]['transfer_s']:.2f}",
            )
            for row in rows
        ],
    )


if __name__ == "__main__":
    main()
