"""Pushes over hosts of network namespaces, as commands on these hosts, and what came of them.

If a push must be in the middle of its transfer while something else happens, `held` keeps it there, however fast it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hosts import Hosts
from namespaces import need_namespaces

from minibit.actors.disk import files

ROOT = Path(__file__).parents[2]
WAIT_S = 60.0
ALL = range(1, 5)
FILES, FILE_BYTES = 8, 1 << 20
CONTENT_BYTES = FILES * FILE_BYTES
SHARE = 0.6  # of the content, that `held` lets through
SOON_DEAD = {"RAY_health_check_timeout_ms": "1000", "RAY_health_check_failure_threshold": "3"}


@contextmanager
def four_hosts() -> Iterator[Hosts]:
    """Hosts 1 to 4, with content to push as /data/src on the first."""
    need_namespaces()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SOON_DEAD.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", f"{ROOT}:{Path(__file__).with_name('troubled')}")
        with Hosts(len(ALL), disk_bytes=30 * CONTENT_BYTES) as hosts:
            make_content(hosts.disk(1) / "src")
            yield hosts


def make_content(folder: Path) -> None:
    for number in range(FILES):
        files.make(folder / f"part {number}", FILE_BYTES, seed=number)


@contextmanager
def troubled(hosts: Hosts, by: str, *numbers: int, how: str = "") -> Iterator[None]:
    """These hosts have a trouble for so long (support/troubled)."""
    flags = [hosts.scratch(host) / by for host in numbers]
    for flag in flags:
        flag.write_text(how)
    try:
        yield
    finally:
        for flag in flags:
            flag.unlink()


def held(hosts: Hosts, *numbers: int, share: float = SHARE) -> AbstractContextManager[None]:
    """For so long, no push writes more than this share of the content to the disk of any of these hosts."""
    return troubled(hosts, "held", *numbers, how=str(int(share * CONTENT_BYTES)))


def begun(hosts: Hosts, dest: str, host: int = 2, share: float = SHARE) -> bool:
    """Whether a host has nearly so much of a copy."""
    partial = hosts.disk(host) / f"{Path(dest).name}.minibit-partial"
    with suppress(OSError):
        return sum(path.stat().st_blocks * 512 for path in partial.iterdir()) > 0.8 * share * CONTENT_BYTES
    return False


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
