"""A peer as a Ray actor: a `Node`, and an actor method for every verb.

A plain class; the launcher applies `ray.remote`. Every method is a coroutine, so all of them run on the one
event loop of the actor, beside its block server. Whoever calls a verb's method puts that message into the
peer's mailbox, as if it had come by a link: a notebook by hand, another peer with `--control actors`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError

from minibit import inventory, records
from minibit.actors.disk.store import Source, Store
from minibit.actors.names import NAMESPACE, actor_name
from minibit.actors.node import Node
from minibit.behaviour import Honest
from minibit.choker import Choker
from minibit.errors import DiskFullError
from minibit.events import TRACKER
from minibit.mailbox import MailboxSnapshot
from minibit.manifest import Manifest
from minibit.messages import (
    Bloqueio,
    Desbloqueio,
    Desligamento,
    Estoque,
    ListaPeers,
    Message,
    NovoPeer,
    Pedido,
    PeerAddress,
    Registro,
)
from minibit.picker import Picker
from minibit.rules import Rules
from minibit.snapshots import PeerSnapshot
from minibit.units import show_bytes

SETTLE_S = 5.0  # for the first links, when a peer joins
BATCH_BYTES = 8 << 20  # of blocks that a peer is given by an actor call, before it starts


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What all actors of one team are told alike; it travels once, through Ray's object store.

    `folder` is where the copies go; one that isn't absolute is in each machine's own temporary folder.
    """

    run: str
    manifest: Manifest
    rules: Rules
    key: bytes
    seed: int
    by_actor_calls: bool
    picker: type[Picker] | None
    choker: type[Choker] | None
    upload_bps: float | None
    download_bps: float | None
    seed_upload_bps: float | None
    data_ports: tuple[int, int] | None
    folder: str


class Opened(msgspec.Struct, frozen=True):
    """A peer stands ready: where it listens, its process, the inventory that it holds already."""

    address: PeerAddress
    pid: int
    machine: str
    held: int


class Drained(msgspec.Struct, frozen=True):
    """What a peer has to tell: new records (MessagePack), messages sent so far by verb, actor calls so far."""

    records: bytes
    messages: dict[str, int]
    actor_calls: int


def copies_folder(folder: str) -> Path:
    """Where the copies of a run's peers lie on this machine: `folder`, in the temporary one unless absolute."""
    return Path(tempfile.gettempdir(), folder)


class PeerActor:
    """One peer. The launcher calls `open`, `join`, `start`, then `drain` now and then, at the end `stop`."""

    def __init__(self, name: str, setup: Setup, host: str, behaviour: type[Honest], tracker: Any = None) -> None:
        self.name = name
        self.setup = setup
        self.node: Node
        self._host = host
        self._behaviour = behaviour
        self._tracker = tracker
        self._peers: dict[str, Any] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._call_count = 0
        self._batch_number = -1
        self._batch: Drained
        if level := os.environ.get("MINIBIT_LOG"):
            logging.basicConfig(level=level.upper(), format="%(asctime)s %(name)s %(message)s")

    # life

    async def open(self, copies_here: int = 1) -> Opened:
        """Make the store and start the block server; the disk must have room for `copies_here` copies."""
        await asyncio.to_thread(self._check_room, copies_here)
        self.node = self._make_node(await asyncio.to_thread(self._open_store))
        first, last = self.setup.data_ports or (0, 0)
        address = await self.node.serve(range(first, last + 1))
        return Opened(address, os.getpid(), machine(), self.node.peer.held)

    def _check_room(self, copies: int) -> None:
        above = copies_folder(self.setup.folder)
        while not above.exists():
            above = above.parent
        need_bytes, free_bytes = copies * self.setup.manifest.content_bytes, shutil.disk_usage(above).free
        if need_bytes > free_bytes:
            raise DiskFullError(
                f"{copies} copies need {show_bytes(need_bytes)} in {above}, and {show_bytes(free_bytes)} are free: "
                "make room, give fewer --peers, or set TMPDIR to a larger disk"
            )

    def _open_store(self) -> Store | Source:
        return Store.open(copies_folder(self.setup.folder) / self.name, self.setup.manifest)

    def _make_node(self, store: Store | Source) -> Node:
        setup = self.setup
        return Node(
            self.name,
            setup.manifest,
            store,
            self,
            rules=setup.rules,
            key=setup.key,
            seed=setup.seed,
            host=self._host,
            behaviour=self._behaviour,
            picker=setup.picker,
            choker=setup.choker,
            upload_bps=setup.upload_bps,
            download_bps=setup.download_bps,
            by_actor_calls=setup.by_actor_calls,
        )

    async def take(self, blocks: int) -> None:
        """Get the blocks that this peer starts with (an inventory) from the tracker, before anything else."""
        store, per_call = self.node.store, max(1, BATCH_BYTES // self.setup.manifest.block_bytes)
        assert isinstance(store, Store)
        wanted = list(inventory.indices(blocks & ~store.held))
        for first in range(0, len(wanted), per_call):
            batch = wanted[first : first + per_call]
            self._call_count += 1
            for block, data in zip(batch, await self._tracker.give.remote(batch), strict=True):
                if store.verify(block, data):
                    store.write(block, data)
        self.node.peer.held = store.held

    async def join(self) -> None:
        """Enter the swarm; returns when the first links stand, or soon after."""
        self.node.join()
        deadline = time.monotonic() + SETTLE_S
        contacts = self.node.peer.contacts
        while (not contacts.known or contacts.dialling) and time.monotonic() < deadline:
            if self.node.mailbox.incoming["LISTA_PEERS"] and not contacts.dialling:
                return
            await asyncio.sleep(0.02)

    async def start(self) -> None:
        """PEDIDOs are allowed from now on."""
        self.node.start()

    async def leave(self, why: str = "asked to") -> None:
        """Say goodbye and go; the copy stays until `stop`."""
        self.node.leave(why)

    async def stop(self, erase: bool) -> None:
        """Leave if need be, and give back sockets and files; `erase`: the copy too."""
        await self.node.stop()
        for call in self._calls:
            call.cancel()
        if erase and isinstance(self.node.store, Store):
            folder = self.node.store.folder  # this peer's own, and the store is closed
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            with suppress(OSError):  # others of this run are still there; the last one out succeeds
                folder.parent.rmdir()

    async def verify(self) -> bool:
        """Whether the finished copy, read back from disk, is what the manifest says."""
        store = self.node.store
        return not isinstance(store, Store) or await asyncio.to_thread(store.verify_all)

    # looking

    async def clock(self) -> float:
        """The monotonic clock that records use."""
        return time.monotonic()

    async def drain(self, number: int) -> Drained:
        """The batch of news of that number: a new one, or, when its answer was lost, the last one again."""
        if number != self._batch_number:
            self._batch_number = number
            batch = records.encode(self.node.drain())
            self._batch = Drained(batch, dict(self.node.mailbox.outgoing), self._call_count)
        return self._batch

    async def snapshot(self) -> PeerSnapshot:
        """The state of the peer."""
        node, failure = self.node, self.node.failure
        real = {"host": node.me.host, "port": node.me.port, "pid": os.getpid(), "failure": failure and str(failure)}
        return msgspec.structs.replace(node.peer.snapshot(time.monotonic()), **real)

    async def mailbox(self) -> MailboxSnapshot:
        """Messages by verb, in and out, and the last ones."""
        return self.node.mailbox.snapshot()

    async def peek(self, look: Callable[[Any], Any]) -> Any:
        """What `look` makes of the live `Peer`."""
        return look(self.node.peer)

    async def limit(self, rates: dict[str, float | None]) -> None:
        """New `upload_bps` and `download_bps` from now on; None lifts one, one that is missing stays."""
        self.node.limit(**rates)

    # the mirror: a method for every verb

    async def registro(self, sender: str, message: Registro) -> ListaPeers | None:
        """`sender` is there."""
        self.node.receive(sender, message)
        return None

    async def lista_peers(self, sender: str, message: ListaPeers) -> None:
        """These peers are there already."""
        self.node.receive(sender, message)

    async def novo_peer(self, sender: str, message: NovoPeer) -> None:
        """These peers came."""
        self.node.receive(sender, message)

    async def estoque(self, sender: str, message: Estoque, number: int | None = None) -> None:
        """`sender` holds these blocks."""
        self.node.receive(sender, message, number)

    async def bloqueio(self, sender: str, message: Bloqueio, number: int | None = None) -> None:
        """`sender` doesn't serve this peer."""
        self.node.receive(sender, message, number)

    async def desbloqueio(self, sender: str, message: Desbloqueio, number: int | None = None) -> None:
        """`sender` serves this peer."""
        self.node.receive(sender, message, number)

    async def pedido(self, sender: str, message: Pedido, number: int | None = None) -> None:
        """`sender` asks for a block."""
        self.node.receive(sender, message, number)

    async def desligamento(self, sender: str, message: Desligamento, number: int | None = None) -> None:
        """`sender` leaves."""
        self.node.receive(sender, message, number)

    # what the node can't reach by its links (`minibit.actors.node.Outside`)

    def call_tracker(self, message: Message) -> None:
        """Say `message` to the tracker, and hear its answer."""
        self._call(self._tracker, message)

    def call_peer(self, peer: str, message: Message, number: int) -> None:
        """Say the `number`th message to another peer."""
        self._call_peer(peer, message, number)

    def _call_peer(self, peer: str, message: Message, *number: int) -> None:
        actor = self._peers.get(peer)
        if actor is None:
            try:
                actor = self._peers[peer] = ray.get_actor(actor_name(self.setup.run, peer), NAMESPACE)
            except ValueError:
                return  # it died; its link will tell
        self._call(actor, message, *number)

    def _call(self, actor: Any, message: Message, *number: int) -> None:
        self._call_count += 1
        task = asyncio.get_running_loop().create_task(self._answered(actor, message, *number))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _answered(self, actor: Any, message: Message, *number: int) -> None:
        try:
            answer = await getattr(actor, message.verb.lower()).remote(self.name, message, *number)
        except RayError:
            return  # it is gone; the core asks again, or its link ends
        if answer is not None:
            self.node.receive(TRACKER, answer)


def machine() -> str:
    """Names the machine whose monotonic clock we read."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return os.uname().nodename
