"""Bare sockets in Ray actors: the least that puts a file on every peer, with no protocol at all.

Each block goes down one of a few fixed binary trees: an actor that has it sends it to two others. There are no
requests, no announcements and no choking, and one lost actor ends the run. All else is as in a swarm:
an actor on uvloop for each peer, a link for each pair; a block is received into a buffer, verified, written by the
same store and read from it to be sent. So this is the best that Ray and the machine allow any swarm of so many
actors; `bench.py growth` shows ours beside it.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, cast

import ray
from ray import cloudpickle
from ray.exceptions import RayError
from warm import WarmCopies

from minibit.actors.disk import files
from minibit.actors.disk.place import Place
from minibit.actors.disk.source import Source
from minibit.actors.disk.store import Store
from minibit.actors.links.outbox import CHUNK_BYTES, HIGH_WATER_BYTES
from minibit.actors.links.pairs import block_socket
from minibit.errors import LocalError
from minibit.manifest import Manifest
from minibit.units import show_bytes

TREES = 2  # a peer has at most one parent in each; fewer links cost less: 2 beat 8 by a quarter (50 peers, 256 KiB)
HEAD_BYTES = 4  # the block's number, before its bytes
SEED = 0  # the root of every tree; peers are numbered from 1

Tree = dict[int, list[int]]  # a member -> the members that it sends to


class Schedule(NamedTuple):
    """How bytes go: block by block, down one of so many trees after the other."""

    trees: int
    block_bytes: int

    @property
    def shown(self) -> str:
        """It in words."""
        return f"{self.trees} {'tree' if self.trees == 1 else 'trees'}, {show_bytes(self.block_bytes)}"


def trees(peers: int, count: int = TREES, seed: int = 1) -> list[Tree]:
    """Binary trees over all peers in random order, each below the one child of the seed."""
    rng = Random(seed)
    found = []
    for _ in range(count):
        order = rng.sample(range(1, peers + 1), peers)
        tree = {member: order[2 * index + 1 : 2 * index + 3] for index, member in enumerate(order)}
        found.append({SEED: order[:1], **tree})
    return found


def share(
    peers: int, size_bytes: int, schedule: Schedule, timeout_s: float = 600.0, copies: WarmCopies | None = None
) -> float:
    """Share made content this way; returns the seconds from the first byte to the last whole copy.

    The peers write over `copies`, if there are any. Ray must be initialised. `LocalError` when it takes longer than
    `timeout_s`, or a peer is lost.
    """
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # workers lack it
    kind = ray.remote(num_cpus=0, max_restarts=0)(Member)
    actors: list[Any] = [kind.remote(number) for number in range(peers + 1)]
    with tempfile.TemporaryDirectory(prefix="minibit-bare-") as name:
        try:
            path = files.make(Path(name, "content"), size_bytes, seed=1)
            manifest = files.scan(path, schedule.block_bytes)
            if copies:
                copies.lend([Path(name, f"{number}", "content.minibit-partial") for number in range(1, peers + 1)])
            opened = [
                actor.open.remote(manifest, path if number == SEED else Path(name, f"{number}"))
                for number, actor in enumerate(actors)
            ]
            ports = ray.get(opened, timeout=timeout_s)
            planned = trees(peers, schedule.trees)
            ray.get([actor.link.remote(ports, planned) for actor in actors], timeout=timeout_s)
            began_at, *ended_at = ray.get([actor.share.remote() for actor in actors], timeout=timeout_s)
            ray.get([actor.close.remote() for actor in actors], timeout=timeout_s)
        except RayError as error:  # an actor was lost, or the time is over
            raise LocalError(f"bare sockets did not bring the content to all: {error}") from None
        finally:
            for actor in actors:
                ray.kill(actor)
    return float(max(ended_at) - began_at)


class Member:
    """One actor: a store, a server for its parents, and a link to each child."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.manifest: Manifest
        self.store: Source | Store
        self._server: asyncio.Server
        self._trees: list[list[int]] = []  # our children in each tree
        self._senders: dict[int, Sender] = {}
        self._whole = asyncio.Event()

    async def open(self, manifest: Manifest, path: Path) -> int:
        """Make the store and serve; the port."""
        self.manifest = manifest
        self.store = (
            Source(path, manifest) if self.number == SEED else Store.open(Place(path / manifest.name), manifest)
        )
        sock = block_socket(socket.AF_INET)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        self._server = await asyncio.get_running_loop().create_server(lambda: Receiver(self), sock=sock)
        return int(sock.getsockname()[1])

    async def link(self, ports: list[int], planned: list[Tree]) -> None:
        """Connect to every child."""
        loop = asyncio.get_running_loop()
        self._trees = [tree[self.number] for tree in planned]
        for child in sorted({child for children in self._trees for child in children}):
            sock = block_socket(socket.AF_INET)
            await loop.sock_connect(sock, ("127.0.0.1", ports[child]))
            _, self._senders[child] = await loop.create_connection(lambda: Sender(self.store), sock=sock)

    async def share(self) -> float:
        """The time when the seed began, or when another member's copy was whole, on the clock of this machine."""
        if self.number == SEED:
            began_at = time.monotonic()
            for block in range(self.manifest.block_count):
                self._pass_on(block)
            return began_at
        await self._whole.wait()
        return time.monotonic()

    async def close(self) -> None:
        """Close everything and remove the copy."""
        self._server.close()
        for sender in self._senders.values():
            sender.transport.close()
        if isinstance(self.store, Store):
            self.store.discard()
        else:
            self.store.close()

    def take(self, block: int, data: memoryview) -> None:
        """A block came."""
        assert isinstance(self.store, Store)
        assert self.store.verify(block, data), "the bytes are wrong"
        self.store.write(block, data)
        if self.store.complete:
            self.store.finish()
            self._whole.set()
        self._pass_on(block)

    def _pass_on(self, block: int) -> None:
        for child in self._trees[block % len(self._trees)]:
            self._senders[child].put(block, self.manifest.length(block))


class Receiver(asyncio.BufferedProtocol):
    """A link from a parent."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._head = memoryview(bytearray(HEAD_BYTES))
        self._buffer = memoryview(bytearray(member.manifest.length(0)))
        self._block: int | None = None  # None: its number comes next
        self._have_bytes = 0

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._wanted[self._have_bytes :]

    def buffer_updated(self, nbytes: int) -> None:
        wanted, self._have_bytes = self._wanted, self._have_bytes + nbytes
        if self._have_bytes < len(wanted):
            return
        block, self._have_bytes = self._block, 0
        if block is None:
            self._block = int.from_bytes(wanted)
        else:
            self._block = None
            self._member.take(block, wanted)

    @property
    def _wanted(self) -> memoryview:
        return self._head if self._block is None else self._buffer[: self._member.manifest.length(self._block)]


class Sender(asyncio.Protocol):
    """A link to a child: blocks in order, in chunks, as fast as the network takes them."""

    def __init__(self, store: Source | Store) -> None:
        self.transport: asyncio.Transport
        self._store = store
        self._blocks: deque[tuple[int, int]] = deque()
        self._offset = 0  # in the first of them
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=0)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._pump()

    def put(self, block: int, length_bytes: int) -> None:
        """Send a block after those before it."""
        self._blocks.append((block, length_bytes))
        self._pump()

    def _pump(self) -> None:
        while self._blocks and not self._full:
            block, length_bytes = self._blocks[0]
            chunk = self._store.read(block, self._offset, min(CHUNK_BYTES, length_bytes - self._offset))
            head: Any = () if self._offset else (block.to_bytes(HEAD_BYTES),)
            self._offset += len(chunk)
            if self._offset == length_bytes:
                self._blocks.popleft()
                self._offset = 0
            self.transport.writelines((*head, chunk))
