"""The tracker as a Ray actor: the roster, and the seed that shares the content.

The seed is a peer like any other, with a `Source` for a store and the id `tracker`. What newcomers are told
goes out by actor calls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from minibit.actors.disk.source import Source
from minibit.actors.disk.store import Store
from minibit.actors.peer import PeerActor, Setup
from minibit.behaviour import Honest
from minibit.events import TRACKER, Effect, Received, Send
from minibit.messages import Desligamento, ListaPeers, Message, Registro
from minibit.tracker import Tracker


class TrackerActor(PeerActor):
    """The tracker of one run, which shares the content at `path`."""

    def __init__(self, setup: Setup, host: str, path: str) -> None:
        # the seed keeps the swarm alive: it stays, whatever peers do when they are complete
        rules = msgspec.structs.replace(setup.rules, leave="never")
        mine = msgspec.structs.replace(setup, rules=rules, upload_bps=setup.seed_upload_bps, download_bps=None)
        super().__init__(TRACKER, mine, host, Honest)
        self.tracker = Tracker(setup.rules, setup.seed)
        self._path = path
        self._timer: asyncio.TimerHandle | None = None

    def _check_room(self, copies: int) -> None:
        """The content is here already."""

    def _open_store(self) -> Store | Source:
        return Source(Path(self._path), self.setup.manifest)

    async def give(self, blocks: Iterable[int]) -> list[bytes]:
        """The bytes of blocks that a peer starts with."""
        length = self.setup.manifest.length
        return [self.node.store.read(block, 0, length(block)) for block in blocks]

    async def roster(self) -> list[str]:
        """The peers that are in the swarm, as far as the tracker knows."""
        return sorted(self.tracker.roster)

    async def registro(self, sender: str, message: Registro) -> ListaPeers | None:
        """`sender` is there: who else is."""
        answer = self._register(sender, message)
        assert answer is None or isinstance(answer, ListaPeers)
        return answer

    async def desligamento(self, sender: str, message: Desligamento, number: int | None = None) -> None:
        """`sender` leaves the swarm, or, with a number, its link to the seed."""
        if number is None:
            self._register(sender, message)
        else:
            self.node.receive(sender, message, number)

    async def stop(self, erase: bool) -> None:
        """Leave, and tell nobody of newcomers any more."""
        if self._timer is not None:
            self._timer.cancel()
        await super().stop(erase)

    def call_tracker(self, message: Message) -> None:
        """The seed's own REGISTRO needs no call."""
        answer = self._register(TRACKER, message)
        if answer is not None:
            asyncio.get_running_loop().call_soon(self.node.receive, TRACKER, answer)

    def _register(self, sender: str, message: Message) -> Message | None:
        now = time.monotonic()
        self.node.mailbox.came(sender, message, now)
        answers = self._carry_out(self.tracker.handle(Received(sender, message), now), sender)
        return answers[0] if answers else None

    def _carry_out(self, effects: Iterable[Effect], asker: str | None = None) -> list[Message]:
        """Tell everybody else by actor calls; what the asker is told is the answer of its call."""
        answers: list[Message] = []
        for effect in effects:
            assert isinstance(effect, Send)
            self.node.mailbox.went(effect.peer, effect.message, time.monotonic())
            if effect.peer == asker:
                answers.append(effect.message)
            elif effect.peer == TRACKER:
                self.node.receive(TRACKER, effect.message)
            else:
                self._call_peer(effect.peer, effect.message)
        self._set_timer()
        return answers

    def _set_timer(self) -> None:
        wake_at = self.tracker.next_wake()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake_at is not None:
            delay_s = max(0.0, wake_at - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._carry_out(self.tracker.wake(time.monotonic()))
