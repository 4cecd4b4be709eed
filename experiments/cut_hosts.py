"""Does a swarm over several hosts outlive a network that is cut? Each pattern cuts hosts off for a while, then heals.

    python experiments/cut_hosts.py                          # as root: every pattern, 60 s each
    python experiments/cut_hosts.py split head --seconds 20

Four hosts by hosts.sh with two peers each, and uplinks so slow that the cut comes in the middle: it is made when every
host has received an eighth of the content. Right is a swarm in which all peers complete, with exit code 0.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from results import SHOWN, tell

from minibit.cli.ending import ending
from minibit.errors import MinibitError
from minibit.units import parse_bytes, parse_duration

HOSTS_SH = Path(__file__).with_name("hosts.sh")
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
        rows = [{"pattern": one, **Hosts().outlive(PATTERNS[one], cut_s, size_bytes)} for one in patterns or PATTERNS]
    tell(as_json, rows, rows)
    sys.exit(any(row["exit code"] for row in rows))


class Hosts:
    """A set of hosts with a Ray cluster over them."""

    def __init__(self) -> None:
        self._state = Path(f"/run/mb{os.getpid()}")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._env = {**os.environ, "MINIBIT_HOSTS": str(self._state), "PATH": path}

    def outlive(self, cuts: list[list[str]], cut_s: float, size_bytes: int) -> dict[str, Any]:
        """Run a swarm while the network is cut; what came of it."""
        try:
            self._sh("up", str(HOSTS))
            swarm = subprocess.Popen(
                [
                    *("bash", HOSTS_SH, "run", sys.executable, RUN_SWARM, "--json", "--quiet", "--no-report"),
                    *("--address", "auto", "--peers", str(2 * HOSTS), "--size", str(size_bytes)),
                    *("--out", self._state / "run", "--upload", "1MiB/s", "--seed-upload", "2MiB/s"),
                    *("--timeout", f"{LIMIT_S:.0f}s"),
                ],
                env=self._env,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._wait_for(size_bytes // 8)
            for groups in cuts:
                for group in groups:
                    self._sh("cut", *group.split())
                with suppress(subprocess.TimeoutExpired):
                    swarm.wait(cut_s)
                self._sh("heal")
            said = json.loads(swarm.communicate(timeout=LIMIT_S)[0] or "{}")
            return {
                "exit code": swarm.returncode,
                "complete": f"{said.get('completed')} of {said.get('peers')}",
                "seconds": said.get("seconds", {}).get("transfer"),
                "failed": "; ".join(f"{one['peer']}: {one['why']}" for one in said.get("failed", [])),
            }
        finally:
            self._sh("down")

    def _wait_for(self, some_bytes: int) -> None:
        """Wait until every host has received so much."""
        deadline = time.monotonic() + LIMIT_S
        first = [self._received_bytes(host) for host in range(2, HOSTS + 1)]
        while min(self._received_bytes(host) - then for host, then in enumerate(first, 2)) < some_bytes:
            if time.monotonic() > deadline:
                raise MinibitError("the swarm doesn't move: run it without a cut, with experiments/hosts.sh")
            time.sleep(0.2)

    def _received_bytes(self, host: int) -> int:
        show = ["ip", "-n", f"{self._state.name}-{host}", "-s", "-json", "link", "show", "uplink"]
        found = json.loads(subprocess.run(show, capture_output=True, text=True, check=True).stdout)
        return int(found[0]["stats64"]["rx"]["bytes"])

    def _sh(self, *arguments: str) -> None:
        done = subprocess.run(
            ["bash", HOSTS_SH, *arguments], env=self._env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise MinibitError(f"hosts.sh {arguments[0]}: {done.stderr.strip() or 'it takes root and iproute2'}")


if __name__ == "__main__":
    main()
