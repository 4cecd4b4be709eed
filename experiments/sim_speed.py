"""The cost of the simulation itself: block transfers a second of one core, and memory a peer, as swarms grow.

    python experiments/sim_speed.py                          # 100, 1,000 and 10,000 peers x 256 blocks: half an hour
    python experiments/sim_speed.py --peers 100,1000 --blocks 64
    python experiments/sim_speed.py --peers 100,1000,10x100  # and ten swarms of a hundred in one process

20 neighbours, 4 + 1 slots, uplinks of 1 MiB/s, a seed with 4 MiB/s, blocks of 128 KiB. Times are processor times. A
machine has better and worse minutes, so all sizes run side by side, each in a process of its own, by turns of a second.
The smaller ones run again and again until the largest are done. The mean counts, since the largest have seen all
minutes too, and the extremes are shown. The last columns are per transfer: its messages, which no machine changes, its
cost, and its cost relative to the first swarm.

Several swarms in one process share the virtual time, from event to event. They need as much memory as one large swarm,
but do no more work than a small one: if a transfer costs them more, the cause is memory, not Minibit.
"""

from __future__ import annotations

import gc
import heapq
import multiprocessing
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from statistics import fmean
from typing import Any

import click
from msgspec import structs
from results import SHOWN, tell

from minibit.cli.ending import ending
from minibit.errors import LocalError
from minibit.run.options import Options
from minibit.run.summary import Summary
from minibit.sim import Scenario, Simulation

BLOCK_BYTES = 128 << 10
TURN_S = 1.0  # long enough to hide the cost of caches that are full of another process's memory
LARGEST_TURN_S = 3 * TURN_S
ENDING = {signal.SIGINT, signal.SIGTERM}
SWARMS = re.compile(r"(?:(\d+)x)?(\d+)", re.ASCII)


def measure(results: Connection, swarms: int, peers: int, blocks: int) -> None:
    """Run so many simulated swarms at once, in a process that has done nothing else, and send what they cost."""
    before_bytes = _most_bytes()
    began_cpu_s = time.process_time()
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
    scenario = Scenario.build({"arrivals": {"within": "1s"}}, peers)
    summaries = _run([Simulation(structs.replace(options, seed=seed), scenario) for seed in range(swarms)])
    cpu_s = time.process_time() - began_cpu_s
    most_bytes = _most_bytes()
    found = {
        "swarms": swarms,
        "peers": peers,
        "blocks": blocks,
        "completed": sum(summary.completed for summary in summaries),
        "messages": sum(sum(structs.astuple(summary.messages)) for summary in summaries),
        "virtual_s": max(summary.seconds.transfer for summary in summaries),
        "cpu_s": cpu_s,
        "memory_bytes": most_bytes,
        "peer_bytes": (most_bytes - before_bytes) / (swarms * peers),
    }
    results.send(found)


def _run(simulations: list[Simulation]) -> list[Summary]:
    """Run all in the same virtual time."""
    if len(simulations) > 1:
        gc.disable()  # as each simulation does while it runs
        clocks = [simulation.world.clock for simulation in simulations]
        ahead = sorted((clock.next_s, number) for number, clock in enumerate(clocks))  # a heap
        while ahead:
            _, number = ahead[0]
            clocks[number].step()
            if simulations[number].world.waiting:
                heapq.heapreplace(ahead, (clocks[number].next_s, number))
            else:
                heapq.heappop(ahead)
    return [simulation.run() for simulation in simulations]


class Turns:
    """Swarms that run by turns, in a process that is stopped between the turns; `runs` are those that are over."""

    def __init__(self, swarms: int, peers: int, blocks: int) -> None:
        self.all_peers = swarms * peers
        self.runs: list[dict[str, Any]] = []
        self._args = (swarms, peers, blocks)
        self._process: SpawnProcess | None = None
        self._results: Connection

    def take(self, turn_s: float) -> None:
        """Go on for `turn_s`, or until a run is over."""
        if self._process is None:
            fresh = multiprocessing.get_context("spawn")
            self._results, sending = fresh.Pipe(duplex=False)
            self._process = fresh.Process(target=measure, args=(sending, *self._args))
            with deaf():
                self._process.start()
            sending.close()
        else:
            self._signal(signal.SIGCONT)
        if not self._results.poll(turn_s):
            self._signal(signal.SIGSTOP)
            return
        try:
            self.runs.append(self._results.recv())
        except EOFError:
            raise LocalError(f"the process with {self.all_peers} peers ended before they were done") from None
        self.end()

    def _signal(self, what: signal.Signals) -> None:
        assert self._process is not None and self._process.pid is not None, "not started"
        os.kill(self._process.pid, what)

    def end(self) -> None:
        """Leave no process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


@contextmanager
def deaf() -> Iterator[None]:
    """Processes started here never get Ctrl-C or SIGTERM. This one gets them once it can end those processes."""
    resource_tracker.ensure_running()  # otherwise it starts with the first process, and removes the mask
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def told(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One result from several runs of the same swarms: only their times differ, and their mean counts."""
    first = runs[0]
    each_s = [run["cpu_s"] for run in runs]
    cpu_s = fmean(each_s)
    transfers = first["swarms"] * first["peers"] * first["blocks"]
    return {
        **first,
        "cpu_s": cpu_s,
        "cpu_s_each": each_s,
        "transfers_per_s": transfers / cpu_s,
        "transfer_s": cpu_s / transfers,
        "transfer_messages": first["messages"] / transfers,
        "memory_bytes": max(run["memory_bytes"] for run in runs),
        "peer_bytes": max(run["peer_bytes"] for run in runs),
    }


def _most_bytes() -> int:
    """The peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@click.command(context_settings=SHOWN)
@click.option("--peers", default="100,1000,10000", metavar="N,N,SWARMSxN,...")
@click.option("--blocks", default=256, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(peers: str, blocks: int, as_json: bool) -> None:
    """Measure what simulated swarms of several sizes cost."""
    found = [SWARMS.fullmatch(part) for part in dict.fromkeys(peers.split(","))]
    counts = [(int(match[1] or 1), int(match[2])) for match in found if match]
    if not all(found) or min(map(min, counts)) < 1:
        raise click.BadParameter(f"{peers!r}: give whole numbers from 1, e.g. 100,1000,10x100", param_hint="--peers")
    with ending(), ExitStack() as stack:
        sizes = [Turns(*count, blocks) for count in counts]
        for size in sizes:
            stack.callback(size.end)
        most_peers = max(size.all_peers for size in sizes)
        while not all(size.runs for size in sizes):
            for size in sizes:
                if size.all_peers < most_peers:
                    size.take(TURN_S)
                elif not size.runs:
                    size.take(LARGEST_TURN_S)
    rows = [told(size.runs) for size in sizes]
    shown = [
        {
            "peers": row["peers"] if row["swarms"] == 1 else f"{row['swarms']} x {row['peers']}",
            "blocks": row["blocks"],
            "complete": row["completed"],
            "virtual": f"{row['virtual_s']:.1f} s",
            "core time": f"{row['cpu_s']:.1f} s",
            "of each run": f"{min(row['cpu_s_each']):.1f} to {max(row['cpu_s_each']):.1f} s",
            "transfers/s": f"{row['transfers_per_s']:,.0f}",
            "memory": f"{row['memory_bytes'] / 1e6:,.0f} MB",
            "a peer": f"{row['peer_bytes'] / 1e3:.0f} kB",
            "messages": f"{row['transfer_messages']:.1f}",
            "a transfer": f"{1e6 * row['transfer_s']:.0f} µs",
            "growth": f"{row['transfer_s'] / rows[0]['transfer_s']:.2f}",
        }
        for row in rows
    ]
    tell(as_json, {"runs": rows}, shown)


if __name__ == "__main__":
    main()
