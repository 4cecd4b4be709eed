"""The peer: a switchboard from events to effects.

It owns no algorithm. The exchange deals in blocks: its pipeline asks, its uploads serve, its announcer tells. The
membership calls the tracker, and the contacts know the neighbours. The peer itself lives by the table of
`minibit.life`, links and unlinks, and drops neighbours that break the protocol. It has no clock (time is an argument),
no chance beyond its seed, and never sees the bytes of a block: it sees indices and verdicts.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from minibit import events, inventory
from minibit.behaviour import Honest
from minibit.contacts import LONGEST_DIAL_S, Contacts, Need
from minibit.content import Content
from minibit.errors import RemoteError
from minibit.events import Effect, Event
from minibit.exchange import MOST_STRIKES, Exchange
from minibit.life import GONE, LEAVING, TRADING, Lifetime
from minibit.membership import Membership
from minibit.messages import NEWS, WHY_CHARACTERS, Desligamento, Estoque
from minibit.neighbour import Move, Neighbour, Slot, Standing
from minibit.records import PeerRecord, SampleRecord
from minibit.rules import Rules
from minibit.snapshots import PeerSnapshot

FAREWELL_S = 5.0  # for blocks that are being sent when a peer leaves


class Peer:
    """One member of the swarm. `held` is the inventory that it starts with; `seed` decides every draw.

    `known` are the blocks whose digests are known at the start (an inventory); None: all.
    """

    def __init__(
        self,
        name: str,
        content: Content,
        rules: Rules,
        seed: int | str = 0,
        *,
        held: int = inventory.EMPTY,
        known: int | None = None,
        behaviour: Honest | None = None,
    ) -> None:
        def chance(purpose: str) -> Random:
            return Random(f"{seed}/{name}/{purpose}")

        self.name = name
        self.content = content
        self.rules = rules
        self.behaviour = behaviour or Honest()
        self.leaving: str | None = None  # why, from the life's LEAVING on
        self.life = Lifetime(name)
        self._timers = self.life.timers
        self._effects = self.life.effects
        self.contacts = Contacts(name, rules, chance("contacts"))
        self._up = self.contacts.up
        self.exchange = Exchange(content, rules, chance, self.life, self._up, held, self.behaviour, known)
        self.membership = Membership(rules, self.contacts, self.life, self.missing, self._has_room)
        self.pipeline = self.exchange.pipeline
        self.uploads = self.exchange.uploads
        self.picker = self.exchange.picker
        self.choker = self.exchange.choker

    # the door

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take what happened at `now` (seconds, never going back); returns what the world must do, in order."""
        if self.life.stage is not GONE:
            _ON_EVENT[type(event)](self, event, now)
        return self._take_effects() if self._effects else []

    def next_wake(self) -> float | None:
        """When `wake` must be called, in the caller's seconds; None: not at all."""
        return None if self.life.stage is GONE else self._timers.next

    def wake(self, now: float) -> list[Effect]:
        """Do what is due at `now`."""
        if (due_s := self._timers.next) is not None and due_s <= now:
            self.exchange.announcer.woken(now - due_s)
        for timer in self._timers.pop(now):
            if not self.left:
                _ON_TIMER[timer](self, now)
        return self._take_effects()

    def expects(self, sender: str, block: int) -> bool:
        """Whether to verify and store the bytes of `block` that `sender` has sent, before `Arrived` says so."""
        neighbour = self._up.get(sender)
        return neighbour is not None and self.exchange.expects(neighbour, block)

    @property
    def started(self) -> bool:
        """Whether PEDIDOs have been allowed; true also while it leaves, and after."""
        return self.life.started

    @property
    def left(self) -> bool:
        """Whether nothing more comes from it."""
        return self.life.stage is GONE

    @property
    def held(self) -> int:
        """The inventory of the blocks that it holds."""
        return self.exchange.held

    @property
    def missing(self) -> int:
        """The inventory of the blocks that are not held, and can be had."""
        return self.exchange.missing

    @property
    def complete(self) -> bool:
        """Whether every block that can be had is held."""
        exchange = self.exchange
        return exchange.held | exchange.lost == exchange.all

    def _take_effects(self) -> list[Effect]:
        effects = self._effects[:]
        self._effects.clear()
        return effects

    # entering and leaving

    def _on_joining(self, event: events.Joining, now: float) -> None:
        if self.life.step(events.Joining):
            self._timers.set("round", now + self.rules.round_s)
            self.membership.join(event.address, now)

    def _on_starting(self, event: events.Starting, now: float) -> None:
        if self.life.step(events.Starting):
            self._note("started", now)
            self.exchange.pump(now)
            if self.complete:
                self._finish(now)

    def _finish(self, now: float) -> None:
        self._effects.append(events.Finish())
        self._note("completed", now)
        if self.rules.leave == "complete":
            self._on_leaving(events.Leaving("complete"), now)
        self.membership.offer(now)

    def _on_leaving(self, event: events.Leaving, now: float) -> None:
        if self.life.step(events.Leaving):
            self.leaving = event.why
            self.exchange.close(now)
            self._timers.set("farewell", now + FAREWELL_S)
            self._depart_if_idle(now)

    def _depart_if_idle(self, now: float) -> None:
        if self.life.stage is LEAVING and all(neighbour.sending is None for neighbour in self._up.values()):
            self._depart(now)

    def _depart(self, now: float) -> None:
        goodbye = Desligamento(peer=self.name, why=(self.leaving or "")[:WHY_CHARACTERS])
        self.membership.note(self._up, "lost", now)
        for neighbour in list(self._up.values()):
            self._effects.append(events.HangUp(neighbour.peer, goodbye))
            self.exchange.unlink(neighbour, now)
            self.contacts.move(neighbour, Move.LOSE, now)
        self._effects.append(events.Call(goodbye))
        self._note("left", now, goodbye.why)
        self._effects.append(events.Left(goodbye.why))
        self.life.step(events.Left)

    def _note(self, event: Any, now: float, why: str = "") -> None:
        self._effects.append(events.Note(PeerRecord(now, self.name, event, why)))

    def _round(self, now: float) -> None:
        self._timers.set("round", now + self.rules.round_s)
        self.membership.round(self.missing, self.exchange.availability.nobody, now)
        self.exchange.round(now)

    # links

    def _on_linked(self, event: events.Linked, now: float) -> None:
        if event.address.peer == self.name:
            self._hang_up(self.name, "that is my own id")
            return
        self.contacts.learn([event.address])
        neighbour = self.contacts.known[event.address.peer]
        if neighbour.standing is Standing.BANNED or self.life.stage is LEAVING:
            self._hang_up(neighbour.peer, "banned" if neighbour.standing is Standing.BANNED else "left")
            return
        if neighbour.up:
            return
        self.contacts.move(neighbour, Move.LINK, now)
        self.membership.note((neighbour.peer,), "linked", now)
        if self.contacts.crowded:
            need = self.membership.need_of(event)
            loser = self.contacts.to_drop(neighbour, self.held, need)
            self._hang_up(loser.peer, "full")
            self._lose(loser, "full", now)
            if loser is neighbour:
                return
            if need is Need.HUNGRY:
                self.membership.fed()
        self.exchange.welcome(neighbour)

    def _on_unlinked(self, event: events.Unlinked, now: float) -> None:
        neighbour = self.contacts.known.get(event.peer)
        if neighbour is not None and (neighbour.up or neighbour.standing is Standing.DIALLING):
            self._lose(neighbour, event.why, now)

    def _end_dials(self, now: float) -> None:
        """Give up the dials that the world does not answer."""
        for neighbour in self.contacts.overdue(now):
            self._lose(neighbour, f"no answer within {LONGEST_DIAL_S:g} s", now)
        self.membership.await_dials()

    def _lose(self, neighbour: Neighbour, why: str, now: float, move: Move = Move.LOSE) -> None:
        """The link, or the dial, is over."""
        if neighbour.up:
            self.membership.note((neighbour.peer,), "lost", now)
        self.exchange.unlink(neighbour, now)
        self.contacts.move(neighbour, move, now)
        self.contacts.failed(neighbour, why, now)
        self._depart_if_idle(now)
        if not self.left:
            self.membership.dial(now)
            self.exchange.pump(now)
            self.exchange.serve(now)
            self.membership.offer(now)

    def _drop(self, neighbour: Neighbour, why: str, now: float) -> None:
        """Hang up on a neighbour that broke the protocol; ban it if it sent too many wrong blocks."""
        self._hang_up(neighbour.peer, why)
        if neighbour.strikes < MOST_STRIKES:
            self._lose(neighbour, why, now)
        else:
            self._effects.append(events.Note(PeerRecord(now, neighbour.peer, "banned", f"by {self.name}")))
            self._lose(neighbour, why, now, Move.BAN)

    def _hang_up(self, peer: str, why: str) -> None:
        self._effects.append(events.HangUp(peer, Desligamento(why=why[:WHY_CHARACTERS])))

    # what comes by a link

    def _on_received(self, event: events.Received, now: float) -> None:
        sender, message = event.sender, event.message
        neighbour = self._up.get(sender)
        if type(message) in NEWS and (neighbour is None or sender == events.TRACKER):
            self.membership.hear(message, now)
            self.membership.offer(now)
        elif neighbour is None:
            return
        elif type(message) is Desligamento:  # `isinstance` of a Struct takes longer, and news comes very often
            self._effects.append(events.HangUp(sender, None))
            self._lose(neighbour, message.why, now)
            if message.peer == sender:
                self.contacts.forget(neighbour)
        else:
            try:
                self.exchange.receive(neighbour, message, now)
            except RemoteError as error:
                self._drop(neighbour, str(error), now)
            if type(message) is Estoque and self.complete:
                self.contacts.note(neighbour, sated=neighbour.theirs == self.held)
                self.membership.offer(now)

    def _has_room(self) -> bool:
        """Whether it is complete and could serve more neighbours."""
        return self.complete and self.behaviour.serves and self.uploads.has_room(self._up.values(), self.held)

    def _on_arrived(self, event: events.Arrived, now: float) -> None:
        if (neighbour := self._up.get(event.sender)) is not None:
            held = self.exchange.held
            try:
                self.exchange.arrived(neighbour, event, now)
            except RemoteError as error:
                self._drop(neighbour, str(error), now)
            if self.exchange.held != held and self.complete:
                self._finish(now)

    def _on_progressed(self, event: events.Progressed, now: float) -> None:
        if (neighbour := self._up.get(event.sender)) is not None:
            self.pipeline.heard(neighbour, now)

    def _on_sent(self, event: events.Sent, now: float) -> None:
        if (neighbour := self._up.get(event.peer)) is not None:
            self.exchange.sent(neighbour, event.block, now)
            self._depart_if_idle(now)

    def _on_lost(self, event: events.Lost, now: float) -> None:
        self.exchange.lose(event.block, now)
        self._depart_if_idle(now)

    def _on_known(self, event: events.Known, now: float) -> None:
        was_complete = self.complete
        self.exchange.know(event.known, event.held, now)
        if self.complete and not was_complete and self.life.stage is TRADING:
            self._finish(now)

    # looking

    def sample(self, now: float, sent_bytes: int, received_bytes: int, control_bytes: int) -> SampleRecord:
        """How far it is at `now`; the world counts the bytes, as `SampleRecord` says."""
        up = self.contacts.up.values()
        in_flight, served = len(self.pipeline.requesters), sum(neighbour.slot is not Slot.NONE for neighbour in up)
        count = self.held.bit_count()
        return SampleRecord(
            now, self.name, count, in_flight, len(up), served, sent_bytes, received_bytes, control_bytes
        )

    def snapshot(self, now: float) -> PeerSnapshot:
        """The state at `now`, as a frozen value."""
        return PeerSnapshot.of(self, now)

    def check(self) -> None:
        """Assert the invariants."""
        assert (self.leaving is not None) == (self.life.stage in (LEAVING, GONE))
        self.contacts.check()
        self.exchange.check()


_ON_EVENT: dict[type, Callable[..., None]] = {
    events.Joining: Peer._on_joining,
    events.Starting: Peer._on_starting,
    events.Leaving: Peer._on_leaving,
    events.Received: Peer._on_received,
    events.Linked: Peer._on_linked,
    events.Unlinked: Peer._on_unlinked,
    events.Arrived: Peer._on_arrived,
    events.Progressed: Peer._on_progressed,
    events.Sent: Peer._on_sent,
    events.Lost: Peer._on_lost,
    events.Known: Peer._on_known,
}

_ON_TIMER: dict[str, Callable[[Peer, float], None]] = {
    "announce": lambda peer, now: peer.exchange.announce(now),
    "dial": lambda peer, now: peer.membership.dial(now),
    "dialling": Peer._end_dials,
    "endgame": lambda peer, now: peer.exchange.endgame(now),
    "farewell": Peer._depart,
    "line": lambda peer, now: peer.exchange.advance(now),
    "offer": lambda peer, now: peer.membership.offer(now),
    "requests": lambda peer, now: peer.exchange.check_requests(now),
    "round": Peer._round,
    "tracker": lambda peer, now: peer.membership.call(now),
}
