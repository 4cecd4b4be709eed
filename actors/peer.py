"""A peer as a Ray actor: a `Node`, and an actor method for every verb.

It is a plain class; the launcher applies `ray.remote`. Every method is a coroutine, so all of them run on the one event
loop of the actor, beside its block server. The method of a verb puts that message into the peer's mailbox, as if it had
come by a link: a notebook calls it by hand, another peer with `--control actors`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import closing, suppress
from functools import partial, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from minibit import inventory, records
from minibit.actors.disk import scratch
from minibit.actors.disk.files import check_copies
from minibit.actors.disk.place import Place
from minibit.actors.disk.pushed import PushedStore
from minibit.actors.disk.scratch import Scratch
from minibit.actors.disk.source import Source
from minibit.actors.disk.store import Store
from minibit.actors.errands import Errands, reached
from minibit.actors.names import machine
from minibit.actors.node import Node, Outside
from minibit.errors import MinibitError, SourceError, StoreError
from minibit.events import TRACKER
from minibit.mailbox import MailboxSnapshot
from minibit.manifest import Manifest
from minibit.messages import ListaPeers, Message, PeerAddress, judged
from minibit.seat import Seat
from minibit.snapshots import PeerSnapshot
from minibit.strategies import Shipment

SETTLE_S = 5.0  # limit for the first links, when a peer joins
PATIENCE_S = 15.0  # for the peers of a run that was killed to end, before theirs go on with the same copies
BATCH_BYTES = 8 << 20  # blocks in one answer, when a peer gets those that it starts with


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What all actors of a run share; it travels once, through Ray's object store.

    manifest        of what is shared; it names the swarm
    digests         of its first blocks, which it lacks: then a push began before the content was hashed
    key             the key of the swarm, which both ends of every link must prove
    by_actor_calls  whether control messages between peers go by actor calls, and not by links
    seals           whether a seal follows each head on a link
    folder          where the copies go; a relative one is the name of a scratch folder of each machine
    shipment        strategies from outside Minibit: a worker need not have their modules
    dest            a push: the path of the copy on every node, which is given its name by `deliver`
    replace         a push: whether other content at `dest` gives way
    full            a push: whether every byte of a copy is read again
    records         whether peers keep records
    """

    run: str
    manifest: Manifest
    digests: bytes = b""
    key: bytes
    seed: int
    by_actor_calls: bool
    seals: bool = True
    data_ports: tuple[int, int] | None
    folder: str
    shipment: Shipment
    dest: str | None = None
    replace: bool = False
    full: bool = False
    records: bool = True


class Opened(msgspec.Struct, frozen=True):
    """A peer that stands ready: where it listens, its machine, the inventory that it holds already."""

    address: PeerAddress
    machine: str
    held: int


class MemberStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How far one member of a push is; asked once a second, so it is light.

    held           the inventory of the blocks that it holds
    sent_bytes, received_bytes
                   payload since its process began
    opened         whether it takes part already: before, its disk is read
    finished       whether the copy is in its place
    had            whether it was there, whole, from the beginning
    resumed        whether a partial copy was there
    reused_bytes   copied here from an older version
    one_step       whether the file system could swap the new copy for an old one in one step
    verify_s       how long `deliver` took, once the last block was there
    failure        why it can't go on; "" as long as it can
    damaged        what of the source is not what it was; "" if nothing is
    """

    held: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    opened: bool = False
    finished: bool = False
    had: bool = False
    resumed: bool = False
    reused_bytes: int = 0
    one_step: bool = True
    verify_s: float = 0.0
    failure: str = ""
    damaged: str = ""


class Drained(msgspec.Struct, frozen=True):
    """The news of a peer: new records (MessagePack), messages sent so far by verb, actor calls so far, blocks lost."""

    records: bytes
    messages: dict[str, int]
    actor_calls: int
    lost: int


P = ParamSpec("P")
T = TypeVar("T")


def once(
    method: Callable[Concatenate[PeerActor, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[PeerActor, P], Coroutine[Any, Any, T]]:
    """A method that runs once: a call that is made again, because its answer was lost, gets the same answer."""

    @wraps(method)
    async def answer(self: PeerActor, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if (task := self._done_once.get(method.__name__)) is None:
            task = self._done_once[method.__name__] = asyncio.ensure_future(method(self, *args, **kwargs))
        return await asyncio.shield(task)

    return answer


class PeerActor:
    """One peer. The launcher calls `open`, `join`, `start`, then `drain` now and then, and `stop` at the end.

    `tracker` is the tracker's actor. A seed shares the file or folder at `path`; another peer that has one, in a push,
    copies it. Messages that the links can't carry go by `outside`; None: by actor calls of this peer.
    """

    def __init__(
        self, seat: Seat, setup: Setup, host: str, tracker: Any = None, path: str = "", outside: Outside | None = None
    ) -> None:
        self.name = seat.name
        self.seat = seat
        self.setup = setup
        self.node: Node
        self.errands = Errands(
            setup.run,
            seat.name,
            lambda answer: self.node.receive(TRACKER, answer),
            lambda error: self.node.fail(error),  # noqa: PLW0108  there is no node yet
            tracker,
        )
        self._path = path
        self._outside = outside or self
        self._host = host
        self._tracker = tracker
        self._done_once: dict[str, asyncio.Future[Any]] = {}
        self._verify_s = 0.0
        self._stopped = threading.Event()
        self._batch_number = -1
        self._batch: Drained
        if level := os.environ.get("MINIBIT_LOG"):
            logging.basicConfig(level=level.upper(), format="%(asctime)s %(name)s %(message)s")

    # life

    @once
    async def open(self, copies_here: int = 1) -> Opened:
        """Open the store and start the block server; the disk must have room for `copies_here` copies."""
        setup = self.setup
        setup.shipment.unpack()
        self.node = Node(
            self.seat,
            setup.manifest,
            await asyncio.to_thread(self._open_store, copies_here),
            self._outside,
            key=setup.key,
            seed=setup.seed,
            host=self._host,
            carry=self.errands.carry if setup.by_actor_calls else None,
            seals=setup.seals,
            records=setup.records,
        )
        first, last = setup.data_ports or (0, 0)
        address = await self.node.serve(range(first, last + 1))
        return Opened(address, machine(), self.node.peer.held)

    def _open_store(self, copies: int) -> Store | Source:
        setup, folder = self.setup, Path(self.setup.folder)
        manifest = setup.manifest.with_digests(0, setup.digests)
        if self.seat.seeds:
            return Source(Path(self._path), manifest)
        if setup.dest is not None:
            place = Place(Path(setup.dest))
            return PushedStore.open(place, manifest, patience_s=PATIENCE_S, replace=setup.replace, full=setup.full)
        if folder.is_absolute():
            check_copies(copies, manifest.content_bytes, folder, kept=True)
        else:
            scratch.sweep()
            folder = Scratch.use(setup.folder).path  # until this process ends
            check_copies(copies, manifest.content_bytes, folder, kept=False)
        return Store.open(Place(folder / self.name / manifest.name), manifest, patience_s=PATIENCE_S)

    async def learn(self, first: int, digests: bytes) -> MemberStanding:
        """Hear the digests of block `first` and those behind it, which may come in any order, and again."""
        self.node.learn(first, digests)
        return await self.standing()

    @once
    async def take(self) -> None:
        """Get the blocks that this peer starts with from the seed, before it joins."""
        store, manifest = self.node.store, self.setup.manifest
        assert isinstance(store, Store)
        per_call = max(1, BATCH_BYTES // manifest.block_bytes)
        wanted = list(inventory.indices(self.seat.held(manifest.block_count, self.setup.seed) & ~store.held))
        for first in range(0, len(wanted), per_call):
            batch = wanted[first : first + per_call]
            self.errands.count += 1
            for block, data in zip(batch, await reached(partial(self._tracker.give.remote, batch)), strict=True):
                if store.verify(block, data):
                    store.write(block, data)
        self.node.begin_anew()

    async def give(self, blocks: Iterable[int]) -> list[bytes]:
        """The bytes of blocks that another peer starts with."""
        length = self.setup.manifest.length
        return [self.node.store.read(block, 0, length(block)) for block in blocks]

    @once
    async def join(self) -> None:
        """Enter the swarm, and wait for the first links, for `SETTLE_S` at most."""
        self.node.join()
        deadline = time.monotonic() + SETTLE_S
        contacts = self.node.peer.contacts
        while (not contacts.known or contacts.dialling) and time.monotonic() < deadline:
            if self.node.mailbox.incoming["LISTA_PEERS"] and not contacts.dialling:
                return
            await asyncio.sleep(0.02)

    @once
    async def start(self) -> None:
        """PEDIDOs are allowed from now on."""
        self.node.start()

    async def leave(self, why: str = "asked to") -> None:
        """Say goodbye and go; the copy stays until `stop`."""
        self.node.leave(why)

    @once
    async def deliver(self) -> MemberStanding:
        """Take part in a push, and put the copy in its place once the last block is there; goes on serving.

        Raises why the copy can't be completed or delivered.
        """
        node, store = self.node, self.node.store
        if self.seat.seeds or not self._path:
            node.join()
            node.start()
            await node.settled.wait()
        if node.failure is None and isinstance(store, PushedStore):
            try:
                if not store.complete:
                    await asyncio.to_thread(self._copy, store)
                began_at = time.monotonic()
                await asyncio.to_thread(store.deliver, self.setup.full, self._stopped)
                self._verify_s = time.monotonic() - began_at
            except Exception as error:
                node.fail(error)
        if node.failure is not None:
            raise node.failure
        return await self.standing()

    def _copy(self, store: PushedStore) -> None:
        """Get all blocks from the source, which is on this machine."""
        manifest = store.manifest
        with closing(Source(Path(self._path), manifest)) as source:
            for block in inventory.indices(source.held & ~store.held):
                if self._stopped.is_set():
                    raise InterruptedError
                data = source.read(block, 0, manifest.length(block))
                if not store.verify(block, data):
                    raise SourceError(f"{self._path} changed while it was copied; start again when it is at rest")
                store.write(block, data)

    async def stop(self, erase: bool) -> None:
        """Leave if need be, and give back sockets and files; `erase`: the copy too."""
        self._stopped.set()
        await self.node.stop()
        await self.errands.close()
        if erase and self.setup.dest is None and isinstance(self.node.store, Store):
            folder = self.node.store.folder  # this peer's own, and the store is closed
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            with suppress(OSError):  # others of this run are still there; the last one out succeeds
                folder.parent.rmdir()

    async def verify(self) -> bool:
        """Whether the finished copy, read back from disk, is what the manifest says. If not, it loses its name."""
        store = self.node.store
        if isinstance(store, Source) or await asyncio.to_thread(store.verify_all):
            return True
        self.node.fail(StoreError("its finished copy is not what the manifest says"))
        with suppress(MinibitError):
            store.reopen()
        return False

    # looking

    async def clock(self) -> float:
        """The monotonic clock that records use."""
        return time.monotonic()

    async def drain(self, number: int) -> Drained:
        """The batch of news with this number: a new one, or the last one again, if its answer was lost."""
        if number != self._batch_number:
            self._batch_number = number
            batch = records.encode(self.node.drain())
            lost = self.node.peer.exchange.lost
            self._batch = Drained(batch, dict(self.node.mailbox.outgoing), self.errands.count, lost)
        return self._batch

    async def standing(self) -> MemberStanding:
        """How far this member of a push is."""
        if (node := getattr(self, "node", None)) is None:
            return MemberStanding()
        sent_bytes, received_bytes, _ = node.traffic
        store = node.store
        seen = MemberStanding(
            held=node.store.held,
            sent_bytes=sent_bytes,
            received_bytes=received_bytes,
            opened=True,
            verify_s=self._verify_s,
            failure=str(node.failure or ""),
            damaged=node.damaged,
        )
        if not isinstance(store, PushedStore):
            return msgspec.structs.replace(seen, finished=True, had=True)
        return msgspec.structs.replace(
            seen,
            finished=store.finished,
            had=store.had,
            resumed=store.resumed,
            reused_bytes=store.reused_bytes,
            one_step=store.one_step is not False,
        )

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
        """Set `upload_bps` and `download_bps` from now on; None lifts a limit, a missing one stays."""
        self.node.limit(**rates)

    # the mirror: a method for every verb

    async def hear(self, sender: str, message: Message) -> ListaPeers | None:
        """Put a message into the mailbox, as if `sender` had said it."""
        self.node.receive(sender, judged(message))
        return None  # only the tracker answers

    registro = lista_peers = novo_peer = estoque = bloqueio = desbloqueio = pedido = desligamento = hear

    async def parcel(self, sender: str, parcel: bytes) -> bytes:
        """Hear all that a neighbour says at once, with `--control actors`; what we say to it."""
        return b"" if self.node.post is None else self.node.post.hear(sender, parcel)

    # what the node can't reach by its links (`minibit.actors.node.Outside`)

    def call_tracker(self, message: Message) -> None:
        """Say `message` to the tracker, and hear its answer."""
        self.errands.say(TRACKER, message)
