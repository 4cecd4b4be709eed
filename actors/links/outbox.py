"""The sending half of a link, in order: control messages, and blocks in chunks as network and limit allow.

Without an upload limit a block is one frame. With one it is *cut*: each chunk that the gate grants is a frame.
Messages in `PASSING` concern what the neighbour sends, so they go between these frames at once: at a slow uplink
a block takes most of a minute. All other messages go before the next block. A BLOQUEIO that arrived before the
end of this block would make the neighbour ask for it elsewhere, and get it twice.

On a proven link a seal follows each head, and is made when the head is written, so in the order of what is sent. Where
blocks are sealed too, an ESTOQUE without news ends each, so that its seal comes at once.

Invariant: a frame is never cut by another; between the frames of a block stand only messages in `PASSING`.
Memory is bounded: one chunk and the transport's own backlog for blocks, `BACKLOG_BYTES` for messages.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from minibit.actors.links.face import Owner
from minibit.actors.links.gate import Gate
from minibit.errors import LocalError, RemoteError
from minibit.messages import Bloco, Estoque, Message
from minibit.wire import frame
from minibit.wire.carriage import PASSING
from minibit.wire.seal import Seal

CHUNK_BYTES = 256 << 10  # this much of a block is read and handed to the transport at once
HIGH_WATER_BYTES = 64 << 10  # the transport pauses us at this backlog of its own, beside the kernel's
BACKLOG_BYTES = 1 << 20  # a neighbour that leaves more bytes of messages unread is dropped

NOTHING_NEW = Estoque()  # a sign of life, or the carrier of a seal; it has no news, so the other end's owner hears none


class Outbox:
    """Sends for one link: reads blocks from `owner`, and calls `sent(block)` once a block went out whole.

    Every method may raise: its callers use `attempt`, and so does the outbox itself in callbacks.
    """

    def __init__(
        self,
        owner: Owner,
        gate: Gate,
        loop: asyncio.AbstractEventLoop,
        attempt: Callable[..., None],
        sent: Callable[[int], None],
    ) -> None:
        self.control_bytes = 0  # all bytes sent but the payload of BLOCOs
        self.payload_bytes = 0
        self.spoke_at = 0.0
        self._read = owner.read
        self._length = owner.manifest.length
        self._gate = gate
        self._loop = loop
        self._attempt = attempt
        self._tell_sent = sent
        self._transport: asyncio.Transport | None = None  # None again once the link is closed
        self._seal: Seal | None = None
        self._seals_blocks = False
        self._messages: list[bytes] = []  # frames to go before the next block
        self._passing: list[bytes] = []  # frames to go before the next part of a cut block
        self._backlog_bytes = 0  # of both
        self._flushing = False
        self._blocks: deque[tuple[int, bool, bool]] = deque()
        self._offset = 0  # bytes sent of the first of them
        self._cut = False  # the block under way stands between two of its frames
        self._sent: int | None = None  # a block sent whole, of which the owner hasn't heard yet
        self._full = False  # the transport paused us
        self._queued = False  # we wait for our turn at the gate

    @property
    def midway(self) -> bool:
        """A block is begun and not ended."""
        return self._offset > 0

    @property
    def midframe(self) -> bool:
        """A frame is begun and not ended: nothing at all may come between."""
        return self._offset > 0 and not self._cut

    def open(self, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=0)
        self._transport = transport
        self.spoke_at = self._loop.time()

    def close(self, farewell: Message | None) -> None:
        """Send nothing more, but the `farewell` at the end if that cuts no block."""
        if self._transport is not None and farewell is not None and not self._offset:
            self._messages.append(frame.encode(farewell))
            self._backlog_bytes += len(self._messages[-1])
            self._write(self._take_messages())
        self._transport = None
        self._gate.forget(self._on_grant)
        self._blocks.clear()
        self._messages.clear()
        self._passing.clear()

    def seal(self, seal: Seal, blocks: bool) -> None:
        """Seal what is posted from now on; with `blocks`, their bytes too."""
        self._flush()
        self._seal, self._seals_blocks = seal, blocks

    def post(self, message: Message) -> None:
        """Put a message in line; those of one turn of the event loop go out in one system call."""
        data = frame.encode(message)
        line = self._passing if self._cut and type(message) in PASSING else self._messages
        line.append(data)
        self._backlog_bytes += len(data)
        if self._backlog_bytes > BACKLOG_BYTES:
            raise RemoteError(f"it left {self._backlog_bytes} bytes of messages unread")
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._attempt, self._flush)

    def put(self, block: int, spoil: bool, busy: bool) -> None:
        """Put a block in line; `spoil` sends it with a wrong byte, `busy` is for its BLOCO."""
        self._blocks.append((block, spoil, busy))
        self._pump()

    def pause(self) -> None:
        """The network takes no more."""
        self._full = True

    def resume(self) -> None:
        """The network takes more."""
        self._full = False
        self._go_on()

    def _go_on(self) -> None:
        if self._full or self._transport is None:
            return
        self._flush()
        if self._sent is not None:
            block, self._sent = self._sent, None
            self._tell_sent(block)
        self._pump()

    def _flush(self) -> None:
        self._flushing = False
        if not self._backlog_bytes or self._full or self.midframe or self._transport is None:
            return
        if messages := self._take_messages():
            self._write(messages)

    def _take_messages(self) -> list[bytes]:
        """The messages in line that may go here, at the end of a frame; they now count as sent."""
        if self._cut:
            messages, self._passing = self._passing, []
        else:
            messages, self._messages = self._messages, []
        self._backlog_bytes -= sum(map(len, messages))
        return [self._sealed(head) for head in messages]

    def _sealed(self, head: bytes) -> bytes:
        """The head with its seal, to be written next; it now counts as sent."""
        if self._seal is not None:
            head += self._seal.over(head)
        self.control_bytes += len(head)
        return head

    def _pump(self) -> None:
        """Send as much of the first block as the network and the limit take, until it is sent whole."""
        while self._blocks and self._sent is None and not (self._full or self._queued or self._transport is None):
            want = min(CHUNK_BYTES, self._length(self._blocks[0][0]) - self._offset)
            if self._gate.limited:
                want = self._gate.ask(self._on_grant, want)
                if not want:
                    self._queued = True
                    return
            self._send_chunk(want)

    def _on_grant(self, granted_bytes: int) -> None:
        self._queued = False
        self._attempt(self._send_chunk, granted_bytes)
        self._attempt(self._pump)

    def _send_chunk(self, chunk_bytes: int) -> None:
        """Write the next bytes of the first block; where a frame begins, first the messages in line and its head."""
        block, spoil, busy = self._blocks[0]
        offset, length = self._offset, self._length(block)
        data = self._read(block, offset, chunk_bytes)
        if len(data) != chunk_bytes:
            raise LocalError(f"read {len(data)} bytes of block {block} at {offset}, not {chunk_bytes}")
        if spoil and offset == 0:
            data = bytes((data[0] ^ 0xFF,)) + data[1:]
        parts = []
        if not self.midframe:
            frame_bytes = chunk_bytes if self._gate.limited else length - offset
            head = frame.encode_next(frame_bytes) if self._cut else frame.encode(Bloco(block, busy), frame_bytes)
            parts = [*self._take_messages(), self._sealed(head)]
            self._cut = offset + frame_bytes < length
        parts.append(data)
        self.payload_bytes += chunk_bytes
        if self._seal is not None and self._seals_blocks:
            self._seal.add(data)
            if offset + chunk_bytes == length:
                parts.append(self._sealed(frame.encode(NOTHING_NEW)))
        if offset + chunk_bytes < length:
            self._offset = offset + chunk_bytes
        else:
            self._blocks.popleft()
            self._offset, self._sent = 0, block
        self._write(parts)
        if self._sent is not None and not self._full:
            # not at once: a fast neighbour would keep us here, and the other links waiting
            self._loop.call_soon(self._attempt, self._go_on)

    def _write(self, parts: list[bytes]) -> None:
        assert self._transport is not None
        self.spoke_at = self._loop.time()
        self._transport.writelines(parts)
