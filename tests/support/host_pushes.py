"""Pushes over hosts of network namespaces, as commands on these hosts, and what came of them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hosts import Hosts

WAIT_S = 60.0
SOON_DEAD = {"RAY_health_check_timeout_ms": "1000", "RAY_health_check_failure_threshold": "3"}


class Pushed:
    """A push that goes on: its process, the events that it tells (`--progress json`), and what it came to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self._said = ""
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._listen, self._read)]
        for reader in self._readers:
            reader.start()

    def end(self) -> tuple[int, dict[str, Any]]:
        """Its exit code, and its result by JSON; an empty one if it said none."""
        code = self.process.wait(WAIT_S)
        for reader in self._readers:
            reader.join(WAIT_S)
        return code, json.loads(self._said) if self._said else {}

    def phase(self, phase: str, done: int = 0) -> bool:
        """Whether it has come to that phase, and did so much of it."""
        return any(one["phase"] == phase and one["done"] >= done for one in list(self.events))

    def signal(self, number: int) -> None:
        """Send a signal to the command, not to the shells around it; it may have ended."""
        pids = [self.process.pid]
        with suppress(OSError):
            for pid in pids:
                if Path(f"/proc/{pid}/cmdline").read_text().startswith(sys.executable):
                    os.kill(pid, number)
                pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())

    def _listen(self) -> None:
        for line in self.process.stderr or ():
            if line.startswith("{"):
                self.events.append(json.loads(line))
            else:
                self.complaints.append(line.strip())

    def _read(self) -> None:
        self._said = self.process.stdout.read() if self.process.stdout else ""


def minibit(hosts: Hosts, *arguments: str, host: int = 1) -> Pushed:
    """A command of Minibit on a host, that goes on."""
    return Pushed(hosts.start(host, sys.executable, "-m", "minibit", *arguments))


def pushing(hosts: Hosts, dest: str, *options: str, host: int = 1, source: str = "/data/src") -> Pushed:
    return minibit(hosts, "push", source, "--to", dest, "--json", "--progress", "json", *options, host=host)


def push(hosts: Hosts, dest: str, *options: str, host: int = 1, source: str = "/data/src") -> tuple[int, Any]:
    going = pushing(hosts, dest, *options, host=host, source=source)
    code, result = going.end()
    print(dest, code, result)  # pytest shows it if the test fails
    assert result, going.complaints
    return code, result


def status(result: dict[str, Any]) -> dict[str, str]:
    return {node["host"].rpartition(".")[2]: node["status"] for node in result["nodes"]}


def why(result: dict[str, Any], host: int) -> str:
    return next(str(node["why"]) for node in result["nodes"] if node["host"].endswith(f".{host}"))


def tree(folder: Path) -> dict[str, str]:
    """All that is below a folder, links as where they lead and folders as folders."""
    return {
        str(path.relative_to(folder)): f"to {path.readlink()}"
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "a folder"
        for path in sorted(folder.rglob("*"))
    }


def until(what: Callable[[], object], instead: Callable[[], object] = lambda: "") -> None:
    """Wait for that; `instead` says what came."""
    deadline = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < deadline, f"it did not come to pass {instead()}"
        time.sleep(0.05)


def peers_on(hosts: Hosts, host: int) -> list[int]:
    """The processes of peers on a host."""
    found = []
    spaces = subprocess.run(["ip", "netns", "pids", space(hosts, host)], capture_output=True, text=True, check=False)
    for pid in spaces.stdout.split():
        with suppress(OSError):
            if b"ray::PeerActor" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


def no_peers(hosts: Hosts, numbers: Iterable[int]) -> bool:
    return not any(peers_on(hosts, host) for host in numbers)


def space(hosts: Hosts, host: int | str) -> str:
    """The network namespace of a host, or of the `switch`."""
    return f"{hosts.scratch(1).parent.name}-{host}"


def soon_s() -> float:
    """How soon an interrupted command has ended: two seconds, longer where other work keeps the machine busy."""
    return min(10.0, 2.0 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))
