"""A swarm over several hosts: network namespaces with an address each, by experiments/hosts.sh. Takes root."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from namespaces import need_namespaces

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
HOSTS = 3
PEERS = 6
CONTENT_BYTES = 8 << 20
CUT_S = 5.0  # longer than the driver waits for news

Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Shell]:
    """Three hosts that are one Ray cluster; `hosts("run", ...)` runs something on the first."""
    need_namespaces()
    state = Path(f"/run/mb{os.getpid()}")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(ROOT / "experiments" / "hosts.sh"), *arguments],
            env={**os.environ, "MINIBIT_HOSTS": str(state), "PATH": path},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )

    try:
        up = shell("up", str(HOSTS), "400mbit")
        assert up.returncode == 0, up.stderr
        yield shell
    finally:
        shell("down")
    assert not state.exists()
    assert state.name not in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


def space(host: int) -> str:
    return f"mb{os.getpid()}-{host}"


def received_bytes(host: int) -> int:
    counters = ["ip", "-n", space(host), "-s", "-json", "link", "show", "uplink"]
    found = json.loads(subprocess.run(counters, capture_output=True, text=True, check=True).stdout)
    return int(found[0]["stats64"]["rx"]["bytes"])


def listeners(host: int) -> set[str]:
    """Addresses on which somebody in the host's namespace listens, at the ports of block servers."""
    found = set()
    inside = subprocess.run(["ip", "netns", "pids", space(host)], capture_output=True, text=True, check=True).stdout
    for pid in inside.split()[:1]:
        for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
            local, _, state = line.split()[1:4]
            address, port = local.split(":")
            if state == "0A" and 20000 <= int(port, 16) <= 20100:
                found.add(".".join(str(byte) for byte in reversed(bytes.fromhex(address))))
    return found


def test_a_swarm_over_three_hosts_outlives_a_cut_crosses_the_network_and_leaves_no_file_on_any(
    hosts: Shell, tmp_path: Path
) -> None:
    before = [received_bytes(host) for host in range(1, HOSTS + 1)]
    seen: list[set[str]] = [set() for _ in before]
    over = threading.Event()

    def got() -> list[int]:
        return [received_bytes(host) - count for host, count in enumerate(before, 1)]

    def watch() -> None:
        while not over.wait(0.1) and min(got()[1:]) < CONTENT_BYTES / 4:
            for host, found in enumerate(seen, 1):
                found |= listeners(host)
        assert hosts("cut", "3").returncode == 0
        over.wait(CUT_S)
        assert hosts("heal").returncode == 0

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        arguments = ["--peers", str(PEERS), "--size", str(CONTENT_BYTES), "--data-ports", "20000-20100", "--json"]
        limits = ["--upload", "4MiB/s", "--seed-upload", "8MiB/s"]
        script = str(ROOT / "experiments" / "run_swarm.py")
        done = hosts("run", sys.executable, script, *arguments, *limits, "--out", str(tmp_path / "run"))
    finally:
        over.set()
        watcher.join()
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    assert (summary["nodes"], summary["verified"], summary["failed"]) == (HOSTS, PEERS, [])
    assert summary["seconds"]["transfer"] > CUT_S, "the cut came in the middle"
    assert seen == [{f"10.213.0.{host}"} for host in range(1, HOSTS + 1)], "each block server listens at its host"
    assert min(got()[1:]) > CONTENT_BYTES, "the content came to each other host over its wire"
    assert not list(Path("/run").glob(f"mb{os.getpid()}/*/minibit-*"))


def test_without_the_token_nobody_is_admitted(hosts: Shell) -> None:
    script = str(ROOT / "experiments" / "run_swarm.py")
    done = hosts("run", "env", "RAY_AUTH_TOKEN=" + "f" * 64, sys.executable, script, "--quiet")
    assert done.returncode == 7
    assert "doesn't admit us" in done.stderr


def test_a_run_that_loses_the_head_of_its_cluster_ends_with_its_records_and_says_why(
    hosts: Shell, tmp_path: Path
) -> None:
    """The last one here: there is no cluster after it."""
    over, before = threading.Event(), received_bytes(2)

    def kill_the_head() -> None:
        while not over.wait(0.1) and received_bytes(2) - before < 1 << 20:
            pass
        inside = subprocess.run(["ip", "netns", "pids", space(1)], capture_output=True, text=True, check=True).stdout
        for pid in inside.split():
            with suppress(OSError):  # another one has just ended
                if b"/gcs_server\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(int(pid), signal.SIGKILL)

    killer = threading.Thread(target=kill_the_head)
    killer.start()
    try:
        script = str(ROOT / "experiments" / "run_swarm.py")
        arguments = [
            "--peers",
            "3",
            "--size",
            "64MiB",
            "--upload",
            "1MiB/s",
            "--seed-upload",
            "1MiB/s",
            "--json",
            "--no-report",
        ]
        limit = "RAY_gcs_rpc_server_reconnect_timeout_s=8"  # then Ray would end the script
        done = hosts("run", "env", limit, sys.executable, script, *arguments, "--out", str(tmp_path / "run"))
    finally:
        over.set()
        killer.join()
    assert done.returncode == 4, done.stderr
    assert "the head of the cluster, 10.213.0.1:6379, could not be reached for 6 s" in done.stderr
    assert json.loads(done.stdout)["peers"] == 3
    assert (tmp_path / "run" / "run.json").exists()
    assert not list(Path("/run").glob(f"mb{os.getpid()}/*/minibit-*"))
