"""A link: one TCP connection to a neighbour, used both ways, that carries frames.

This is the hot path. The socket fills a buffer of the node's pool with the block itself, and the owner's `read`
fills the socket in chunks, with one system call for each stretch that the kernel takes. The heads of frames
come through one small inbox that all links of a node share. That is safe because the event loop calls
`get_buffer`, receives, and calls `buffer_updated` with nothing in between; a link keeps the rest of an
unfinished head itself. A block that comes in several frames is put together in its one buffer. So an idle
link holds no buffer at all, and a busy one holds one block in and one chunk out.

On a proven link a head is read once its seal has been checked, and a sealed block is whole once the next seal came.

Invariants: the owner hears `on_linked` first and `on_unlinked` once and last; no exception leaves a callback. A
`RemoteError`, also one from the owner's callbacks, is the fault of the neighbour or the path: it closes the link with
that reason. Any other exception closes the link and reaches the event loop's exception handler.

Not here: the order of what goes out (`outbox`), the table of links (`pairs`), what the messages mean (the owner),
any retry.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

import msgspec

from minibit.actors.links.face import Owner
from minibit.actors.links.gate import Gate
from minibit.actors.links.outbox import NOTHING_NEW, Outbox
from minibit.actors.links.pool import BlockPool
from minibit.actors.links.state import MOVES, State
from minibit.errors import RemoteError
from minibit.messages import WHY_CHARACTERS, Bloco, Desligamento, Message, PeerAddress
from minibit.wire import frame
from minibit.wire.greeting import NONCE_BYTES, Greeting, Stage
from minibit.wire.seal import Seal

CREDIT_BYTES_MIN = 1 << 10  # a limit set in the middle of a block lets this much pass once, beyond the grant
PROGRESS_S = 1.0  # the owner hears of progress at most this often
FLUSH_S = 1.0  # a farewell that the network doesn't take by then is dropped

NO_BYTES = memoryview(b"")


class LinkTable(Protocol):
    """What the links of a node share, and the table of them, with one row for each neighbour (`pairs.Links`)."""

    owner: Owner
    loop: asyncio.AbstractEventLoop
    proof_s: float
    idle_s: float
    seals: bool
    upload: Gate
    download: Gate
    pool: BlockPool
    inbox: memoryview
    suspects: set[str]

    def connected(self, link: Link) -> None: ...
    def check_pair(self, link: Link) -> None: ...
    def adopt(self, link: Link) -> None: ...
    def drop(self, link: Link) -> None: ...
    def disconnected(self, link: Link) -> None: ...


class Link(asyncio.BufferedProtocol):
    """One connection; `Links.dial` and `Links.serve` make it.

    From `on_linked` on it is a `face.Wire`, whose fields are explained there.
    """

    def __init__(self, table: LinkTable, expected: str | None = None, alone: bool = False) -> None:
        owner = table.owner
        self.state = State.CONNECTING
        self.why = ""  # the reason for its end
        self.peer = expected or ""
        self.address = PeerAddress(peer="?", host="", port=0)
        self.dialled = expected is not None
        self.alone, self.sealed, self.busy = alone, False, False
        self.linked_at = 0.0
        self.control_bytes_in = 0  # all bytes but the payload of BLOCOs
        self.payload_bytes_in = 0
        self._table = table
        self._owner = owner
        self._manifest = owner.manifest
        self._loop = table.loop
        terms = owner.me, owner.key, owner.manifest.digest, secrets.token_hex(NONCE_BYTES)
        self.greeting = Greeting(*terms, expected=expected, alone=alone, suspects=table.suspects)
        self.outbox = Outbox(owner, table.upload, table.loop, self.attempt, partial(owner.on_sent, self))
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._proved: asyncio.Future[None] | None = self._loop.create_future() if self.dialled else None
        self._told = False  # the owner knows this link
        self._header_limit = frame.HEADER_BYTES_MIN
        self._seal: Seal | None = None  # of what the neighbour says
        self._head = b""  # the bytes there are of an unfinished prefix, header and seal
        self._block = self._first_bytes = 0  # the block in receipt, and the payload of its first frame
        self._buffer: memoryview | None = None  # takes the block in receipt
        self._rest: memoryview | None = None  # the part of it that this frame still has to bring
        self._lacking = NO_BYTES  # the part of it that later frames have to bring
        self._credit_bytes = 0  # granted by the download gate and not yet used
        self._thirsty = False  # reading is paused until the gate grants more, or the pool lends a buffer
        self._heard_at = self._progress_at = 0.0

    def __repr__(self) -> str:
        return f"<Link {self.state.value} {'to' if self.dialled else 'from'} {self.peer or '?'}>"

    @property
    def closed(self) -> bool:
        return self.state is State.CLOSED

    @property
    def host(self) -> str:
        """The address of the other end; empty if the connection is gone already."""
        assert self._transport is not None
        return str((self._transport.get_extra_info("peername") or ("",))[0])

    @property
    def traffic(self) -> tuple[int, int, int]:
        return self.outbox.payload_bytes, self.payload_bytes_in, self.outbox.control_bytes

    # -- what the owner does (see `face.Wire`); a message or a block is ignored unless linked

    def send(self, message: Message) -> None:
        if self.state is State.LINKED:
            self.attempt(self.outbox.post, message)

    def send_block(self, block: int, spoil: bool = False, busy: bool = False) -> None:
        if self.state is State.LINKED:
            self.attempt(self.outbox.put, block, spoil, busy)

    def close(self, why: str, farewell: Desligamento | None = None) -> None:
        """`on_unlinked` follows from the event loop. Bytes that can't be flushed in `FLUSH_S` are dropped."""
        if self.closed:
            return
        self._become(State.CLOSED)
        self.why = why
        transport = self._transport
        graceful = farewell is not None and not self.outbox.midway
        self._release(farewell)
        if transport is not None and graceful:
            transport.close()
            self._timer = self._loop.call_later(FLUSH_S, transport.abort)
        elif transport is not None:
            transport.abort()
        self._loop.call_soon(self.tell)

    # -- what the table does

    async def proved(self) -> None:
        """Wait, at the end that dialled, until both have proved the key. `RemoteError` if the link closes first."""
        assert self._proved is not None
        await self._proved

    def tell(self) -> None:
        """Tell the owner and the waiting dial that this link is closed; only the first call does anything."""
        if self._proved is not None and not self._proved.done():
            self._proved.set_exception(RemoteError(self.why))
            self._proved.exception()  # mark it as seen: a dial that was given up no longer waits
        if self._told:
            self._told = False
            self.attempt(self._owner.on_unlinked, self, self.why)

    # -- what the event loop does: connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.closed:  # a dial that was given up meanwhile
            self._transport.abort()
            return
        self._become(State.GREETING)
        self._heard_at = self._loop.time()
        self.outbox.open(self._transport)
        self._timer = self._loop.call_later(self._table.proof_s, self.attempt, self._watch)
        self.attempt(self._begin)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed:
            self.why = f"the connection broke: {exc}" if exc else self._end()
            self._become(State.CLOSED)
        self._release()
        self.tell()
        self._table.disconnected(self)

    def _begin(self) -> None:
        self._table.connected(self)
        if (first := self.greeting.first()) is not None:
            self.outbox.post(first)

    def _end(self) -> str:
        """Where in the stream the neighbour ended it."""
        if self._buffer is not None:
            return f"it closed the connection in the middle of block {self._block}"
        if self._head:
            return "it closed the connection in the middle of a header"
        return "it closed the connection" + (" before the proof" if self.state is State.GREETING else "")

    def _release(self, goodbye: Message | None = None) -> None:
        """Give back all that a link may hold: its row in the table, its timer, its turns at the gates, the buffer."""
        self._table.drop(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.outbox.close(goodbye)
        self._table.download.forget(self._on_grant)
        self._table.pool.forget(self._on_lent)
        self._rest, self._lacking = None, NO_BYTES
        if self._buffer is not None:
            self._table.pool.give(self._buffer)
            self._buffer = None

    def _watch(self) -> None:
        """Close a link without a proof or without a sign of life; give one where we were silent."""
        now, table = self._loop.time(), self._table
        if self.state is State.GREETING:
            raise RemoteError(f"no proof within {table.proof_s:g} s")
        silent_s = 0.0 if self._thirsty else now - self._heard_at  # our own limit may keep us from hearing it
        if silent_s >= table.idle_s:
            raise RemoteError(f"silent for {table.idle_s:g} s")
        sign_s = table.idle_s / 3
        if now - self.outbox.spoke_at >= sign_s and not self.outbox.midframe:
            self.outbox.post(NOTHING_NEW)
        self._timer = self._loop.call_later(min(table.idle_s - silent_s, sign_s), self.attempt, self._watch)

    # -- what the event loop does: bytes

    def pause_writing(self) -> None:
        self.outbox.pause()

    def resume_writing(self) -> None:
        self.attempt(self.outbox.resume)

    def get_buffer(self, sizehint: int) -> memoryview:
        rest, limited, pool = self._rest, self._table.download.limited, self._table.pool
        if rest is not None:
            return rest[: max(self._credit_bytes, CREDIT_BYTES_MIN)] if limited else rest
        inbox, have = self._table.inbox, len(self._head)
        inbox[:have] = self._head
        if limited or pool.empty:  # read no payload that the gate hasn't granted, or that has no buffer
            return inbox[have : have + frame.missing(inbox[:have], self._header_limit, self._seal is not None)]
        return inbox[have:]

    def buffer_updated(self, nbytes: int) -> None:
        if not self.closed:
            self.attempt(self._on_bytes, nbytes)

    def _on_bytes(self, nbytes: int) -> None:
        now, rest = self._loop.time(), self._rest
        if rest is None:
            self._on_heads(self._table.inbox[: len(self._head) + nbytes], now)
        else:
            self._heard_at = now
            self._on_payload(rest, nbytes)
        if self._table.download.limited and self._rest is not None and not self._credit_bytes:
            self._drink()

    def _on_heads(self, data: memoryview, now: float) -> None:
        """Take every frame that `data` has, and the beginning of the payload that follows the last."""
        self._head = b""
        while data and not self.closed:
            found = frame.parse(data, self._header_limit, self._manifest, len(self._lacking), self._seal)
            if found is None:
                self._head = bytes(data)
                return
            message, head_bytes, payload_bytes = found
            self._heard_at = now  # not before: a length that was changed on its way must not be waited for
            self.control_bytes_in += head_bytes
            data = data[head_bytes:]
            if self._buffer is not None and not self._lacking:  # a sealed block, whose seal has come
                self._on_whole()
                if self.closed:
                    return
            if message is None:
                data = self._on_part(data, payload_bytes)
            elif self.state is State.GREETING:
                self._on_greeting(message)
            elif type(message) is Bloco:
                self._block, self.busy, self._first_bytes = message.block, message.busy, payload_bytes
                if (buffer := self._table.pool.ask(self._on_lent)) is None:
                    self._pause()  # and `data` is at its end: see `get_buffer`
                    return
                self._buffer, self._lacking = buffer, buffer[: self._manifest.length(message.block)]
                data = self._on_part(data, payload_bytes)
            elif message != NOTHING_NEW:
                self._owner.on_message(self, message)

    def _on_lent(self, buffer: memoryview | None) -> None:
        """The pool lends the buffer that this link waits for; None: others get their blocks meanwhile."""
        now = self._loop.time()
        if buffer is not None:
            self._buffer, whole = buffer, buffer[: self._manifest.length(self._block)]
            self._rest, self._lacking = whole[: self._first_bytes], whole[self._first_bytes :]
            self._on_grant(0)
        elif now - self._progress_at >= PROGRESS_S:
            self._progress_at = now
            self._loop.call_soon(self.attempt, self._owner.on_progress, self)

    def _on_part(self, data: memoryview, payload_bytes: int) -> memoryview:
        """Take a frame's `payload_bytes`, the next of the block in receipt; returns the bytes of `data` behind them."""
        here_bytes = min(len(data), payload_bytes)
        part, self._lacking = self._lacking[:payload_bytes], self._lacking[payload_bytes:]
        part[:here_bytes] = data[:here_bytes]
        self._on_payload(part, here_bytes)
        return data[here_bytes:]

    def _on_payload(self, part: memoryview, nbytes: int) -> None:
        """The first `nbytes` of `part`, which this frame brings, are in their place."""
        self.payload_bytes_in += nbytes
        self._credit_bytes = max(0, self._credit_bytes - nbytes)
        self._rest = part[nbytes:] or None
        if self.sealed and self._seal is not None:
            self._seal.add(part[:nbytes])
        if self._rest is not None or self._lacking:
            if self._heard_at - self._progress_at >= PROGRESS_S:
                self._progress_at = self._heard_at
                self._owner.on_progress(self)
        elif not self.sealed:  # otherwise the next seal tells whether these are the bytes that were sent
            self._on_whole()

    def _on_whole(self) -> None:
        """The block in receipt is whole."""
        buffer, self._buffer = self._buffer, None
        assert buffer is not None
        try:
            self._owner.on_block(self, self._block, buffer[: self._manifest.length(self._block)])
        finally:
            self._table.pool.give(buffer)

    def _on_greeting(self, message: Message) -> None:
        if isinstance(message, Desligamento):
            raise RemoteError(f"refused: {message.why}")
        greeting = self.greeting
        answer = greeting.handle(message)
        assert greeting.address is not None
        if not self.peer:
            self.peer = greeting.address.peer
            self._table.check_pair(self)
        if answer is not None:  # our last REGISTRO
            self.outbox.post(answer)
            if self._table.seals:
                self.outbox.seal(greeting.seal(ours=True), greeting.seals)
        if greeting.stage is Stage.PROVED:
            self._on_proved(greeting.address)

    def _on_proved(self, address: PeerAddress) -> None:
        self.address = address if address.host else msgspec.structs.replace(address, host=self.host)
        self.alone, self.sealed = self.greeting.alone, self.greeting.sealed
        self._seal = self.greeting.seal(ours=False) if self._table.seals else None
        self.linked_at = self._loop.time()
        self._header_limit = frame.header_limit(self._manifest.block_count)
        self._table.adopt(self)
        self._become(State.LINKED)
        self._told = True
        try:
            self._owner.on_linked(self)
        except Exception:
            self._told = False
            raise
        if self._proved is not None and not self.closed:
            self._proved.set_result(None)

    def _drink(self) -> None:
        """Read no further than the download gate grants."""
        assert self._rest is not None
        self._credit_bytes = self._table.download.ask(self._on_grant, len(self._rest) + len(self._lacking))
        if not self._credit_bytes:
            self._pause()

    def _pause(self) -> None:
        assert self._transport is not None
        self._thirsty = True
        self._transport.pause_reading()

    def _on_grant(self, granted_bytes: int) -> None:
        assert self._transport is not None
        self._credit_bytes += granted_bytes
        self._thirsty = False
        self._heard_at = self._loop.time()
        self.attempt(self._transport.resume_reading)

    # -- blame

    def attempt(self, step: Callable[..., object], *args: Any) -> None:
        """Do a step; an exception in it closes the link, and never gets out."""
        try:
            step(*args)
        except RemoteError as error:
            self.close(str(error), Desligamento(why=str(error)[:WHY_CHARACTERS]))
        except Exception as error:
            self.close(f"internal error: {error!r}", Desligamento(why="internal error"))
            self._loop.call_exception_handler(
                {"message": f"internal error at {self!r}", "exception": error, "protocol": self}
            )

    def _become(self, state: State) -> None:
        assert state in MOVES[self.state], f"{self.state} -> {state}"
        self.state = state
