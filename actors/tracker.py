"""The tracker as a Ray actor: the roster, alone, or with the seed that shares the content beside it in one process.

The seed is a peer like any other, with a `Source` for a store: it answers every call that a peer answers. The tracker
shares its mailbox. News of newcomers goes out by actor calls.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from minibit.actors.errands import Errands
from minibit.actors.peer import MemberStanding, PeerActor, Setup
from minibit.events import TRACKER, Effect, Received, Send
from minibit.mailbox import Mailbox
from minibit.messages import ListaPeers, Message, judged
from minibit.seat import Seat
from minibit.tracker import Tracker

log = logging.getLogger(__name__)


class RosterActor:
    """The tracker of a push: a roster and nothing else, so that another one can take its place at any time."""

    def __init__(self, seat: Seat, setup: Setup, host: str = "", path: str = "") -> None:
        self.tracker = Tracker(seat.rules, setup.seed)
        self._box = Mailbox()
        self._errands = Errands(setup.run, seat.name, lambda answer: None, self._fail)
        self._timer: asyncio.TimerHandle | None = None

    async def stop(self, erase: bool) -> None:
        """Tell nobody of newcomers any more."""
        if self._timer is not None:
            self._timer.cancel()
        await self._errands.close()

    async def roster(self) -> list[str]:
        """The peers that are in the swarm, as far as the tracker knows."""
        return sorted(self.tracker.roster)

    async def standing(self) -> MemberStanding:
        """A sign of life, as the members of a push give it."""
        return MemberStanding()

    async def registro(self, sender: str, message: Message) -> ListaPeers | None:
        """`sender` is there: the answer says which others are."""
        answer = self._hear(sender, judged(message))
        assert answer is None or isinstance(answer, ListaPeers)
        return answer

    async def desligamento(self, sender: str, message: Message) -> None:
        """`sender` leaves the swarm."""
        self._hear(sender, judged(message))

    # the tracker in the real world: its mailbox, its effects and its timer

    @property
    def _mailbox(self) -> Mailbox:
        return self._box

    def _fail(self, error: BaseException) -> None:
        """What becomes of a step that the tracker can't take."""
        log.error("the tracker can't go on", exc_info=error)

    def _tell(self, peer: str, message: Message) -> None:
        self._errands.say(peer, message)

    def _hear(self, sender: str, message: Message) -> Message | None:
        self._mailbox.came(sender, message, time.monotonic())
        return self._decide(self.tracker.handle, Received(sender, message), asker=sender)

    def _decide(self, step: Callable[..., list[Effect]], *event: Received, asker: str | None = None) -> Message | None:
        """Let the tracker take a step, and carry out its effects."""
        try:
            return self._carry_out(step(*event, time.monotonic()), asker)
        except Exception as error:
            self._fail(error)
            return None

    def _carry_out(self, effects: Iterable[Effect], asker: str | None = None) -> Message | None:
        """Send messages by actor calls; the one for the asker is the answer of its call."""
        answer = None
        for effect in effects:
            assert isinstance(effect, Send)
            self._mailbox.went(effect.peer, effect.message, time.monotonic())
            if effect.peer == asker:
                answer = effect.message
            else:
                self._tell(effect.peer, effect.message)
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


class TrackerActor(RosterActor):
    """The tracker of one run; the seed with this seat shares the file or folder at `path`."""

    def __init__(self, seat: Seat, setup: Setup, host: str, path: str) -> None:
        super().__init__(seat, setup)
        self.seed = PeerActor(seat, setup, host, path=path, outside=self)
        self._errands = self.seed.errands

    async def stop(self, erase: bool) -> None:
        """Let the seed leave, and tell nobody of newcomers any more."""
        await super().stop(erase)
        await self.seed.stop(erase)

    # what the seed can't reach by its links (`minibit.actors.node.Outside`)

    def call_tracker(self, message: Message) -> None:
        """The seed speaks to the tracker, which needs no call."""
        answer = self._hear(self.seed.name, message)
        if answer is not None:
            asyncio.get_running_loop().call_soon(self.seed.node.receive, TRACKER, answer)

    # what the two share

    @property
    def _mailbox(self) -> Mailbox:
        return self.seed.node.mailbox

    def _fail(self, error: BaseException) -> None:
        """The seed fails for both."""
        self.seed.node.fail(error)

    def _tell(self, peer: str, message: Message) -> None:
        if peer == self.seed.name:
            self.seed.node.receive(TRACKER, message)
        else:
            super()._tell(peer, message)


def _of_the_seed(method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    """An actor method that the seed answers."""

    async def ask(self: TrackerActor, *args: Any) -> Any:
        return await getattr(self.seed, method)(*args)

    return ask


for _name in (
    *("open", "give", "join", "start", "leave", "clock", "drain", "snapshot", "mailbox", "peek", "limit"),
    *("lista_peers", "novo_peer", "estoque", "bloqueio", "desbloqueio", "pedido", "parcel"),
):
    setattr(TrackerActor, _name, _of_the_seed(_name))
