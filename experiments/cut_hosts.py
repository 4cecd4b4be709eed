"""Does a swarm over several hosts outlive a network that is cut? Each pattern cuts hosts off for a while, then heals.

    python experiments/cut_hosts.py                          # as root: every pattern, 60 s each
    python experiments/cut_hosts.py split head --seconds 20

Four hosts by hosts.sh with two peers each, and uplinks so slow that the cut comes in the middle: it is made when every
host has received an eighth of the content. Right is a swarm in which all peers complete, with exit code 0.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from hosts import HEAD, Hosts
from results import SHOWN, tell

from minibit.cli.ending import ending
from minibit.errors import MinibitError
from minibit.units import parse_bytes, parse_duration

RUN_SWARM = Path(__file__).with_name("run_swarm.py")
HOSTS = 4
PATTERNS: dict[str, list[list[str]]] = {
    "split": [["3 4"]],
    "one": [["4"]],
    "head": [["1"]],
    "each": [["2", "3", "4"]],
    "rolling": [["1"], ["2"], ["3"], ["4"]],
}
"""Cuts one after another, each so long: the groups of hosts that are cut off from the others."""
LIMIT_S = 900.0  # for one swarm, and for its first bytes


@click.command(context_settings=SHOWN)
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option("--seconds", default="60s", metavar="TIME", help="Length of each cut.")
@click.option("--size", default="64MiB", metavar="SIZE", help="Size of the content.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(patterns: tuple[str, ...], seconds: str, size: str, as_json: bool) -> None:
    """Cut the network of a swarm in the middle, heal it, and see whether all complete."""
    if unknown := [pattern for pattern in patterns if pattern not in PATTERNS]:
        raise click.UsageError(f"no pattern {unknown[0]}: there are {', '.join(PATTERNS)}")
    with ending():
        cut_s, size_bytes = parse_duration(seconds), parse_bytes(size)
        rows = [{"pattern": one, **outlive(PATTERNS[one], cut_s, size_bytes)} for one in patterns or PATTERNS]
    tell(as_json, rows, rows)
    sys.exit(any(row["exit code"] for row in rows))


def outlive(cuts: list[list[str]], cut_s: float, size_bytes: int) -> dict[str, Any]:
    """Run a swarm while the network is cut; what came of it."""
    with Hosts(HOSTS) as hosts:
        swarm = hosts.start(
            HEAD,
            *(sys.executable, RUN_SWARM, "--json", "--quiet", "--no-report"),
            *("--address", "auto", "--peers", 2 * HOSTS, "--size", size_bytes),
            *("--out", hosts.scratch(HEAD) / "run", "--upload", "1MiB/s", "--seed-upload", "2MiB/s"),
            *("--timeout", f"{LIMIT_S:.0f}s"),
        )
        wait_for(hosts, size_bytes // 8)
        for groups in cuts:
            for group in groups:
                hosts.sh("cut", *group.split())
            with suppress(subprocess.TimeoutExpired):
                swarm.wait(cut_s)
            hosts.sh("heal")
        said = json.loads(swarm.communicate(timeout=LIMIT_S)[0] or "{}")
        return {
            "exit code": swarm.returncode,
            "complete": f"{said.get('completed')} of {said.get('peers')}",
            "seconds": said.get("seconds", {}).get("transfer"),
            "failed": "; ".join(f"{one['peer']}: {one['why']}" for one in said.get("failed", [])),
        }


def wait_for(hosts: Hosts, some_bytes: int) -> None:
    """Wait until every host but the first has received so much."""
    deadline = time.monotonic() + LIMIT_S
    first = {host: hosts.received_bytes(host) for host in hosts.numbers[1:]}
    while min(hosts.received_bytes(host) - then for host, then in first.items()) < some_bytes:
        if time.monotonic() > deadline:
            raise MinibitError("the swarm doesn't move: run it without a cut, with experiments/hosts.sh")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
