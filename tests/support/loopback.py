"""A whole swarm in one process: real nodes, real sockets on loopback, real files, and no Ray."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import msgspec
import uvloop
from disk import opened
from seats import name_of

from minibit import inventory, strategies
from minibit.actors.disk import files
from minibit.actors.disk.source import Source
from minibit.actors.disk.store import Store
from minibit.actors.node import Node
from minibit.behaviour import Honest
from minibit.events import TRACKER, Effect, Received, Send
from minibit.life import Life
from minibit.manifest import Manifest
from minibit.messages import Message
from minibit.records import BlockRecord, PeerRecord, Record
from minibit.rules import Rules
from minibit.seat import Seat, lowest
from minibit.tracker import Tracker

KEY = b"the key of this swarm, 32 bytes."
FAST = Rules(round_s=0.2, announce_s=0.01, request_timeout_s=2.0, retry_s=0.1)
BOUND_S = 60.0  # for a test, or a wait in it: never what it takes, only what a busy machine may take
BLOCK_BYTES = 16384


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on a fresh uvloop. No error may reach the loop, no task or open file may stay."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        caught: list[dict[str, Any]] = []

        async def bounded() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context))
            async with asyncio.timeout(BOUND_S):
                await test(*args, **kwargs)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, left

        uvloop.new_event_loop().close()  # the first one opens a pipe that stays
        before = open_files()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(bounded())
        left_open = open_files() - before
        assert not caught, caught
        assert not left_open, left_open

    return run


def open_files() -> set[str]:
    """Files and sockets that this process has open."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists
            found.add(f"{descriptor.name}: {descriptor.readlink()}")
    return found


def tree(path: Path) -> dict[str, tuple[int, bytes]]:
    """Every file at or below `path`: its mode and its bytes."""
    files = [path] if path.is_file() else sorted(found for found in path.rglob("*") if found.is_file())
    return {str(file.relative_to(path)): (file.stat().st_mode & 0o777, file.read_bytes()) for file in files}


class LocalOutside:
    """Carries what goes by actor calls in the real thing: a call on the loop's next turn."""

    def __init__(self, swarm: Loopback, name: str) -> None:
        self._swarm = swarm
        self._name = name

    def call_tracker(self, message: Message) -> None:
        asyncio.get_running_loop().call_soon(self._swarm.ask_tracker, self._name, message)

    async def carry(self, peer: str, parcel: bytes) -> bytes | None:
        await asyncio.sleep(0)
        if (node := self._swarm.nodes.get(peer)) is None:
            return None
        assert node.post is not None
        return node.post.hear(self._name, parcel)


class TroubledOutside(LocalOutside):
    """Calls and answers take any time, some are lost, and are made again; some come twice, and late."""

    def __init__(self, swarm: Loopback, name: str) -> None:
        super().__init__(swarm, name)
        self._rng = Random(name)
        self.lost = self.twice = 0

    async def carry(self, peer: str, parcel: bytes) -> bytes | None:
        while True:
            await asyncio.sleep(self._rng.random() * 0.004)
            answer = await super().carry(peer, parcel)
            await asyncio.sleep(self._rng.random() * 0.004)
            fate = self._rng.random()
            if fate < 0.1:  # a copy, which nobody waits for, comes after this one, and perhaps after the next
                self.twice += 1
                asyncio.get_running_loop().call_later(self._rng.random() * 0.01, self._come_late, peer, parcel)
            if fate < 0.8 or answer is None:
                return answer
            self.lost += 1

    def _come_late(self, peer: str, parcel: bytes) -> None:
        if (node := self._swarm.nodes.get(peer)) is not None and node.post is not None:
            node.post.hear(self._name, parcel)


class Loopback:
    """Use as `async with Loopback(path, tmp_path) as swarm`; the seed is there from the start."""

    def __init__(
        self,
        path: Path,
        folder: Path,
        *,
        rules: Rules = FAST,
        block_bytes: int = BLOCK_BYTES,
        seed: int = 1,
        by_actor_calls: bool = False,
        seals: bool = True,
        outside: type[LocalOutside] = LocalOutside,
        hashed: bool = True,
        **of_the_seed: Any,
    ) -> None:
        self.path = path
        self.folder = folder
        self.rules = rules
        self.seed = seed
        self.manifest: Manifest = files.scan(path, block_bytes)
        given = self.manifest if hashed else files.unhashed(path, block_bytes, "blake3")[0]
        self.given = given  # what the nodes know at first
        self.tracker = Tracker(rules, seed)
        self.nodes: dict[str, Node] = {}
        self.outsides: dict[str, LocalOutside] = {}
        self._by_actor_calls = by_actor_calls
        self._seals = seals
        self._outside = outside
        self._of_the_seed = of_the_seed
        self._records: list[Record] = []
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Loopback:
        await self.seat(TRACKER, Source(self.path, self.given), seeds=True, **self._of_the_seed)
        return self

    async def __aexit__(self, *problem: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*(self.stop(name) for name in list(self.nodes)))

    # the swarm's life

    async def seat(
        self, name: str, store: Store | Source | None = None, *, start: bool = True, key: bytes = KEY, **options: Any
    ) -> Node:
        """One more node, which joins at once; `options` are those of its seat, with strategies as classes."""
        store = store or opened(self.folder / name, self.given)
        self.outsides[name] = self._outside(self, name)
        rules, behaviour = options.pop("rules", self.rules), options.pop("behaviour", Honest)
        options["upload_bps"] = lowest(options.get("upload_bps"), behaviour.upload_bps)
        own = {kind: f"mine:{kind.title()}" for kind in ("picker", "choker") if kind in options}
        rules = msgspec.structs.replace(rules, **own)
        with patch.dict(strategies.SHIPPED, {own[kind]: options.pop(kind) for kind in own}):
            node = Node(
                Seat(name=name, rules=rules, behaviour=name_of(behaviour), **options),
                self.given,
                store,
                self.outsides[name],
                seed=self.seed,
                key=key,
                carry=self.outsides[name].carry if self._by_actor_calls else None,
                seals=self._seals,
            )
        self.nodes[name] = node
        await node.serve()
        node.join()
        if start:
            node.start()
        return node

    async def seat_many(self, count: int, **options: Any) -> list[Node]:
        """`count` nodes called peer-1 and so on, which start together."""
        nodes = [await self.seat(f"peer-{index + 1}", start=False, **options) for index in range(count)]
        for node in nodes:
            node.start()
        return nodes

    async def stop(self, name: str) -> None:
        """Its end in good order."""
        node = self.nodes.pop(name)
        self._records += node.drain()
        await node.stop()
        self._records += node.drain()

    async def crash(self, name: str) -> None:
        """Its end without a word, as by a power cut: connections break, and nothing is said or saved."""
        node = self.nodes.pop(name)
        self._records += node.drain()
        node.peer.life.stage = Life.GONE  # it hears and says nothing from now on
        node.stopped.set()
        for link in node.links:
            link.close("crashed")
        await node.stop()

    def ask_tracker(self, sender: str, message: Message) -> None:
        """The tracker hears, and its answers go out."""
        self._carry_out(self.tracker.handle(Received(sender, message), time.monotonic()))

    def _wake_tracker(self) -> None:
        self._carry_out(self.tracker.wake(time.monotonic()))

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            assert isinstance(effect, Send)
            if effect.peer in self.nodes:
                self.nodes[effect.peer].receive(TRACKER, effect.message)
        if self._timer is not None:
            self._timer.cancel()
        if (wake_at := self.tracker.next_wake()) is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, wake_at - time.monotonic()), self._wake_tracker)

    # waiting and looking

    @property
    def peers(self) -> dict[str, Node]:
        """All nodes but the seed."""
        return {name: node for name, node in self.nodes.items() if name != TRACKER}

    async def until(self, done: Callable[[], Any], limit_s: float = BOUND_S) -> None:
        """Wait until `done()`, looking again whenever the loop had a turn; `TimeoutError` after `limit_s`."""
        async with asyncio.timeout(limit_s):
            while not done():
                await asyncio.sleep(0.002)

    async def until_complete(self, *names: str) -> None:
        """Wait until these nodes, or all, hold everything."""
        waited_for = names or tuple(self.nodes)
        await self.until(lambda: all(self.nodes[name].peer.complete for name in waited_for))

    def records(self) -> list[Record]:
        """All records so far, of nodes that are gone too."""
        for node in self.nodes.values():
            self._records += node.drain()
        return self._records

    def arrivals(self) -> list[BlockRecord]:
        """All blocks that arrived, as the nodes noted them."""
        return [record for record in self.records() if isinstance(record, BlockRecord)]

    def lives(self, event: str) -> list[PeerRecord]:
        """What the nodes noted of such events."""
        return [record for record in self.records() if isinstance(record, PeerRecord) and record.event == event]

    # checking

    def copy(self, name: str) -> Path:
        """Where the finished copy of a peer lies."""
        return self.folder / name / self.manifest.name

    def check_copies(self, *names: str) -> None:
        """Assert that these peers, or all, have finished copies that are the content, byte for byte."""
        expected = tree(self.path)
        for name in names or self.peers:
            assert tree(self.copy(name)) == expected, name
            there = sorted(path.name for path in (self.folder / name).iterdir())
            assert there == [self.manifest.name, f"{self.manifest.name}.minibit"]

    def check(self) -> None:
        """Assert what holds at any moment: each core's invariants, and that every block held is the right one."""
        for node in self.nodes.values():
            node.peer.check()
            assert node.peer.held == node.store.held
            if isinstance(node.store, Store):
                for block in inventory.indices(node.peer.held):
                    assert node.store.verify(block, node.store.read(block))
