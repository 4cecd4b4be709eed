"""The tracker as a Ray actor: the roster, and beside it, in the same process, the seed that shares the content.

The seed is a peer like any other, with a `Source` for a store, and the tracker shares its mailbox. News of newcomers
goes out by actor calls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from minibit.actors.peer import PeerActor, Setup
from minibit.events import TRACKER, Effect, Received, Send
from minibit.messages import ListaPeers, Message
from minibit.seat import Seat
from minibit.tracker import Tracker


class TrackerActor(PeerActor):
    """The tracker of one run, and the seed with this seat, which shares the file or folder at `path`."""

    def __init__(self, seat: Seat, setup: Setup, host: str, path: str) -> None:
        super().__init__(seat, setup, host, path=path)
        self.tracker = Tracker(seat.rules, setup.seed)
        self._timer: asyncio.TimerHandle | None = None

    async def stop(self, erase: bool) -> None:
        """Let the seed leave, and tell nobody of newcomers any more."""
        if self._timer is not None:
            self._timer.cancel()
        await super().stop(erase)

    async def roster(self) -> list[str]:
        """The peers that are in the swarm, as far as the tracker knows."""
        return sorted(self.tracker.roster)

    async def registro(self, sender: str, message: Message, number: int | None = None) -> ListaPeers | None:
        """`sender` is there: the answer says which others are."""
        answer = self._ask(sender, message)
        assert answer is None or isinstance(answer, ListaPeers)
        return answer

    async def desligamento(self, sender: str, message: Message, number: int | None = None) -> None:
        """`sender` leaves the swarm, or, with a number, its link to the seed."""
        if number is None:
            self._ask(sender, message)
        else:
            await self.hear(sender, message, number)

    # what the seed can't reach by its links (`minibit.actors.node.Outside`)

    def call_tracker(self, message: Message) -> None:
        """The seed speaks to the tracker, which needs no call."""
        answer = self._ask(self.name, message)
        if answer is not None:
            asyncio.get_running_loop().call_soon(self.node.receive, TRACKER, answer)

    # the tracker in the real world: its effects and its timer

    def _ask(self, sender: str, message: Message) -> Message | None:
        now = time.monotonic()
        self.node.mailbox.came(sender, message, now)
        return self._carry_out(self.tracker.handle(Received(sender, message), now), sender)

    def _carry_out(self, effects: Iterable[Effect], asker: str | None = None) -> Message | None:
        """Send messages by actor calls; the one for the asker is the answer of its call."""
        answer = None
        for effect in effects:
            assert isinstance(effect, Send)
            self.node.mailbox.went(effect.peer, effect.message, time.monotonic())
            if effect.peer == asker:
                answer = effect.message
            elif effect.peer == self.name:
                self.node.receive(TRACKER, effect.message)
            else:
                self.call_peer(effect.peer, effect.message)
        self._set_timer()
        return answer

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
