"""The ways to bring a file from one host to all others that against_broadcast.py compares.

Each takes the hosts, finds the file in /data of the first, leaves a copy in /data of all others, and returns the
makespan in seconds: from the first byte, or the first call that may move one, until the last host has the file.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

from hosts import HEAD, Hosts

from minibit.errors import MinibitError
from minibit.units import show_bytes

HERE = Path(__file__).parent
DATA = Path("/data")
NAME = "content"
PORT = 6881  # of libtorrent and rsync, each in its turn
CHUNK_BYTES = 8 << 20  # of Ray's objects
PIECE_BYTES = 1 << 20  # of libtorrent


class Contestant(NamedTuple):
    """A way to bring the file from the first host to all others.

    title   how tables call it
    bring   does it, and returns the makespan in seconds
    lacks   what it needs and is not there; "" if nothing
    """

    title: str
    bring: Callable[[Hosts], float]
    lacks: Callable[[], str] = lambda: ""


def push(hosts: Hosts) -> float:
    """`minibit push`: the seed is the node on which source and destination are one."""
    where = (DATA / NAME, "--to", DATA / NAME, "--json", "--progress", "none")
    told = json.loads(hosts.run(HEAD, sys.executable, "-m", "minibit", "push", *where))
    return float(max(node["seconds"] for node in told["nodes"]))


def by_ray(hosts: Hosts, *options: object) -> float:
    """Ray's object store, in one object or in chunks."""
    return float(hosts.run(HEAD, sys.executable, HERE / "broadcast_ray.py", DATA / NAME, *options))


def by_libtorrent(hosts: Hosts) -> float:
    """A libtorrent session on each host, each linked with each."""
    from libtorrent_swarm import make_torrent  # noqa: PLC0415

    torrent = hosts.scratch(HEAD) / "torrent"
    torrent.write_bytes(make_torrent(hosts.disk(HEAD) / NAME, PIECE_BYTES))
    addresses = {host: f"{hosts.address(host)}:{PORT}" for host in hosts.numbers}
    script = (sys.executable, HERE / "broadcast_libtorrent.py", "--torrent", torrent, "--folder", DATA)
    sessions = {
        host: hosts.start(host, *script, "--listen", address, *(["--seed"] if host == HEAD else []))
        for host, address in addresses.items()
    }
    for session in sessions.values():
        _line(session)
    for host, session in sessions.items():
        _tell(session, [address for other, address in addresses.items() if other < host])
    at = {host: float(_line(session)) for host, session in sessions.items()}
    return max(at.values()) - at[HEAD]


def by_rsync(hosts: Hosts, loop: str) -> float:
    """rsync from the first host to a daemon on each other, by this loop of the shell."""
    settings = hosts.scratch(HEAD) / "rsyncd.conf"
    settings.write_text(f"use chroot = no\nuid = 0\ngid = 0\n[data]\npath = {DATA}\nread only = no\n")
    modules = []
    for host in hosts.numbers[1:]:
        address = hosts.address(host)
        hosts.start(
            host, "rsync", "--daemon", "--no-detach", f"--config={settings}", f"--address={address}", f"--port={PORT}"
        )
        modules.append(f"rsync://{address}:{PORT}/data/")
    hosts.run(HEAD, "sh", "-c", 'for to; do until rsync "$to"; do sleep 0.1; done; done', "sh", *modules)
    began_at = time.monotonic()
    hosts.run(HEAD, "sh", "-c", loop, DATA / NAME, *modules)
    return time.monotonic() - began_at


def _line(process: Popen[str]) -> str:
    """The next line of a process; `MinibitError` if it ended instead."""
    assert process.stdout and process.stderr, "they are pipes"
    if line := process.stdout.readline():
        return line
    raise MinibitError((process.stderr.read().strip().splitlines() or ["a process ended early"])[-1])


def _tell(process: Popen[str], words: Sequence[str]) -> None:
    assert process.stdin, "it is a pipe"
    process.stdin.write(" ".join(words) + "\n")
    process.stdin.flush()


def _no_rsync() -> str:
    return "" if shutil.which("rsync") else "there is no rsync: apt-get install rsync"


def _no_libtorrent() -> str:
    try:
        import libtorrent  # noqa: F401, PLC0415
    except ImportError:
        return "there is no libtorrent: pip install libtorrent"
    return ""


WAYS = {
    "push": Contestant("minibit push", push),
    "libtorrent": Contestant("libtorrent", by_libtorrent, _no_libtorrent),
    "ray-chunks": Contestant(
        f"Ray objects of {show_bytes(CHUNK_BYTES)}", lambda hosts: by_ray(hosts, "--chunk-size", CHUNK_BYTES)
    ),
    "ray": Contestant("one Ray object", by_ray),
    "rsync-at-once": Contestant(
        "rsync, all at once", lambda hosts: by_rsync(hosts, 'for to; do rsync "$0" "$to" & done; wait'), _no_rsync
    ),
    "rsync": Contestant(
        "rsync, one at a time", lambda hosts: by_rsync(hosts, 'for to; do rsync "$0" "$to" || exit; done'), _no_rsync
    ),
}
