"""A peer in the real world: the shell that carries out its effects and brings it events.

One `Peer` of the core, its links, its store, its mailbox and its records, on one asyncio loop, without Ray.
Everything here runs on that loop, so nothing is locked. Time is the monotonic clock of this machine.

Every fault of our own (a full disk, a strategy that raises, a bug) ends in `failure`: the node says goodbye and stops
serving, and it blames no neighbour. A seed whose file changed goes on with the blocks that are still right. Nothing
that the node begins ends unheard: a dial ends with a link or as `Unlinked`, whatever it raised, and any other task that
raises fails the node.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from minibit import events
from minibit.actors.disk.source import Source
from minibit.actors.disk.store import Store
from minibit.actors.links.face import Wire
from minibit.actors.links.pairs import Links
from minibit.actors.post import Carry, Post
from minibit.errors import MinibitError, RemoteError, SourceError
from minibit.mailbox import Mailbox
from minibit.manifest import Manifest
from minibit.messages import NEWS, Bloco, Desligamento, Message, PeerAddress
from minibit.peer import Peer
from minibit.records import PeerRecord, Record
from minibit.seat import Seat, lowest

log = logging.getLogger(__name__)


class Outside(Protocol):
    """The actor that a node calls instead of using a link."""

    def call_tracker(self, message: Message) -> None:
        """Send `message` to the tracker; its answer comes by `Node.receive`."""


class Node:
    """One member of a swarm, with its sockets and files.

    The `manifest` names the swarm. Its digests are those that the store knows, now or, by `learn`, later.
    Blocks are read from `store` and, if it is a `Store`, written to it; the node closes it. The peer begins with
    the blocks of the store. With `carry`, control messages go to neighbours by the actor calls that it makes, and not
    by links. Without `seals` the path of a link is trusted: a wrong block is its sender's fault. `settled` is set
    once every block is held, or none will come any more. Without `records`, none are kept.
    """

    def __init__(
        self,
        seat: Seat,
        manifest: Manifest,
        store: Store | Source,
        outside: Outside,
        *,
        key: bytes,
        seed: int | str = 0,
        host: str = "127.0.0.1",
        carry: Carry | None = None,
        seals: bool = True,
        records: bool = True,
    ) -> None:
        self.me = PeerAddress(seat.name, host, 0)
        self.key = key
        self.manifest = manifest
        self.store = store
        self.mailbox = Mailbox()
        self.failure: MinibitError | None = None
        self.damaged = ""  # what of a seed's content is not what it was
        self.settled = asyncio.Event()
        self.stopped = asyncio.Event()
        self._seat = seat
        self._seed = seed
        self.peer: Peer
        self.begin_anew()
        self.links = Links(self, upload_bps=seat.upload_bps, download_bps=seat.download_bps, seals=seals)
        self._outside = outside
        self.post = Post(self.links, carry, self._do) if carry else None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._records: deque[Record] = deque(maxlen=None if records else 0)
        self._closed_bytes = [0, 0, 0]  # the traffic of links that are closed, as in `Wire.traffic`

    # the life of a node

    def begin_anew(self) -> None:
        """Make the peer, of what the store holds now: anew, if blocks were stored before it joined."""
        self.peer = self._seat.peer(self.manifest, self._seed, self.store.held, self.store.manifest.known)

    async def serve(self, ports: Iterable[int] = (0,)) -> PeerAddress:
        """Start the block server, before everything else; returns its address."""
        port = await self.links.serve(ports)
        self.me = PeerAddress(self.me.peer, self.me.host, port)
        return self.me

    def learn(self, first: int, digests: bytes) -> None:
        """These are the digests of block `first` and those behind it; they may come in any order, and again."""
        self.store.learn(first, digests)
        self.handle(events.Known(self.store.manifest.known, self.store.held))

    def join(self) -> None:
        """Enter the swarm: register, and link to neighbours."""
        self.handle(events.Joining(self.me))

    def start(self) -> None:
        """Allow PEDIDOs from now on."""
        self.handle(events.Starting())

    def leave(self, why: str) -> None:
        """Say goodbye; `stopped` is set once that is done."""
        self.handle(events.Leaving(why))

    async def stop(self, why: str = "stopped", timeout_s: float = 2.0) -> None:
        """Leave if need be, close links and store, and end every task of this node."""
        self.leave(why)
        try:
            async with asyncio.timeout(timeout_s):
                await self.stopped.wait()
        except TimeoutError:
            pass  # a neighbour doesn't read: don't wait for it any longer
        self._cancel_timer()
        await self.links.close(why)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.store.close()

    def limit(self, **rates: float | None) -> None:
        """Set new `upload_bps` and `download_bps`; None lifts a limit, one that isn't given stays."""
        if "upload_bps" in rates:
            self.links.upload.limit(lowest(rates["upload_bps"], self.peer.behaviour.upload_bps))
        if "download_bps" in rates:
            self.links.download.limit(rates["download_bps"])

    def drain(self) -> list[Record]:
        """The records since the last call, and one sample of now."""
        found = [*self._records, self.peer.sample(time.monotonic(), *self.traffic)]
        self._records.clear()
        return found

    @property
    def traffic(self) -> tuple[int, int, int]:
        """The traffic of all links so far, as in `Wire.traffic`."""
        sent, received, control = map(sum, zip(self._closed_bytes, *(link.traffic for link in self.links), strict=True))
        return sent, received, control

    # events in, effects out

    def handle(self, event: events.Event) -> None:
        """Let the core decide about `event`, and carry out its effects."""
        self._decide(self.peer.handle, event)

    def receive(self, sender: str, message: Message) -> None:
        """Take one message: of a link, or of an actor call."""
        self.mailbox.came(sender, message, time.monotonic())
        self.handle(events.Received(sender, message))

    def _wake(self) -> None:
        self._timer = None
        self._decide(self.peer.wake)

    def _decide(self, step: Callable[..., list[events.Effect]], *event: events.Event) -> bool:
        """Let the core take a step, and carry out its effects; False if it can't."""
        now = time.monotonic()
        try:
            effects = step(*event, now)
        except Exception as error:
            self.fail(error)
            return False
        for effect in effects:
            try:
                self._carry_out(effect, now)
            except Exception as error:
                self.fail(error)
                if isinstance(effect, events.Finish):
                    break  # and what is noted after it is not so
        self._set_timer()
        return True

    def _carry_out(self, effect: events.Effect, now: float) -> None:
        match effect:
            case events.Send(peer, message):
                self._send(peer, message, now)
            case events.SendBlock():
                self._send_block(effect, now)
            case events.Note(record):
                self._records.append(record)
            case events.Call(message):
                self.mailbox.went(events.TRACKER, message, now)
                self._outside.call_tracker(message)
            case events.Dial(address, alone):
                self._do(self._dial(address, alone))
            case events.HangUp(peer, farewell):
                self._hang_up(peer, farewell, now)
            case events.Finish():
                if isinstance(self.store, Store):
                    self.store.finish()
                self.settled.set()
            case events.Left(why):
                self._end(why)

    def _set_timer(self) -> None:
        """Keep one timer for the earliest wake. One that fires too early costs less than a new one for each event."""
        wake_at = self.peer.next_wake()
        if wake_at is None:
            self._cancel_timer()
            return
        if self._timer is None or wake_at < self._wake_at:
            self._cancel_timer()
            self._wake_at = wake_at
            self._timer = self._loop.call_later(max(0.0, wake_at - time.monotonic()), self._wake)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send(self, peer: str, message: Message, now: float) -> None:
        self.mailbox.went(peer, message, now)
        if self.post is not None:
            self.post.say(peer, message)
        elif peer in self.links:
            self.links[peer].send(message)

    def _send_block(self, effect: events.SendBlock, now: float) -> None:
        peer, block = effect.peer, effect.block
        if peer not in self.links:
            return
        try:
            self.read(block, 0, 1)  # now: in the middle of a block only the end of the link could take it back
        except RemoteError as error:
            if self.failure is not None:  # we leave, and nobody need wait for this block
                self.links[peer].close(str(error), Desligamento(why=str(error)))
            return
        self.mailbox.went(peer, Bloco(block), now)
        self.links[peer].send_block(block, effect.spoil, effect.busy)

    def _hang_up(self, peer: str, farewell: Desligamento | None, now: float) -> None:
        if farewell is not None:
            self.mailbox.went(peer, farewell, now)
        if peer in self.links:
            self.links[peer].close(farewell.why if farewell else "it said goodbye", farewell)

    async def _dial(self, address: PeerAddress, alone: bool) -> None:
        why = "the link ended at once"
        try:
            await self.links.dial(address, alone)
        except Exception as error:  # also what a senseless address makes of a look-up
            why = str(error) or repr(error)
        if address.peer not in self.links:
            self.handle(events.Unlinked(address.peer, why))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    # the end

    def fail(self, error: BaseException) -> None:
        """Note once why this node can't go on, and leave."""
        if self.failure is not None:
            return
        if not isinstance(error, MinibitError):
            log.error("%s can't go on", self.me.peer, exc_info=error)
            error = MinibitError(f"internal error: {error!r}")
        self.failure = error
        now = time.monotonic()
        self._records.append(PeerRecord(now, self.me.peer, "failed", str(error)))
        self._loop.call_soon(self._give_up, str(error))

    def _give_up(self, why: str) -> None:
        """Leave; without the core, if it is broken."""
        if not self._decide(self.peer.handle, events.Leaving(why)):
            self._end(why)

    def _end(self, why: str) -> None:
        self.stopped.set()
        self.settled.set()
        self._do(self.links.close(why))  # no new link from now on

    # the links report here: `minibit.actors.links.face.Owner` says when

    def on_linked(self, link: Wire) -> None:
        self.handle(events.Linked(link.address, link.dialled, link.alone))

    def on_unlinked(self, link: Wire, why: str) -> None:
        self._closed_bytes = [a + b for a, b in zip(self._closed_bytes, link.traffic, strict=True)]
        self.handle(events.Unlinked(link.peer, why))

    def on_message(self, link: Wire, message: Message) -> None:
        if type(message) in NEWS and link.peer == events.TRACKER:  # a link of that id is the seed's, not the tracker's
            raise RemoteError(f"a {message.verb} by a link: the tracker says it by an actor call")
        self.receive(link.peer, message)

    def on_block(self, link: Wire, block: int, data: memoryview) -> None:
        """Verify a block if the core expects it (see `events.Arrived`), and write it if it is right."""
        ok, blamed = True, link.sealed or not self.links.seals
        self.mailbox.came(link.peer, Bloco(block), time.monotonic())
        if self.peer.expects(link.peer, block):
            assert isinstance(self.store, Store)
            try:
                if ok := self.store.verify(block, data):
                    self.store.write(block, data)
            except Exception as error:
                self.fail(error)
                return
            if not ok and not blamed:
                self.links.suspect(link.peer)
        self.handle(events.Arrived(link.peer, block, ok, blamed, link.busy))

    def on_progress(self, link: Wire) -> None:
        self.handle(events.Progressed(link.peer))

    def on_sent(self, link: Wire, block: int) -> None:
        self.handle(events.Sent(link.peer, block))

    def read(self, block: int, offset: int, length: int) -> bytes:
        """If our disk fails, the link ends and this node leaves; a seed goes on with the blocks that are right."""
        try:
            return self.store.read(block, offset, length)
        except SourceError as error:
            self._lose(block, error)
        except Exception as error:
            self.fail(error)
        raise RemoteError("our disk failed")

    def _lose(self, block: int, error: SourceError) -> None:
        if isinstance(self.store, Source) and self.store.held >> block & 1:
            self.store.lose(block)
            self.damaged = self.damaged or str(error)
            self._records.append(PeerRecord(time.monotonic(), self.me.peer, "damaged", str(error)))
        self._loop.call_soon(self.handle, events.Lost(block))
