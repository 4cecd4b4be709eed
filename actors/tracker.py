"""The tracker as a Ray actor: the roster, and beside it, in the same process, the seed that shares the content.

The seed is a peer like any other, with a `Source` for a store: it answers every call that a peer answers. The tracker
shares its mailbox. News of newcomers goes out by actor calls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from minibit.actors.peer import PeerActor, Setup
from minibit.events import TRACKER, Effect, Received, Send
from minibit.messages import ListaPeers, Message, judged
from minibit.seat import Seat
from minibit.tracker import Tracker


class TrackerActor:
    """The tracker of one run; the seed with this seat shares the file or folder at `path`."""

    def __init__(self, seat: Seat, setup: Setup, host: str, path: str) -> None:
        self.tracker = Tracker(seat.rules, setup.seed)
        self.seed = PeerActor(seat, setup, host, path=path, outside=self)
        self._timer: asyncio.TimerHandle | None = None

    async def stop(self, erase: bool) -> None:
        """Let the seed leave, and tell nobody of newcomers any more."""
        if self._timer is not None:
            self._timer.cancel()
        await self.seed.stop(erase)

    async def roster(self) -> list[str]:
        """The peers that are in the swarm, as far as the tracker knows."""
        return sorted(self.tracker.roster)

    async def registro(self, sender: str, message: Message, number: int | None = None) -> ListaPeers | None:
        """`sender` is there: the answer says which others are."""
        answer = self._hear(sender, judged(message))
        assert answer is None or isinstance(answer, ListaPeers)
        return answer

    async def desligamento(self, sender: str, message: Message, number: int | None = None) -> None:
        """`sender` leaves the swarm, or, with a number, its link to the seed."""
        if number is None:
            self._hear(sender, judged(message))
        else:
            await self.seed.hear(sender, message, number)

    # what the seed can't reach by its links (`minibit.actors.node.Outside`)

    def call_tracker(self, message: Message) -> None:
        """The seed speaks to the tracker, which needs no call."""
        answer = self._hear(self.seed.name, message)
        if answer is not None:
            asyncio.get_running_loop().call_soon(self.seed.node.receive, TRACKER, answer)

    def call_peer(self, peer: str, message: Message, number: int) -> None:
        """The seed says the `number`th message to another peer."""
        self.seed.call_peer(peer, message, number)

    # the tracker in the real world: its effects and its timer

    def _hear(self, sender: str, message: Message) -> Message | None:
        self.seed.node.mailbox.came(sender, message, time.monotonic())
        return self._decide(self.tracker.handle, Received(sender, message), asker=sender)

    def _decide(self, step: Callable[..., list[Effect]], *event: Received, asker: str | None = None) -> Message | None:
        """Let the tracker take a step, and carry out its effects; if it can't, the seed fails for both."""
        try:
            return self._carry_out(step(*event, time.monotonic()), asker)
        except Exception as error:
            self.seed.node.fail(error)
            return None

    def _carry_out(self, effects: Iterable[Effect], asker: str | None = None) -> Message | None:
        """Send messages by actor calls; the one for the asker is the answer of its call."""
        answer = None
        for effect in effects:
            assert isinstance(effect, Send)
            self.seed.node.mailbox.went(effect.peer, effect.message, time.monotonic())
            if effect.peer == asker:
                answer = effect.message
            elif effect.peer == self.seed.name:
                self.seed.node.receive(TRACKER, effect.message)
            else:
                self.seed.call_peer(effect.peer, effect.message)
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
        self._decide(self.tracker.wake)


def _of_the_seed(method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    """An actor method that the seed answers."""

    async def ask(self: TrackerActor, *args: Any) -> Any:
        return await getattr(self.seed, method)(*args)

    return ask


for _name in (
    *("open", "give", "join", "start", "leave", "clock", "drain", "snapshot", "mailbox", "peek", "limit"),
    *("lista_peers", "novo_peer", "estoque", "bloqueio", "desbloqueio", "pedido"),
):
    setattr(TrackerActor, _name, _of_the_seed(_name))
