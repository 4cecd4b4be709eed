"""A whole swarm in one process: real nodes, real sockets on loopback, real files, and no Ray."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from actors import content
from actors.node import Node
from actors.store import Source, Store
from minibit.events import TRACKER, Received, Send
from minibit.manifest import Manifest
from minibit.messages import Message
from minibit.records import BlockRecord, Record
from minibit.rules import Rules
from minibit.tracker import Tracker

KEY = b"the key of this swarm, 32 bytes."
FAST = Rules(round_s=0.5, announce_s=0.01, request_timeout_s=2.0, retry_s=0.1)


class LocalOutside:
    """Carries what goes by actor calls in the real thing: a call on the loop's next turn."""

    def __init__(self, swarm: Loopback, name: str) -> None:
        self._swarm = swarm
        self._name = name

    def call_tracker(self, message: Message) -> None:
        asyncio.get_running_loop().call_soon(self._swarm.ask_tracker, self._name, message)

    def call_peer(self, peer: str, message: Message, number: int) -> None:
        if (node := self._swarm.nodes.get(peer)) is not None:
            asyncio.get_running_loop().call_soon(node.receive, self._name, message, number)


class Loopback:
    """Use as `async with Loopback(path, tmp_path) as swarm`."""

    def __init__(self, path: Path, folder: Path, *, rules: Rules = FAST, block_bytes: int = 16384, seed: int = 1):
        self.path = path
        self.folder = folder
        self.rules = rules
        self.seed = seed
        self.manifest: Manifest = content.scan(path, block_bytes)
        self.tracker = Tracker(rules, seed)
        self.nodes: dict[str, Node] = {}
        self.records: list[Record] = []

    async def __aenter__(self) -> Loopback:
        await self.seat(TRACKER, Source(self.path, self.manifest))
        return self

    async def __aexit__(self, *problem: object) -> None:
        await asyncio.gather(*(node.stop() for node in self.nodes.values()))

    async def seat(self, name: str, store: Store | Source | None = None, start: bool = True, **options: Any) -> Node:
        """One more node, which joins at once."""
        store = store or Store.open(self.folder / name, self.manifest)
        options = {"rules": self.rules, "seed": self.seed, "key": KEY} | options
        node = Node(name, self.manifest, store, LocalOutside(self, name), **options)
        self.nodes[name] = node
        await node.serve()
        node.join()
        if start:
            node.start()
        return node

    def ask_tracker(self, sender: str, message: Message) -> None:
        """The tracker hears, and its answers go out."""
        for effect in self.tracker.handle(Received(sender, message), time.monotonic()):
            assert isinstance(effect, Send)
            if effect.peer in self.nodes:
                self.nodes[effect.peer].receive(TRACKER, effect.message)

    async def until(self, done: Any, limit_s: float = 30.0) -> None:
        """Wait until `done()`, looking again whenever the loop had a turn; `TimeoutError` after `limit_s`."""
        async with asyncio.timeout(limit_s):
            while not done():
                await asyncio.sleep(0.005)

    async def until_complete(self, *names: str, limit_s: float = 30.0) -> None:
        """Wait until these nodes, or all, hold everything."""
        waited_for = names or tuple(self.nodes)
        await self.until(lambda: all(self.nodes[name].peer.complete for name in waited_for), limit_s)

    def arrivals(self) -> list[BlockRecord]:
        """All blocks that arrived, as the nodes noted them."""
        for node in self.nodes.values():
            self.records += node.drain()
        return [record for record in self.records if isinstance(record, BlockRecord)]
