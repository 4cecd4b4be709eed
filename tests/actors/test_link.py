"""Links over loopback, and links fed byte by byte on a transport of paper. No Ray, no waiting by the clock."""

from __future__ import annotations

import ast
import asyncio
import functools
import random
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_clock import Clock

from minibit import messages
from minibit.actors import links
from minibit.actors.links import outbox, pairs
from minibit.actors.links.gate import Gate
from minibit.actors.links.link import Link
from minibit.actors.links.outbox import NOTHING_NEW
from minibit.actors.links.pairs import Links
from minibit.actors.links.pool import RECEIPT_COUNT_MIN, BlockPool
from minibit.actors.links.state import State
from minibit.errors import LocalError, RemoteError
from minibit.messages import (
    WHY_CHARACTERS,
    Bloco,
    Bloqueio,
    Desbloqueio,
    Desligamento,
    Estoque,
    Message,
    Pedido,
    PeerAddress,
    Registro,
)
from minibit.wire import frame
from minibit.wire.carriage import PREFIX_BYTES, SEAL_BYTES
from minibit.wire.greeting import Greeting
from minibit.wire.seal import Seal

KEY = b"k" * 32
BOUND_S = 10.0


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on a fresh uvloop; what reaches the loop's exception handler fails it."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        caught: list[dict[str, Any]] = []

        async def bounded() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context))
            await asyncio.wait_for(test(*args, **kwargs), 3 * BOUND_S)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(bounded())
        assert caught == []

    return run


class Blocks:
    """`block_count` blocks of `block_bytes`, the last of them shorter; each with its own bytes."""

    def __init__(self, block_count: int = 5, block_bytes: int = 300_000, digest: str = "blake3:x") -> None:
        self.block_count = block_count
        self.block_bytes = self.length_max = block_bytes
        self.digest = digest

    def length(self, block: int) -> int:
        return self.block_bytes - 77 if block == self.block_count - 1 else self.block_bytes

    @functools.cache  # noqa: B019  the few of one test
    def data(self, block: int) -> bytes:
        return random.Random(block).randbytes(self.length(block))


class FakeOwner:
    """Notes what links tell it, serves what is asked, and lets a test wait for what it wants to see."""

    def __init__(self, name: str, manifest: Blocks | None = None, key: bytes = KEY) -> None:
        self.me = PeerAddress(peer=name, host="127.0.0.1", port=0)
        self.key = key
        self.manifest = manifest or Blocks()
        self.heard: list[tuple[Any, ...]] = []
        self.blocks: list[tuple[int, bytes]] = []
        self.read_bytes = 0
        self.links: list[Link] = []
        self.refuse: Exception | None = None
        self._changed = asyncio.Event()

    def _note(self, *what: Any) -> None:
        self.heard.append(what)
        self._changed.set()

    async def until(self, seen: Callable[[], Any]) -> None:
        """Wait until `seen()`, which can only come true by a call from a link."""
        async with asyncio.timeout(BOUND_S):
            while not seen():
                self._changed.clear()
                await self._changed.wait()

    @property
    def came(self) -> list[Message]:
        """The messages and the blocks, in their order."""
        heard = [what for what in self.heard if what[0] in ("message", "block")]
        return [Bloco(what) if kind == "block" else what for kind, what in heard]

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [what[1:] for what in self.heard if what[0] == kind]

    def on_linked(self, link: Link) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.links.append(link)
        self._note("linked", link.peer)

    def on_message(self, link: Link, message: Message) -> None:
        self._note("message", message)
        if isinstance(message, Pedido):
            link.send_block(message.block)
        if isinstance(message, Desligamento) and message.why == "be offended":
            raise RemoteError("offended")
        if isinstance(message, Desligamento) and message.why == "have a bug":
            raise ValueError("a bug")

    def on_block(self, link: Link, block: int, data: memoryview) -> None:
        self.blocks.append((block, bytes(data)))
        self._note("block", block)

    def on_progress(self, link: Link) -> None:
        self._note("progress")

    def on_sent(self, link: Link, block: int) -> None:
        self._note("sent", block)

    def on_unlinked(self, link: Link, why: str) -> None:
        self._note("unlinked", link.peer, why)

    def read(self, block: int, offset: int, length: int) -> bytes:
        self.read_bytes += length
        return self.manifest.data(block)[offset : offset + length]


class ClockedLoop:
    """The running event loop, but its time passes on a clock that a test moves by hand."""

    def __init__(self, clock: Clock) -> None:
        self.time = clock.time
        self._clock = clock
        self._loop = asyncio.get_running_loop()

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Any:
        return self._clock.call_later(delay, functools.partial(callback, *args))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class Node:
    """An owner with its links, served on loopback; with a `clock`, on that."""

    def __init__(
        self,
        name: str,
        manifest: Blocks | None = None,
        key: bytes = KEY,
        clock: Clock | None = None,
        **options: Any,
    ) -> None:
        self.owner = FakeOwner(name, manifest, key)
        self.links = Links(self.owner, **options)
        if clock is not None:
            self.links.loop = ClockedLoop(clock)  # type: ignore[assignment]

    async def serve(self) -> Node:
        port = await self.links.serve()
        self.owner.me = PeerAddress(peer=self.owner.me.peer, host="127.0.0.1", port=port)
        return self

    async def linked_to(self, other: Node) -> tuple[Link, Link]:
        await self.links.dial(other.owner.me)
        await other.owner.until(lambda: other.owner.of("linked"))
        return self.links[other.owner.me.peer], other.links[self.owner.me.peer]


class Sealer:
    """Puts the seals into a stream of plain frames, or checks and takes them away again."""

    def __init__(self, seal: Seal, *, blocks: bool = False) -> None:
        self.seal = seal
        self.blocks = blocks
        self._payload_bytes = 0  # still to come, of the last frame

    def put(self, data: bytes) -> bytes:
        """`data` with seals; behind the last whole head it is as it was."""
        return self._through(data, 0)

    def take(self, data: bytes) -> bytes:
        """`data` without its seals, which are right."""
        return self._through(data, SEAL_BYTES)

    def _through(self, data: bytes, seal_bytes: int) -> bytes:
        left, done = memoryview(data), []
        while left:
            part, left = left[: self._payload_bytes], left[self._payload_bytes :]
            self._payload_bytes -= len(part)
            done.append(part)
            if self.blocks:
                self.seal.add(part)
            header_bytes, payload_bytes = struct.unpack_from("<II", left) if len(left) >= PREFIX_BYTES else (1 << 32, 0)
            end = PREFIX_BYTES + header_bytes
            if len(left) < end + seal_bytes:
                break
            head, found, left = left[:end], left[end : end + seal_bytes], left[end + seal_bytes :]
            seal = self.seal.over(head)
            assert found in (b"", seal)
            done += [head] if seal_bytes else [head, seal]
            self._payload_bytes = payload_bytes
        return b"".join([*done, left])


class Stranger:
    """A bare socket that says what a test wants, after a greeting or without one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.sealer: Sealer | None = None  # once it has proved itself

    @classmethod
    async def at(cls, node: Node) -> Stranger:
        return cls(*await asyncio.open_connection(node.owner.me.host, node.owner.me.port))

    def say(self, message: Message, payload: bytes = b"") -> None:
        self.write(frame.encode(message, len(payload)) + payload)

    def write(self, data: bytes) -> None:
        self.writer.write(data if self.sealer is None else self.sealer.put(data))

    async def hear(self) -> Message:
        async with asyncio.timeout(BOUND_S):
            header_bytes, payload_bytes = struct.unpack("<II", await self.reader.readexactly(8))
            assert payload_bytes == 0
            return messages.decode(await self.reader.readexactly(header_bytes))

    async def greet(self, node: Node, name: str = "stranger") -> Stranger:
        greeting = Greeting(
            PeerAddress(peer=name, host="", port=9),
            KEY,
            node.owner.manifest.digest,
            "0" * 32,
            expected=node.owner.me.peer,
        )
        first = greeting.first()
        assert first is not None
        self.say(first)
        proof = greeting.handle(await self.hear())
        assert proof is not None
        self.say(proof)
        self.sealer = Sealer(greeting.seal(ours=True))
        await node.owner.until(lambda: (name,) in node.owner.of("linked"))
        return self

    async def hear_end(self) -> bytes:
        """All that comes until the connection ends, which it does."""
        async with asyncio.timeout(BOUND_S):
            try:
                return await self.reader.read(-1)
            except ConnectionError:
                return b""


class Paper(asyncio.Transport):
    """A transport without a network: it notes what is written, and is full above `room_bytes`.

    Once the link is proved, it takes the seals away from what is written, and puts them into what it feeds.
    """

    def __init__(self, link: Link, room_bytes: float = float("inf"), host: str = "192.0.2.7") -> None:
        super().__init__()
        self.link = link
        self.host = host
        self.written = bytearray()
        self.unread = memoryview(b"")
        self.sealers: tuple[Sealer, Sealer] | None = None  # of what the link hears, and of what it says
        self.room_bytes = room_bytes
        self.reading = True
        self.gone = False
        link.connection_made(self)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self.host, 1)

    def write(self, data: Any) -> None:
        assert not self.gone
        self.written += data if self.sealers is None else self.sealers[1].take(bytes(data))
        if len(self.written) > self.room_bytes:
            self.link.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def drain(self) -> bytes:
        """The network took it all."""
        data = bytes(self.written)
        self.written.clear()
        if len(data) > self.room_bytes:
            self.link.resume_writing()
        return data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self.gone:
            self.gone = True
            asyncio.get_running_loop().call_soon(self.link.connection_lost, None)

    def feed(self, data: bytes, cut: int = 1 << 20) -> memoryview:
        """Let the link receive what it didn't read and `data`, at most `cut` bytes at a time; returns what it left."""
        left = self.unread
        if data:
            left = memoryview(bytes(left) + (data if self.sealers is None else self.sealers[0].put(data)))
        while left and self.reading and not self.gone:
            buffer = self.link.get_buffer(-1)
            take = min(len(buffer), len(left), cut)
            assert take > 0
            buffer[:take] = left[:take]
            self.link.buffer_updated(take)
            left = left[take:]
        self.unread = left
        return left


async def turn() -> None:
    """Let what is scheduled for now happen."""
    for _ in range(3):
        await asyncio.sleep(0)


async def on_paper(
    home: Links, name: str = "them", room_bytes: float = float("inf"), cut: int = 1 << 20, sealed: bool = False
) -> Paper:
    """A link of `home` that was dialled by `name` and is proved; `sealed`: both ends suspect each other."""
    if sealed:
        home.suspect(name)
    paper = Paper(Link(home))
    me, us = PeerAddress(peer=name, host="", port=9), home.owner.me.peer
    greeting = Greeting(me, KEY, home.owner.manifest.digest, "0" * 32, expected=us, suspects=(us,) if sealed else ())
    first = greeting.first()
    assert first is not None
    paper.feed(frame.encode(first), cut)
    await turn()
    found = frame.parse(memoryview(bytes(paper.written)), 4096, home.owner.manifest)
    assert found is not None
    assert found.message is not None
    proof = greeting.handle(found.message)
    assert proof is not None
    paper.feed(frame.encode(proof), cut)
    assert paper.link.state is State.LINKED
    hears, says = greeting.seal(ours=True), greeting.seal(ours=False)
    paper.sealers = Sealer(hears, blocks=sealed), Sealer(says, blocks=sealed)
    paper.written.clear()
    paper.room_bytes = room_bytes
    return paper


def messages_in(data: bytes, manifest: Blocks) -> list[Message | None]:
    """The messages of all frames in `data`, which holds nothing else; None for the next part of a block."""
    said: list[Message | None] = []
    lacking_bytes = 0
    while data:
        found = frame.parse(memoryview(data), frame.header_limit(manifest.block_count), manifest, lacking_bytes)
        assert found is not None
        said.append(found.message)
        if isinstance(found.message, Bloco):
            lacking_bytes = manifest.length(found.message.block)
        lacking_bytes -= found.payload_bytes
        data = data[found.head_bytes + found.payload_bytes :]
    return said


def in_parts(manifest: Blocks, block: int, *parts_bytes: int) -> list[bytes]:
    """The frames of a block that is cut into such parts and, last, what is left."""
    data = manifest.data(block)
    frames = []
    for part_bytes in (*parts_bytes, len(data) - sum(parts_bytes)):
        head = frame.encode_next(part_bytes) if frames else frame.encode(Bloco(block), part_bytes)
        frames.append(head + data[:part_bytes])
        data = data[part_bytes:]
    return frames


async def pass_time(clock: Clock, seconds: float) -> None:
    """Let a virtual clock run, and what it sets off happen."""
    for _ in range(round(seconds / 0.01)):
        clock.run_for(0.01)
        await turn()


# -- over loopback


@on_uvloop
async def test_two_links_exchange_messages_and_blocks() -> None:
    a, b = await Node("a").serve(), await Node("b").serve()
    ours, theirs = await a.linked_to(b)
    assert (ours.peer, ours.dialled, ours.address) == ("b", True, b.owner.me)
    assert (theirs.peer, theirs.dialled, theirs.address) == ("a", False, a.owner.me)
    ours.send(Desbloqueio())
    for block in range(5):
        ours.send(Pedido(block))
    await a.owner.until(lambda: len(a.owner.blocks) == 5)
    assert a.owner.blocks == [(block, b.owner.manifest.data(block)) for block in range(5)]
    assert b.owner.of("message") == [(Desbloqueio(),), *((Pedido(block),) for block in range(5))]
    await b.owner.until(lambda: len(b.owner.of("sent")) == 5)
    assert ours.payload_bytes_in == theirs.outbox.payload_bytes == 5 * 300_000 - 77
    assert ours.control_bytes_in == theirs.outbox.control_bytes > 0
    assert ours.outbox.control_bytes == theirs.control_bytes_in > 0
    assert a.links.pool.taken_count == 0
    await a.links.close("enough")
    await b.owner.until(lambda: b.owner.of("unlinked"))
    assert b.owner.of("message")[-1] == (Desligamento(peer="a", why="enough"),)
    assert b.owner.of("unlinked") == [("a", "it closed the connection")]
    assert a.owner.of("unlinked") == [("b", "enough")]
    assert len(a.links) == len(b.links) == 0
    await b.links.close("enough")


@on_uvloop
async def test_blocks_of_any_size_go_both_ways_at_once() -> None:
    for block_bytes, upload_bps in ((78, None), (5_000, None), (3_000_000, None), (300_000, 8e6)):
        manifest = Blocks(4, block_bytes)
        a = await Node("a", manifest).serve()
        b = await Node("b", manifest, upload_bps=upload_bps).serve()
        ends = await a.linked_to(b)
        for end in ends:
            for block in range(4):
                end.send(Pedido(block))
        for node in (a, b):
            await node.owner.until(lambda node=node: len(node.owner.blocks) == 4)
            assert all(data == manifest.data(block) for block, data in node.owner.blocks)
        await a.links.close("")
        await b.links.close("")


@on_uvloop
async def test_a_spoilt_block_has_the_right_size_and_wrong_bytes() -> None:
    a, b = await Node("a").serve(), await Node("b").serve()
    _, theirs = await a.linked_to(b)
    theirs.send_block(1, spoil=True)
    theirs.send_block(2)
    await a.owner.until(lambda: len(a.owner.blocks) == 2)
    (_, spoilt), (_, right) = a.owner.blocks
    assert len(spoilt) == 300_000 and spoilt != b.owner.manifest.data(1)
    assert right == b.owner.manifest.data(2)
    await a.links.close("")
    await b.links.close("")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"key": b"x" * 32}, "a wrong proof"),
        ({"manifest": Blocks(digest="blake3:y")}, "refused: another manifest"),
    ],
)
@on_uvloop
async def test_another_key_or_manifest_is_refused_and_the_dialler_hears_why(other: dict[str, Any], why: str) -> None:
    a, b = await Node("a", **other).serve(), await Node("b").serve()
    with pytest.raises(RemoteError, match=why):
        await a.links.dial(b.owner.me)
    assert a.owner.heard == b.owner.heard == []
    await a.links.close("")
    await b.links.close("")
    assert len(a.links) == len(b.links) == 0


@on_uvloop
async def test_a_dial_of_oneself_of_somebody_else_and_of_nobody() -> None:
    a, b = await Node("a").serve(), await Node("b").serve()
    with pytest.raises(LocalError, match="itself"):
        await a.links.dial(a.owner.me)
    with pytest.raises(RemoteError, match="c was dialled, and b answered"):
        await a.links.dial(PeerAddress(peer="c", host=b.owner.me.host, port=b.owner.me.port))
    with pytest.raises(RemoteError, match="our own id"):
        await Node("b").links.dial(PeerAddress(peer="c", host=b.owner.me.host, port=b.owner.me.port))
    await b.links.close("")
    with pytest.raises(OSError):
        await a.links.dial(b.owner.me)
    await a.links.close("")
    assert a.owner.heard == b.owner.heard == []


@on_uvloop
async def test_a_dial_to_a_peer_that_accepts_and_says_nothing_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        node = Node("a")
        with pytest.raises(TimeoutError, match="no answer from b"):
            await node.links.dial(PeerAddress(peer="b", host="127.0.0.1", port=mute.getsockname()[1]), timeout_s=0.05)
        await node.links.close("")


@on_uvloop
async def test_a_long_reason_is_cut_so_that_the_other_end_understands_it() -> None:
    a, b = await Node("a").serve(), await Node("b").serve()
    await a.linked_to(b)
    await a.links.close("x" * 5000)
    await b.owner.until(lambda: b.owner.of("unlinked"))
    assert b.owner.of("message")[-1] == (Desligamento(peer="a", why="x" * WHY_CHARACTERS),)
    await b.links.close("")


@on_uvloop
async def test_an_owner_may_refuse_a_neighbour() -> None:
    a, b = await Node("a").serve(), await Node("b").serve()
    b.owner.refuse = RemoteError("banned")
    await a.links.dial(b.owner.me)
    await a.owner.until(lambda: a.owner.of("unlinked"))
    assert a.owner.of("message") == [(Desligamento(why="banned"),)]
    assert b.owner.heard == []
    assert len(b.links) == 0
    await a.links.close("")
    await b.links.close("")


@on_uvloop
async def test_a_link_without_a_proof_or_a_sign_of_life_is_closed() -> None:
    node = await Node("a", proof_s=0.05, idle_s=0.1).serve()
    mute = await Stranger.at(node)
    assert b"no proof within 0.05 s" in await mute.hear_end()
    silent = await (await Stranger.at(node)).greet(node)
    await node.owner.until(lambda: node.owner.of("unlinked"))
    assert node.owner.of("unlinked") == [("stranger", "silent for 0.1 s")]
    said = await silent.hear_end()
    assert said.startswith(frame.encode(NOTHING_NEW))  # the node's own sign of life
    await node.links.close("")


GARBAGE = [
    struct.pack("<II", 0xFFFFFFFF, 0),
    struct.pack("<II", 4097, 0),
    b"GET / HTTP/1.1\r\n\r\n",
    frame.encode(Pedido(1)),
    frame.encode(Bloco(1), 300_000),
    frame.encode_next(5),
    struct.pack("<II", 2, 0) + b"{}",
]


@pytest.mark.parametrize("said", GARBAGE)
@on_uvloop
async def test_garbage_before_the_proof_closes_at_once(said: bytes) -> None:
    node = await Node("a").serve()
    stranger = await Stranger.at(node)
    stranger.writer.write(said)
    await stranger.hear_end()
    assert node.owner.heard == []
    assert node.links.pool.taken_count == 0
    await node.links.close("")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (struct.pack("<II", 0xFFFFFFFF, 0), "over the limit"),
        (frame.encode(Bloco(5), 300_000), "block 5, where there are 5"),
        (frame.encode(Bloco(4), 300_000), "which has 299923"),
        (frame.encode(Pedido(0), 5), "a PEDIDO with a payload"),
        (frame.encode_next(5), "5 more bytes for no block"),
        (struct.pack("<II", 0, 0), "neither header nor payload"),
        (frame.encode(Bloco(1), 9) + b"x" * 9 + frame.encode_next(299_992), "for a block that lacks 299991"),
        (frame.encode(Bloco(1), 9) + b"x" * 9 + frame.encode(Bloco(2), 9), "the one under way lacks 299991 bytes"),
        (frame.encode(Bloco(1), 300_000) + b"x" * 300_000 + frame.encode_next(1), "1 more bytes for no block"),
        (struct.pack("<II", 15, 0) + b'{"tipo":"NADA"}', "not a message"),
        (frame.encode(Desligamento(why="be offended")), "offended"),
    ],
)
@on_uvloop
async def test_a_breach_of_the_protocol_closes_with_the_reason(said: bytes, why: str) -> None:
    node = await Node("a").serve()
    stranger = await (await Stranger.at(node)).greet(node)
    stranger.write(said)
    ended = await stranger.hear_end()
    assert why.encode() in ended
    ((_, told),) = node.owner.of("unlinked")
    assert why in told
    assert node.links.pool.taken_count == 0
    await node.links.close("")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "it closed the connection"),
        (frame.encode(Pedido(1))[:11], "it closed the connection in the middle of a header"),
        (frame.encode(Bloco(1), 300_000) + b"x" * 1000, "it closed the connection in the middle of block 1"),
        (frame.encode(Bloco(1), 9) + b"x" * 9, "it closed the connection in the middle of block 1"),
        (frame.encode(Bloco(1), 9) + b"x" * 9 + b"\0", "it closed the connection in the middle of block 1"),
    ],
)
@on_uvloop
async def test_the_end_of_the_stream_says_where_it_came(said: bytes, why: str) -> None:
    node = await Node("a").serve()
    stranger = await (await Stranger.at(node)).greet(node)
    stranger.write(said)
    stranger.writer.close()
    await node.owner.until(lambda: node.owner.of("unlinked"))
    assert node.owner.of("unlinked") == [("stranger", why)]
    assert node.owner.blocks == []
    assert node.links.pool.taken_count == 0
    await node.links.close("")


class Comer(asyncio.Protocol):
    """Connects, says `said` and no more, and comes again whenever it is shown out."""

    def __init__(self, node: Node, said: bytes = b"") -> None:
        self.node = node
        self.said = said
        self.count = 0
        self.stopped = False

    async def come(self) -> Comer:
        me = self.node.owner.me
        with suppress(OSError):
            await asyncio.get_running_loop().create_connection(lambda: self, me.host, me.port)
        return self

    def connection_made(self, transport: Any) -> None:
        self.count += 1
        self.transport = transport
        transport.write(self.said)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.stopped:
            self.again = asyncio.ensure_future(self.come())

    def stop(self) -> None:
        self.stopped = True
        self.transport.abort()


def hello(node: Node) -> bytes:
    """The first words of a stranger that knows the digest of the manifest."""
    them = PeerAddress(peer="z", host="", port=9)
    greeting = Greeting(them, b"no idea of the key", node.owner.manifest.digest, "f" * 32, expected=node.owner.me.peer)
    first = greeting.first()
    assert first is not None
    return frame.encode(first)


@pytest.mark.parametrize("say", [None, hello], ids=["silent", "with a REGISTRO"])
@on_uvloop
async def test_strangers_that_come_again_and_again_keep_nobody_out(say: Callable[[Node], bytes] | None) -> None:
    nodes = [await Node(name).serve() for name in "ab"]
    comers = [await Comer(node, say(node) if say else b"").come() for node in nodes for _ in range(68)]
    for name in "cde":
        newcomer = await Node(name).serve()
        for node in nodes:
            await newcomer.links.dial(node.owner.me)
        await newcomer.links.close("seen")
    await nodes[0].links.dial(nodes[1].owner.me)
    assert sum(comer.count for comer in comers) > len(comers)  # they did come again
    for comer in comers:
        comer.stop()
    for node in nodes:
        await node.links.close("closing")


@on_uvloop
async def test_connections_without_a_proof_are_few() -> None:
    node = await Node("a").serve()
    strangers = [await Stranger.at(node) for _ in range(pairs.STRANGERS_MAX + 5)]
    for stranger in strangers[:5]:  # the oldest
        assert b"64 others wait for their proof" in await stranger.hear_end()
    assert len(node.links._connections) == pairs.STRANGERS_MAX
    await node.links.close("closing")
    for stranger in strangers[5:]:
        assert b"closing" in await stranger.hear_end()


def strangers(home: Links, *origins: str, said: bytes = b"") -> list[Paper]:
    """Connections to `home` from these addresses, in this order."""
    papers = [Paper(Link(home), host=origin) for origin in origins]
    for paper in papers:
        paper.feed(said)
    return papers


def shown_out(papers: list[Paper]) -> list[int]:
    return [index for index, paper in enumerate(papers) if paper.link.closed]


@on_uvloop
async def test_one_too_many_makes_the_oldest_go_that_comes_from_where_most_come_from() -> None:
    papers = strangers(Node("a").links, "192.0.2.1", *["192.0.2.2"] * 33, *["192.0.2.3"] * 32, "192.0.2.4")
    assert shown_out(papers) == [1, 2, 34]
    papers = strangers(Node("a").links, *(f"192.0.2.{number}" for number in range(65)))
    assert shown_out(papers) == [0]


@on_uvloop
async def test_all_addresses_of_an_ipv6_network_count_as_one() -> None:
    papers = strangers(Node("a").links, "2001:db8:0:1::1", *(f"2001:db8::{number:x}%e0" for number in range(64)))
    assert shown_out(papers) == [1]


@on_uvloop
async def test_those_that_said_something_go_after_those_that_are_silent_and_the_newest_never() -> None:
    node = Node("a")
    talkers = strangers(node.links, *["192.0.2.1"] * 63, said=hello(node))
    await turn()
    silent = strangers(node.links, *["192.0.2.1"] * 2)
    assert shown_out(talkers + silent) == [63]
    strangers(node.links, "192.0.2.1")[0].feed(hello(node))
    assert shown_out(talkers + silent) == [63, 64]
    strangers(node.links, "192.0.2.1")
    assert shown_out(talkers + silent) == [0, 63, 64]


@on_uvloop
async def test_a_neighbour_that_does_not_read_costs_bounded_memory() -> None:
    manifest = Blocks(200, 1 << 20)
    node = await Node("a", manifest).serve()
    lazy = await (await Stranger.at(node)).greet(node)
    lazy.writer.transport.pause_reading()  # type: ignore[attr-defined]
    for block in range(200):
        lazy.say(Pedido(block))
    await node.owner.until(lambda: len(node.owner.of("message")) == 200)
    link = node.links["stranger"]
    transport = link._transport
    assert transport is not None
    async with asyncio.timeout(BOUND_S):
        while not transport.get_write_buffer_size():  # until the kernel takes no more
            await asyncio.sleep(0)
    assert transport.get_write_buffer_size() <= outbox.CHUNK_BYTES + outbox.HIGH_WATER_BYTES
    assert node.owner.read_bytes < 40 << 20  # what the kernel buffers, of 200 MiB
    for _ in range(50_000):
        link.send(Desbloqueio())
    await node.owner.until(lambda: node.owner.of("unlinked"))
    assert "bytes of messages unread" in node.owner.of("unlinked")[0][1]
    lazy.writer.transport.abort()
    await node.links.close("")


@on_uvloop
async def test_both_dial_at_once_and_the_smaller_ids_connection_stays() -> None:
    for _ in range(10):
        a, b = await Node("a").serve(), await Node("b").serve()
        dials = a.links.dial(b.owner.me), b.links.dial(a.owner.me)
        ours_refused, theirs_refused = await asyncio.gather(*dials, return_exceptions=True)
        assert ours_refused is None
        # the refusal may come before a's connection is proved: then b's dial has failed, and b is linked all the same
        assert theirs_refused is None or "both dialled" in str(theirs_refused)
        await a.owner.until(lambda a=a: len(a.owner.of("linked")) - len(a.owner.of("unlinked")) == 1)
        await b.owner.until(lambda b=b: len(b.owner.of("linked")) - len(b.owner.of("unlinked")) == 1)
        ours, theirs = a.links["b"], b.links["a"]
        assert ours.dialled and not theirs.dialled
        ours.send(Pedido(1))
        await a.owner.until(lambda a=a: a.owner.blocks)
        assert len(a.links) == len(b.links) == 1
        await a.links.close("")
        await b.links.close("")


@on_uvloop
async def test_a_peer_that_was_started_again_takes_the_place_of_its_old_link() -> None:
    node = await Node("a").serve()
    old = await (await Stranger.at(node)).greet(node, "z")
    new = await (await Stranger.at(node)).greet(node, "z")
    await old.hear_end()
    await node.owner.until(lambda: len(node.owner.of("linked")) == 2)
    assert node.owner.heard[1][:2] == ("unlinked", "z")  # before it hears of the new one
    assert len(node.links) == 1 and not node.links["z"].closed
    new.say(Desbloqueio())
    await node.owner.until(lambda: node.owner.of("message"))
    await node.links.close("")


@on_uvloop
async def test_serve_takes_the_first_free_port_and_says_when_there_is_none() -> None:
    first = await Node("a").serve()
    taken = first.owner.me.port
    second = Node("b")
    with pytest.raises(LocalError, match="give other ports"):
        await second.links.serve([taken])
    assert await second.links.serve([taken, 0]) != taken
    await first.links.close("")
    await second.links.close("")


# -- on paper


@pytest.mark.parametrize("cut", [1, 2, 7, 100, 4096])
@on_uvloop
async def test_frames_may_be_cut_anywhere(cut: int) -> None:
    home = Node("a", Blocks(3, 500))
    paper = await on_paper(home.links, cut=cut)
    assert paper.link.address == PeerAddress(peer="them", host="192.0.2.7", port=9)
    manifest = home.owner.manifest
    said = [Desbloqueio(), Estoque(whole="7"), Bloco(0), NOTHING_NEW, Pedido(2), Bloco(2), Bloco(1), Estoque(new=(1,))]
    data = b"".join(
        frame.encode(one, manifest.length(one.block)) + manifest.data(one.block)
        if isinstance(one, Bloco)
        else frame.encode(one)
        for one in said
    )
    first, second, third = in_parts(manifest, 1, 1, 200)
    data += first + frame.encode(Desbloqueio()) + second + frame.encode(NOTHING_NEW) + third
    assert paper.feed(data, cut) == b""
    assert home.owner.came == [*(one for one in said if one != NOTHING_NEW), Desbloqueio(), Bloco(1)]
    assert home.owner.blocks == [(block, manifest.data(block)) for block in (0, 2, 1, 1)]
    await turn()
    assert messages_in(paper.drain(), manifest) == [Bloco(2)]
    assert home.links.pool.taken_count == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=8), st.booleans(), st.integers(1, 64))
def test_arbitrary_bytes_never_raise_and_are_never_over_read(parts: list[bytes], proved: bool, cut: int) -> None:
    @on_uvloop
    async def run() -> None:
        home = Node("a", Blocks(3, 200))
        paper = await on_paper(home.links) if proved else Paper(Link(home.links))
        for part in parts:
            paper.feed(frame.encode(Desbloqueio()) + part if proved else part, cut)
        paper.link.connection_lost(None)
        await turn()
        assert home.links.pool.taken_count == 0
        assert len(home.owner.of("unlinked")) == proved

    run()


@on_uvloop
async def test_a_message_goes_after_the_block_that_is_being_sent_and_before_the_next() -> None:
    home = Node("a", Blocks(3, 2 << 20))
    paper = await on_paper(home.links, room_bytes=0)
    link, manifest = paper.link, home.owner.manifest
    link.send_block(0)
    link.send_block(1)
    link.send(Pedido(1))
    data = b""
    for _ in range(100):
        await turn()
        data += paper.drain()
    assert messages_in(data, manifest) == [Bloco(0), Pedido(1), Bloco(1)]
    assert home.owner.of("sent") == [(0,), (1,)]
    assert home.owner.read_bytes == 2 * (2 << 20)


@on_uvloop
async def test_with_an_upload_limit_pedido_and_estoque_pass_the_block_and_nothing_else_does() -> None:
    clock, manifest = Clock(), Blocks(3, 64 << 10)
    home, other = Node("a", manifest), Node("b", manifest)
    home.links.upload = Gate(clock, 20 << 10)
    paper, their_paper = await on_paper(home.links), await on_paper(other.links)
    link, before_bytes = paper.link, (paper.link.outbox.control_bytes, their_paper.link.control_bytes_in)
    link.send_block(0, spoil=True)
    link.send_block(1)
    await pass_time(clock, 0.5)
    assert 0 < link.outbox.payload_bytes < 64 << 10
    their_paper.feed(paper.drain())
    for message in (Bloqueio(), Pedido(2), Desbloqueio(), Estoque(new=(0,))):
        link.send(message)
    await turn()  # and no time at all: they don't wait for the next part
    data = paper.drain()
    assert messages_in(data, manifest) == [Pedido(2), Estoque(new=(0,))]
    their_paper.feed(data)
    await pass_time(clock, 7)
    data = paper.drain()
    heads = (frame.encode(Bloqueio()), frame.encode(Desbloqueio()), frame.encode(Bloco(1), 1 << 10))
    assert b"".join(heads) in data
    their_paper.feed(data)
    assert other.owner.came == [Pedido(2), Estoque(new=(0,)), Bloco(0), Bloqueio(), Desbloqueio(), Bloco(1)]
    (_, spoilt), right = other.owner.blocks
    assert spoilt[0] != manifest.data(0)[0] and spoilt[1:] == manifest.data(0)[1:]
    assert right == (1, manifest.data(1))
    control_bytes = link.outbox.control_bytes - before_bytes[0]
    assert control_bytes == their_paper.link.control_bytes_in - before_bytes[1]
    said = (Bloqueio(), Desbloqueio(), Pedido(2), Estoque(new=(0,)), Bloco(0), Bloco(1))
    head_bytes = sum(len(frame.encode(message)) for message in said) + 2 * 63 * PREFIX_BYTES
    assert control_bytes == head_bytes + (len(said) + 2 * 63) * SEAL_BYTES
    assert other.links.pool.taken_count == 0


@on_uvloop
async def test_a_limit_that_comes_in_the_middle_of_a_block_cuts_the_next_one() -> None:
    clock, manifest = Clock(), Blocks(3, 1 << 20)
    home = Node("a", manifest)
    home.links.upload = Gate(clock)
    paper = await on_paper(home.links, room_bytes=0)
    paper.link.send_block(0)
    paper.link.send_block(1)
    home.links.upload.limit(1 << 20)
    paper.link.send(Bloqueio())
    paper.link.send(Pedido(1))
    data = b""
    for _ in range(300):
        await pass_time(clock, 0.01)
        data += paper.drain()
    assert messages_in(data, manifest)[:5] == [Bloco(0), Bloqueio(), Pedido(1), Bloco(1), None]
    assert data.count(manifest.data(0)) == 1
    assert data.count(manifest.data(1)) == 0
    assert home.owner.of("sent") == [(0,), (1,)]


@on_uvloop
async def test_a_limit_that_goes_in_the_middle_of_a_block_leaves_the_rest_of_it_uncut() -> None:
    clock, manifest = Clock(), Blocks(3, 1 << 20)
    home = Node("a", manifest)
    home.links.upload = Gate(clock, 20 << 10)
    paper = await on_paper(home.links)
    paper.link.send_block(0)
    await pass_time(clock, 0.06)
    data = paper.drain()
    assert messages_in(data, manifest) == [Bloco(0)]
    paper.room_bytes = 0
    paper.link.send(Pedido(1))
    home.links.upload.limit(None)
    paper.link.send(Pedido(2))  # too late to pass
    home.links.upload.limit(1 << 20)
    for _ in range(200):
        await pass_time(clock, 0.01)
        data += paper.drain()
    assert messages_in(data, manifest) == [Bloco(0), Pedido(1), None, Pedido(2)]
    assert data.endswith(manifest.data(0)[1024:] + frame.encode(Pedido(2)))


STEPS = st.one_of(
    st.sampled_from([Bloqueio(), Desbloqueio()]),
    st.builds(Pedido, st.integers(0, 99)),
    st.builds(Bloco, st.integers(0, 2)),
    st.sampled_from([None, 20_000.0, 200_000.0]).map(lambda rate_bps: ("limit", rate_bps)),
    st.integers(0, 20).map(lambda ticks: ("time", ticks)),
    st.just(("drain", 0)),
)


@settings(max_examples=80, deadline=None)
@given(*[st.lists(STEPS, max_size=40), st.sampled_from([0, 3000, 1 << 30]), st.integers(1, 5000)], *2 * [st.booleans()])
def test_whatever_is_sent_under_whatever_limits_arrives_whole_and_in_its_order(
    steps: list[Any], room_bytes: int, cut: int, thirsty: bool, sealed: bool
) -> None:
    @on_uvloop
    async def run() -> None:
        clock, manifest = Clock(), Blocks(3, 5000)
        ours, theirs = Node("a", manifest), Node("b", manifest)
        ours.links.upload = Gate(clock)
        theirs.links.download = Gate(clock, 400_000 if thirsty else None)
        paper = await on_paper(ours.links, room_bytes=room_bytes, sealed=sealed)
        their_paper = await on_paper(theirs.links, sealed=sealed)
        link, sent = paper.link, []
        began_count = {}  # of blocks, when a message that may not pass was sent
        for step in [*steps, ("limit", None), *[("drain", 0), ("time", 1)] * 100]:
            match step:
                case "limit", rate_bps:
                    ours.links.upload.limit(rate_bps)
                case "time", ticks:
                    await pass_time(clock, ticks * 0.01)
                case "drain", _:
                    their_paper.feed(paper.drain(), cut)
                case Bloco(block):
                    link.send_block(block)
                    sent.append(step)
                case message:
                    ends = list(accumulate(manifest.length(one.block) for one in sent if isinstance(one, Bloco)))
                    began_count[len(sent)] = sum(begin < link.outbox.payload_bytes for begin in [0, *ends][:-1])
                    link.send(message)
                    sent.append(step)
        came = theirs.owner.came
        for kinds in (Bloco, Pedido, (Bloqueio, Desbloqueio)):
            assert [one for one in came if isinstance(one, kinds)] == [one for one in sent if isinstance(one, kinds)]
        assert all(data == manifest.data(block) for block, data in theirs.owner.blocks)
        staid = [place for place, one in enumerate(sent) if isinstance(one, Bloqueio | Desbloqueio)]
        arrived = [place for place, one in enumerate(came) if isinstance(one, Bloqueio | Desbloqueio)]
        for place, there in zip(staid, arrived, strict=True):
            assert sum(isinstance(one, Bloco) for one in came[:there]) >= began_count[place]
        assert theirs.links.pool.taken_count == 0
        assert not link.closed and not their_paper.link.closed

    run()


@on_uvloop
async def test_a_full_network_holds_one_chunk_and_tells_of_the_block_when_it_takes_the_next() -> None:
    home = Node("a", Blocks(3, 1 << 20))
    paper = await on_paper(home.links, room_bytes=0)
    paper.link.send_block(0)
    for chunk in range(1, 5):
        await turn()
        assert home.owner.read_bytes == chunk * outbox.CHUNK_BYTES
        assert home.owner.of("sent") == []
        paper.drain()
    assert home.owner.of("sent") == [(0,)]


@on_uvloop
async def test_the_upload_limit_holds_and_two_links_share_it() -> None:
    clock, rate_bps = Clock(), 1 << 20
    home = Node("a", Blocks(100, 256 << 10))
    home.links.upload = Gate(clock, rate_bps)
    papers = [await on_paper(home.links, name) for name in "xyz"]
    for paper in papers:
        for block in range(100):
            paper.link.send_block(block)
    for second in range(1, 11):
        for _ in range(100):
            clock.run_for(0.01)
            await turn()
        sent = [paper.link.outbox.payload_bytes for paper in papers]
        assert rate_bps * (second - 0.2) <= sum(sent) <= rate_bps * second
        assert max(sent) - min(sent) <= 64 << 10
    papers[0].link.close("enough")
    home.links.upload.limit(None)
    for _ in range(100):
        await turn()
    assert [paper.link.outbox.payload_bytes for paper in papers[1:]] == [100 * (256 << 10) - 77] * 2
    await turn()


@pytest.mark.parametrize("part_bytes", [256 << 10, 10_000])
@on_uvloop
async def test_the_download_limit_holds_and_no_payload_slips_past_it(part_bytes: int) -> None:
    clock, rate_bps = Clock(), 1 << 20
    home = Node("a", Blocks(100, 256 << 10))
    home.links.download = Gate(clock, rate_bps)
    papers = [await on_paper(home.links, name) for name in "xy"]
    manifest = home.owner.manifest
    one = b"".join(in_parts(manifest, 3, *[part_bytes] * (((256 << 10) - 1) // part_bytes)))
    for paper in papers:
        paper.feed(one * 30)
    for second in range(1, 6):
        for _ in range(100):
            clock.run_for(0.01)
            for paper in papers:
                paper.feed(b"")
        got = [paper.link.payload_bytes_in for paper in papers]
        assert rate_bps * (second - 0.2) <= sum(got) <= rate_bps * second
        assert max(got) - min(got) <= 64 << 10
    home.links.download.limit(None)
    assert [paper.feed(b"") for paper in papers] == [b"", b""]
    assert home.owner.blocks == [(3, manifest.data(3))] * 60
    home.links.download.limit(rate_bps)  # and again, in the middle of a block
    assert papers[0].feed(one) != b""


@on_uvloop
async def test_progress_is_told_once_a_second_and_only_of_unfinished_blocks() -> None:
    clock = Clock()
    home = Node("a", Blocks(3, 500), clock=clock)
    paper = await on_paper(home.links)
    data = frame.encode(Bloco(0), 500) + home.owner.manifest.data(0)
    paper.feed(data, cut=20)
    assert home.owner.of("progress") == [()]
    clock.run_for(1.0)
    paper.feed(data)
    assert home.owner.of("progress") == [()]
    first, second, third = in_parts(home.owner.manifest, 0, 100, 100)
    paper.feed(first)
    assert home.owner.of("progress") == [(), ()]
    paper.feed(second)
    clock.run_for(1.0)
    paper.feed(third)
    assert home.owner.of("progress") == [(), ()]


def test_a_bug_of_the_owner_closes_the_link_and_reaches_the_loops_handler() -> None:
    caught: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context))
        home = Node("a")
        paper = await on_paper(home.links)
        paper.feed(frame.encode(Desligamento(why="have a bug")))
        await turn()
        assert home.owner.of("unlinked") == [("them", "internal error: ValueError('a bug')")]
        assert paper.gone

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    assert [str(context["exception"]) for context in caught] == ["a bug"]


@on_uvloop
async def test_close_tells_once_never_from_within_and_cuts_no_block() -> None:
    clock, home = Clock(), Node("a", Blocks(3, 2 << 20))
    home.links.upload = Gate(clock)
    whole, midway, cut = [await on_paper(home.links, name) for name in "xyz"]
    midway.room_bytes = 0
    midway.link.send_block(0)
    home.links.upload.limit(20 << 10)
    cut.link.send_block(0)
    await pass_time(clock, 0.3)
    assert messages_in(bytes(cut.written), home.owner.manifest)[:2] == [Bloco(0), None]
    for paper in (whole, midway, cut):
        paper.link.close("bye", Desligamento(why="bye"))
        paper.link.close("again")
        paper.link.send(Pedido(0))
        paper.link.send_block(0)
    assert home.owner.of("unlinked") == []
    assert len(home.links) == 0
    await turn()
    assert home.owner.of("unlinked") == [("x", "bye"), ("y", "bye"), ("z", "bye")]
    assert messages_in(bytes(whole.written), home.owner.manifest) == [Desligamento(why="bye")]
    assert b"DESLIGAMENTO" not in midway.written + cut.written


@on_uvloop
async def test_an_idle_link_gives_a_sign_of_life_and_lives_as_long_as_it_gets_one() -> None:
    clock = Clock()
    home = Node("a", clock=clock, idle_s=30.0)
    paper = await on_paper(home.links)
    await pass_time(clock, 9.5)
    assert paper.drain() == b""  # it spoke just now
    await pass_time(clock, 10)
    assert paper.drain() == frame.encode(NOTHING_NEW)
    await pass_time(clock, 10)
    paper.feed(frame.encode(NOTHING_NEW))
    await pass_time(clock, 29.5)
    assert home.owner.of("message") == home.owner.of("unlinked") == []
    await pass_time(clock, 1)
    assert home.owner.of("unlinked") == [("them", "silent for 30 s")]


@on_uvloop
async def test_a_limit_of_nothing_stops_a_cut_block_and_not_the_signs_of_life() -> None:
    clock = Clock()
    home = Node("a", clock=clock)
    home.links.upload = Gate(clock, 20 << 10)
    paper = await on_paper(home.links)
    paper.link.send_block(0)
    await pass_time(clock, 0.1)
    home.links.upload.limit(0)
    assert 0 < paper.link.outbox.payload_bytes < home.owner.manifest.length(0) and paper.drain()
    await pass_time(clock, 50)
    assert paper.drain() == frame.encode(NOTHING_NEW)


@on_uvloop
async def test_a_registro_after_the_proof_is_a_message_like_any_other() -> None:
    home = Node("a")
    paper = await on_paper(home.links)
    paper.feed(frame.encode(Registro(peer="them")))
    assert home.owner.of("message") == [(Registro(peer="them"),)]


# -- the path between


async def two_on_paper(manifest: Blocks, sealed: bool) -> tuple[Node, Paper, Node, Paper]:
    """Two nodes, and between them what one end says, for a test to change on its way."""
    ours, theirs = Node("a", manifest), Node("b", manifest)
    return ours, await on_paper(ours.links, sealed=sealed), theirs, await on_paper(theirs.links, sealed=sealed)


@on_uvloop
async def test_a_forged_message_after_the_proof_ends_the_link_and_is_not_heard() -> None:
    home = Node("a")
    paper = await on_paper(home.links)
    paper.feed(frame.encode(Desbloqueio()))
    paper.sealers = None  # from now on somebody else speaks
    paper.feed(frame.encode(Estoque(whole="00")) + bytes(SEAL_BYTES))
    await turn()
    assert home.owner.of("message") == [(Desbloqueio(),)]
    assert home.owner.of("unlinked") == [("them", "a wrong seal: something was changed on its way")]


@pytest.mark.parametrize("sealed", [False, True])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_bit_that_is_changed_on_its_way_ends_the_link_or_is_in_an_unsealed_block(
    sealed: bool, data: st.DataObject
) -> None:
    @on_uvloop
    async def run() -> None:
        manifest = Blocks(2, 120)
        paper = await on_paper((home := Node("a", manifest)).links, sealed=sealed)
        assert paper.sealers is not None
        first, second = in_parts(manifest, 0, 50)
        said = first + frame.encode(Pedido(1)) + second + frame.encode(NOTHING_NEW) + frame.encode(Desbloqueio())
        stream = bytearray(paper.sealers[0].put(said))
        bit = data.draw(st.integers(0, 8 * len(stream) - 1))
        stream[bit // 8] ^= 1 << bit % 8
        paper.sealers = None
        paper.feed(bytes(stream))
        link = paper.link
        assert link.sealed is sealed
        if link.closed:
            came = home.owner.came
            assert came == [Pedido(1), Bloco(0), Desbloqueio()][: len(came)]
            assert all(got == manifest.data(0) for _, got in home.owner.blocks)
        elif link._head:  # a length was changed: what follows is waited for, and isn't heard
            assert Desbloqueio() not in home.owner.came
        else:
            assert not sealed
            assert home.owner.came == [Pedido(1), Bloco(0), Desbloqueio()]
            assert home.owner.blocks != [(0, manifest.data(0))]
        link.connection_lost(None)
        await turn()
        assert home.links.pool.taken_count == 0

    run()


@on_uvloop
async def test_a_sealed_block_counts_when_the_next_seal_has_come_which_is_at_once() -> None:
    manifest = Blocks(3, 500)
    ours, paper, theirs, their_paper = await two_on_paper(manifest, sealed=True)
    paper.link.send_block(0, spoil=True)
    await turn()
    said = paper.drain()
    assert messages_in(said, manifest) == [Bloco(0), NOTHING_NEW]
    tail = len(frame.encode(NOTHING_NEW))
    their_paper.feed(said[:-tail])
    assert theirs.owner.blocks == []
    their_paper.feed(said[-tail:])
    ((block, data),) = theirs.owner.blocks
    assert block == 0 and data != manifest.data(0)  # its sender sent it so
    assert not their_paper.link.closed
    assert ours.owner.of("sent") == [(0,)]


@on_uvloop
async def test_a_neighbour_that_will_not_seal_its_blocks_gives_none() -> None:
    home = Node("a", manifest := Blocks(3, 500))
    paper = await on_paper(home.links, sealed=True)
    assert paper.sealers is not None
    paper.sealers[0].blocks = False
    paper.feed(b"".join(in_parts(manifest, 0)) + frame.encode(NOTHING_NEW))
    await turn()
    assert home.owner.blocks == []
    assert "a wrong seal" in home.owner.of("unlinked")[0][1]
    assert home.links.pool.taken_count == 0


@on_uvloop
async def test_a_length_that_was_changed_on_its_way_is_not_waited_for_whatever_comes() -> None:
    clock = Clock()
    home = Node("a", Blocks(10_000, 100), clock=clock, idle_s=30.0)
    paper = await on_paper(home.links)
    paper.sealers = None
    paper.feed(struct.pack("<II", 5000, 0))
    for _ in range(7):
        await pass_time(clock, 5)
        paper.feed(frame.encode(NOTHING_NEW) + bytes(SEAL_BYTES))  # signs of life, which it takes for the header
    assert home.owner.of("unlinked") == [("them", "silent for 30 s")]


@on_uvloop
async def test_suspects_are_remembered_and_few() -> None:
    links = Node("a").links
    for number in range(pairs.SUSPECTS_MAX + 10):
        links.suspect(f"peer-{number}")
    assert len(links.suspects) == pairs.SUSPECTS_MAX
    assert f"peer-{pairs.SUSPECTS_MAX + 9}" in links.suspects


# -- the rule of the pair, and the pool


@pytest.mark.parametrize(("me", "dialling", "refused"), [("a", True, True), ("z", True, False), ("a", False, False)])
@on_uvloop
async def test_the_smaller_id_refuses_a_peer_that_it_is_dialling(me: str, dialling: bool, refused: bool) -> None:
    home = Node(me).links
    with socket.create_server(("127.0.0.1", 0)) as mute:
        there = PeerAddress(peer="m", host="127.0.0.1", port=mute.getsockname()[1])
        dial = asyncio.create_task(home.dial(there)) if dialling else None
        await turn()
        link = Link(home)
        link.peer = "m"
        if refused:
            with pytest.raises(RemoteError, match="both dialled"):
                home.adopt(link)
        else:
            home.adopt(link)
        assert ("m" in home) is not refused
        if dial is not None:
            dial.cancel()
            await asyncio.wait([dial])


@pytest.mark.parametrize(
    ("me", "old_dialled", "old_age_s", "new_dialled", "old_stays"),
    [
        ("a", True, 1.0, False, True),  # a race, and ours is the smaller id's
        ("a", False, 1.0, True, False),
        ("z", True, 1.0, False, False),
        ("z", False, 1.0, True, True),
        ("a", True, 60.0, False, False),  # no race: they lost the old one
        ("a", False, 1.0, False, False),  # the same end dialled again: it lost the old one
    ],
)
@on_uvloop
async def test_of_two_links_of_a_pair_one_stays(
    me: str, old_dialled: bool, old_age_s: float, new_dialled: bool, old_stays: bool
) -> None:
    home = Node(me).links
    old, new = (Link(home, expected="m" if dialled else None) for dialled in (old_dialled, new_dialled))
    old.peer = new.peer = "m"
    home.adopt(old)
    old.linked_at = asyncio.get_running_loop().time() - old_age_s
    if old_stays:
        with pytest.raises(RemoteError, match="both dialled"):
            home.adopt(new)
    else:
        home.adopt(new)
    assert home["m"] is (old if old_stays else new)
    assert old.closed is not old_stays
    await turn()
    assert "m" in home  # the old one's end doesn't take the new one with it


def taken(pool: BlockPool) -> memoryview:
    buffer = pool.ask(lambda lent: None)
    assert buffer is not None
    return buffer


def test_a_pool_keeps_few_spare_buffers_and_hands_out_the_warm_one() -> None:
    pool = BlockPool(100, spare_count=2)
    buffers = [taken(pool) for _ in range(5)]
    assert [len(buffer) for buffer in buffers] == [100] * 5
    for buffer in buffers:
        pool.give(buffer)
    assert pool.taken_count == 0
    assert taken(pool) is buffers[1]
    assert taken(pool) is buffers[0]
    assert all(taken(pool) is not buffer for buffer in buffers)


def test_of_large_buffers_one_is_kept() -> None:
    pool = BlockPool(16 << 20)
    buffers = [taken(pool) for _ in range(2)]
    for buffer in buffers:
        pool.give(buffer)
    assert taken(pool) is buffers[0]
    assert taken(pool) is not buffers[1]


def test_of_large_blocks_few_come_at_once_and_who_waits_longest_gets_the_next_buffer() -> None:
    pool = BlockPool(64 << 20)
    buffers = [taken(pool) for _ in range(RECEIPT_COUNT_MIN)]
    lent: list[tuple[str, Any]] = []
    callbacks = {name: functools.partial(lambda name, buffer: lent.append((name, buffer)), name) for name in "abc"}
    assert [pool.ask(callback) for callback in callbacks.values()] == [None] * 3
    pool.give(buffers[0])
    assert lent == [("a", buffers[0]), ("b", None), ("c", None)]
    pool.forget(callbacks["b"])
    pool.give(buffers[1])
    pool.give(buffers[2])
    assert lent[3:] == [("c", buffers[1])]
    assert pool.taken_count == RECEIPT_COUNT_MIN - 1


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("cut", [1, 100, 1 << 20])
@on_uvloop
async def test_blocks_that_have_no_buffer_wait_in_the_network_and_come_whole(
    sealed: bool, limited: bool, cut: int
) -> None:
    home, clock = Node("a", Blocks(6, 3000)), Clock()
    home.links.pool.most_count = 2
    if limited:
        home.links.download = Gate(clock, 1 << 30)
    manifest = home.owner.manifest
    papers = [await on_paper(home.links, name, sealed=sealed) for name in "uvwxyz"]
    parts = [in_parts(manifest, block, 1000, 1000) for block in range(6)]

    def feed(paper: Paper, data: bytes) -> None:
        paper.feed(data, cut)
        for one in papers * 3:
            clock.run_for(0.01)
            one.feed(b"", cut)
            assert home.links.pool.taken_count <= 2

    for paper, (first, *_) in zip(papers, parts, strict=True):
        feed(paper, first[:-1])  # the last byte is still on its way
    assert [paper.reading for paper in papers] == [True] * 2 + [False] * 4
    assert sum(paper.link.payload_bytes_in for paper in papers) == 2 * 999
    papers[3].link.close("it waited in vain")  # others get what it waited for
    for paper, (first, *others) in zip(papers, parts, strict=True):
        if not paper.gone:
            feed(paper, first[-1:] + b"".join(others) + frame.encode(NOTHING_NEW))
    assert sorted(home.owner.blocks) == [(block, manifest.data(block)) for block in (0, 1, 2, 4, 5)]
    assert home.links.pool.taken_count == 0


# -- the rooms


def test_the_rooms_of_links_import_in_one_direction_only_and_not_even_types_go_back() -> None:
    order = ["pool", "gate", "face", "outbox", "state", "link", "pairs"]
    rooms = {path.stem: ast.parse(path.read_text()) for path in Path(links.__file__).parent.glob("*.py")}
    assert rooms.keys() == {"__init__", *order}
    assert [
        f"{room} imports {node.module}"
        for room in order
        for node in ast.walk(rooms[room])
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minibit.actors.links.")
        if order.index((node.module or "").split(".")[-1]) >= order.index(room)
    ] == []
