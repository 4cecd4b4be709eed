"""A swarm of libtorrent sessions on this machine: the rival of Minibit in measurements.

One seed and N peers, each a session of its own with its own folder, listening on loopback. There is no DHT, no tracker
and no local discovery: `connect_peer` links the pairs of a random graph. It is as fast as libtorrent can be made here:

- All sessions are in one process. 50 x 100 MiB on two idle cores take 13.2 s so, 15.4 s in two processes, and 16.3 s
  with a process for each session, which needs half as much CPU again.
- TCP only, no encryption, v1 torrents (SHA-1: half the cost of SHA-256 without SHA instructions).
- On loopback libtorrent serves every peer: it ignores its unchoke slots and rate limits for local addresses unless
  its peer-class filter is cleared. That is faster, so the filter stays; a comparison of *strategies* would have to
  clear it.
- `TUNED` settings, on top: larger buffers and fewer disk threads. Without them the same takes 14.2 s.

A peer begins to serve within a second of being asked, when libtorrent next chooses the peers that it serves. So a
content that is shared in a second or two says little.

Time is measured as Minibit does: sessions are started and linked first, and the clock runs from the first byte that
the seed sends to the last peer's last verified piece. libtorrent verifies every piece on arrival. When all its
processes have ended, every copy is read back and compared with the content.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import libtorrent as lt
from blake3 import blake3

from minibit.errors import MinibitError

LOOPBACK = "127.0.0.1"
SEED = 0  # its number; the peers are 1 to N
LOOK_S = 0.01
READY = (lt.torrent_status.downloading, lt.torrent_status.finished, lt.torrent_status.seeding)

ALONE = {  # no links but those that this script asks for
    "listen_interfaces": f"{LOOPBACK}:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_ip_notifier": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "in_enc_policy": 2,  # pe_disabled
    "out_enc_policy": 2,
    "allow_multiple_connections_per_ip": True,  # else the second peer on loopback is refused
    "listen_queue_size": 256,
    "connection_speed": 500,  # dial all neighbours at once
    "tick_interval": 100,  # ms; new links are dialled once a tick
    "alert_mask": int(lt.alert_category.error | lt.alert_category.status),
}
TUNED = {
    "aio_threads": 2,
    "send_socket_buffer_size": 1 << 20,
    "recv_socket_buffer_size": 1 << 20,
    "send_buffer_watermark": 3 << 20,
    "send_buffer_low_watermark": 1 << 20,
    "send_buffer_watermark_factor": 150,
    "send_not_sent_low_watermark": 512 << 10,
}


class RivalError(MinibitError):
    """The libtorrent swarm failed: a copy differs, a session reports an error, or time is up."""


class RivalResult(NamedTuple):
    """The result of one swarm.

    spawn_s      until all sessions listened and had loaded the torrent, in seconds
    link_s       from there to the first byte that the seed sent
    transfer_s   from that byte until the last peer was complete
    goodput_bps  peers x content / transfer_s, in bytes a second
    verified     copies that were read back and equal the content; always all, or there is no result
    """

    peers: int
    piece_bytes: int
    spawn_s: float
    link_s: float
    transfer_s: float
    goodput_bps: float
    verified: int


class _Share(NamedTuple):
    """The work of one process: sessions for `nodes`; the content is in `source`, the copies go below `folder`."""

    nodes: range
    torrent: bytes
    source: Path
    folder: Path
    settings: Any  # a dict; libtorrent calls its type by another name


def share(
    content: Path,
    folder: Path,
    peers: int,
    *,
    neighbours: int = 20,
    piece_bytes: int = 1 << 20,
    processes: int = 1,
    tuned: bool = True,
    seed: int = 1,
    timeout_s: float = 600.0,
) -> RivalResult:
    """Give the file `content` to `peers` sessions, with folders below the empty `folder`, and return the result.

    The copies stay in `folder`. `RivalError` says what went wrong. No process of the swarm stays in either case.
    """
    started_at = time.monotonic()
    deadline = started_at + timeout_s
    torrent = make_torrent(content, piece_bytes)
    nodes = range(peers + 1)
    parts = [nodes[first::processes] for first in range(min(processes, len(nodes)))]
    shares = [_Share(part, torrent, content.parent, folder, ALONE | TUNED if tuned else ALONE) for part in parts]
    edges = graph(len(nodes), neighbours, random.Random(f"{seed}/graph"))

    with _processes(shares) as pipes:
        ports = _merged(pipes, deadline)
        spawned_at = time.monotonic()
        for pipe, part in zip(pipes, parts, strict=True):
            pipe.send([(node, ports[other]) for node, other in edges if node in part])
        ends_at = _merged(pipes, deadline)
        for pipe in pipes:
            pipe.send("end")
    began_at = ends_at.pop(SEED)
    transfer_s = max(ends_at.values()) - began_at
    expected = _digest(content)
    for node in nodes[1:]:
        copy = folder / f"{node}" / content.name
        if _digest(copy) != expected:
            raise RivalError(f"{copy} is not the content")
    return RivalResult(
        peers=peers,
        piece_bytes=piece_bytes,
        spawn_s=spawned_at - started_at,
        link_s=began_at - spawned_at,
        transfer_s=transfer_s,
        goodput_bps=peers * content.stat().st_size / transfer_s,
        verified=peers,
    )


def graph(nodes: int, neighbours: int, chance: random.Random) -> list[tuple[int, int]]:
    """A random connected graph in which no node has more than `neighbours`: pairs (dialling node, dialled node).

    A ring in random order connects all. Then random pairs are linked while both have room.
    """
    ring = chance.sample(range(nodes), nodes)
    edges = {frozenset(pair) for pair in zip(ring, ring[1:] + ring[:1], strict=True) if len(set(pair)) == 2}
    degree = Counter(node for edge in edges for node in edge)
    pairs = [(one, other) for one in range(nodes) for other in range(one)]
    chance.shuffle(pairs)
    for one, other in pairs:
        if max(degree[one], degree[other]) < neighbours and frozenset((one, other)) not in edges:
            edges.add(frozenset((one, other)))
            degree.update((one, other))
    return [(one, other) if chance.random() < 0.5 else (other, one) for one, other in sorted(map(sorted, edges))]


def make_torrent(content: Path, piece_bytes: int) -> bytes:
    """The torrent file of one file."""
    torrent = lt.create_torrent(lt.list_files(str(content)), piece_bytes, lt.create_torrent.v1_only)
    lt.set_piece_hashes(torrent, str(content.parent))
    return bytes(lt.bencode(torrent.generate()))


# In the parent: processes and what they say


@contextmanager
def _processes(shares: list[_Share]) -> Iterator[list[Connection]]:
    """Start a process for each of `shares` and give our ends of their pipes; all are gone afterwards in any case."""
    spawn = multiprocessing.get_context("spawn")
    running, pipes = [], []
    try:
        for share in shares:
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_host, args=(theirs, share), daemon=True)
            process.start()
            theirs.close()
            running.append(process)
            pipes.append(ours)
        yield pipes
        for process in running:
            process.join()
    finally:
        for process in running:
            process.kill()
            process.join()
        for pipe in pipes:
            pipe.close()


def _merged(pipes: list[Connection], deadline: float) -> dict[int, Any]:
    """The next answer of every process, as one dict by node."""
    answers: dict[int, Any] = {}
    waiting = set(pipes)
    while waiting:
        ready = wait(waiting, max(0.0, deadline - time.monotonic()))
        if not ready:
            raise RivalError("the libtorrent swarm was not complete within the time limit")
        for pipe in waiting.intersection(ready):
            try:
                answer = pipe.recv()
            except EOFError:
                raise RivalError("a process of the libtorrent swarm died") from None
            if isinstance(answer, str):
                raise RivalError(answer)
            answers.update(answer)
            waiting.discard(pipe)
    return answers


def _digest(path: Path) -> bytes:
    return blake3(max_threads=blake3.AUTO).update_mmap(path).digest()


# In a process of the swarm


def _host(pipe: Connection, share: _Share) -> None:
    """Send the ports of the sessions, receive the ports to dial, send when each was complete (the seed: began)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends this process
    sessions, torrents = {}, {}
    with suppress(EOFError, BrokenPipeError):  # the parent is gone: end as well
        for node in share.nodes:
            sessions[node] = lt.session(share.settings, 0)  # no plugins
            torrents[node] = sessions[node].add_torrent(_params(node, share))
        while not all(torrents[node].status().state in READY and sessions[node].listen_port() for node in sessions):
            _pause(pipe)
        pipe.send({node: session.listen_port() for node, session in sessions.items()})
        for node, port in pipe.recv():
            torrents[node].connect_peer((LOOPBACK, port))
        try:
            pipe.send(_ends(pipe, sessions, torrents))
            pipe.recv()
        except RivalError as error:
            pipe.send(str(error))
    # the sessions end here; each closes its files first


def _params(node: int, share: _Share) -> lt.add_torrent_params:
    params = lt.load_torrent_buffer(share.torrent)
    params.flags = lt.torrent_flags.seed_mode if node == SEED else 0  # by default it would be paused and queued
    params.save_path = str(share.source if node == SEED else share.folder / f"{node}")
    return params


def _ends(
    pipe: Connection, sessions: dict[int, lt.session], torrents: dict[int, lt.torrent_handle]
) -> dict[int, float]:
    """When each peer was complete, and when the seed sent its first byte, on the monotonic clock."""
    at: dict[int, float] = {}
    while len(at) < len(sessions):
        if SEED in torrents and SEED not in at and torrents[SEED].status().total_payload_upload:
            at[SEED] = time.monotonic()
        for node, session in sessions.items():
            for alert in session.pop_alerts():
                if isinstance(alert, lt.torrent_finished_alert) and node != SEED:
                    at[node] = time.monotonic()
                elif isinstance(alert, lt.file_error_alert | lt.torrent_error_alert | lt.hash_failed_alert):
                    raise RivalError(f"libtorrent session {node}: {alert.message()}")
        _pause(pipe)
    return at


def _pause(pipe: Connection) -> None:
    """Wait a moment. The pipe stays silent unless the parent is gone."""
    if pipe.poll(LOOK_S):
        pipe.recv()
