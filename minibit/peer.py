"""The peer: a switchboard from events to effects.

It owns no algorithm: the exchange deals in blocks (its pipeline asks, its uploads serve, its announcer tells),
the contacts know whom there is. The peer itself comes and goes: it enters by the tracker, links and is linked,
drops who misbehaves, and leaves. It has no clock (time is an argument), no chance beyond its seed, and never
sees the bytes of a block: it sees indices and verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from random import Random
from typing import Any, Literal

from minibit import events, inventory
from minibit.behaviour import Honest
from minibit.choker import Choker
from minibit.contacts import Contacts
from minibit.content import Content
from minibit.errors import RemoteError
from minibit.events import Effect, Event
from minibit.exchange import MOST_STRIKES, Exchange
from minibit.messages import Desligamento, ListaPeers, NovoPeer, PeerAddress, Registro
from minibit.neighbour import Move, Neighbour, Standing
from minibit.picker import Picker
from minibit.records import LinkRecord, PeerRecord
from minibit.rules import Rules
from minibit.timers import Timers

LONGEST_PAUSE_S = 60.0  # between two tries to reach the tracker
FAREWELL_S = 5.0  # for blocks that are being sent when a peer leaves


class Peer:
    """One member of the swarm. `held` is the inventory that it starts with; `seed` decides its chance."""

    def __init__(
        self,
        name: str,
        content: Content,
        rules: Rules,
        seed: int | str = 0,
        *,
        held: int = inventory.EMPTY,
        behaviour: Honest | None = None,
        picker: type[Picker] | None = None,
        choker: type[Choker] | None = None,
    ) -> None:
        def chance(purpose: str) -> Random:
            return Random(f"{seed}/{name}/{purpose}")

        self.name = name
        self.content = content
        self.rules = rules
        self.behaviour = behaviour or Honest()
        self.address: PeerAddress | None = None
        self.started = False
        self.completed = False
        self.leaving: str | None = None
        self.left = False
        self._starved_rounds = 0
        self._hungry_rounds = 0
        self._held_last_round = held
        self._called_at = -inf
        self._pause_s = rules.retry_s
        self._timers = Timers()
        self._effects: list[Effect] = []
        self.contacts = Contacts(name, rules, chance("contacts"))
        self._up = self.contacts.up
        self.exchange = Exchange(
            name,
            content,
            rules,
            chance,
            held=held,
            behaviour=self.behaviour,
            picker=picker,
            choker=choker,
            up=self._up,
            timers=self._timers,
            effects=self._effects,
        )
        self.availability = self.exchange.availability
        self.pipeline = self.exchange.pipeline
        self.uploads = self.exchange.uploads
        self.picker = self.exchange.picker
        self.choker = self.exchange.choker

    # the door

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take what happened at `now` (seconds, never going back); what the world must do, in order."""
        if not self.left:
            _ON_EVENT[type(event)](self, event, now)
        return self._take_effects() if self._effects else []

    def next_wake(self) -> float | None:
        """When `wake` must be called; None for not at all."""
        return None if self.left else self._timers.next

    def wake(self, now: float) -> list[Effect]:
        """Do what is due at `now`."""
        for timer in self._timers.pop(now):
            if not self.left:
                _ON_TIMER[timer](self, now)
        return self._take_effects()

    def expects(self, sender: str, block: int) -> bool:
        """Whether the bytes of `block` are worth verifying and storing, when `sender` sends them."""
        neighbour = self._up.get(sender)
        return neighbour is not None and self.exchange.expects(neighbour, block)

    @property
    def held(self) -> int:
        """The inventory."""
        return self.exchange.held

    @property
    def missing(self) -> int:
        """The inventory of the blocks that are not held."""
        return self.exchange.missing

    @property
    def complete(self) -> bool:
        """Whether every block is held."""
        return not self.exchange.missing

    def _take_effects(self) -> list[Effect]:
        effects = self._effects[:]
        self._effects.clear()
        return effects

    # entering and leaving

    def _on_joining(self, event: events.Joining, now: float) -> None:
        self.address = event.address
        self._timers.set("round", now + self.rules.round_s)
        self._call_tracker(now)

    def _on_starting(self, event: events.Starting, now: float) -> None:
        self.started = True
        self._note("started", now)
        self.exchange.start(now)
        self._finish_if_complete(now)

    def _finish_if_complete(self, now: float) -> None:
        if self.complete and not self.completed:
            self.completed = True
            self._note("completed", now)
            self._effects.append(events.Finish())
            if self.rules.leave == "complete":
                self._on_leaving(events.Leaving("complete"), now)

    def _on_leaving(self, event: events.Leaving, now: float) -> None:
        if self.leaving is None:
            self.leaving = event.why
            self.exchange.close(now)
            self._timers.set("farewell", now + FAREWELL_S)
            self._depart_if_idle(now)

    def _depart_if_idle(self, now: float) -> None:
        if self.leaving is not None and not self.exchange.sending:
            self._depart(now)

    def _depart(self, now: float) -> None:
        goodbye = Desligamento(peer=self.name, why=self.leaving or "")
        self._note_links(self._up, "lost", now)
        for neighbour in list(self._up.values()):
            self._effects.append(events.HangUp(neighbour.peer, goodbye))
            self.exchange.part(neighbour, now)
            self.contacts.move(neighbour, Move.LOSE)
        self._effects.append(events.Call(goodbye))
        self._note("left", now, goodbye.why)
        self._effects.append(events.Left(goodbye.why))
        self.left = True

    def _note(self, event: Any, now: float, why: str = "") -> None:
        self._effects.append(events.Note(PeerRecord(now, self.name, event, why)))

    def _note_links(
        self, neighbours: Iterable[str], event: Literal["listed", "announced", "linked", "lost"], now: float
    ) -> None:
        self._effects += [events.Note(LinkRecord(now, self.name, neighbour, event)) for neighbour in neighbours]

    # the tracker, and whom to know

    def _call_tracker(self, now: float) -> None:
        me = self.address
        if me is None:  # whatever was heard by hand: who has not joined has no address to tell
            return
        if self._alone:  # one more each time, and not all at once: at the start of a large swarm everybody is
            self._dial(now, one_more=True)
        self._effects.append(events.Call(Registro(peer=me.peer, host=me.host, port=me.port, alone=self._alone)))
        self._called_at = now
        # taken for lost until LISTA_PEERS comes: a tracker that is gone is asked again, ever more rarely
        self._timers.set("tracker", now + self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    @property
    def _alone(self) -> bool:
        """Whether nobody could feed us for a whole round, or nobody did for long."""
        return self._starved_rounds > 1 or self._hungry

    @property
    def _hungry(self) -> bool:
        """Whether nobody fed us for as long as two guests keep their slot, whatever they say that they hold."""
        return self._hungry_rounds > 2 * (self.rules.guest_rounds + 1)

    def _round(self, now: float) -> None:
        self._timers.set("round", now + self.rules.round_s)
        self._starved_rounds = self._starved_rounds + 1 if self.exchange.starving else 0
        hungry = self.started and not self.complete and self.held == self._held_last_round
        self._hungry_rounds = self._hungry_rounds + 1 if hungry else 0
        self._held_last_round = self.held
        if self._alone:
            self._timers.set_earlier("tracker", max(now, self._called_at + self._pause_s))
        self.exchange.round(now)

    def _on_lista_peers(self, sender: str, message: ListaPeers, now: float) -> None:
        if not self._alone:
            self._pause_s = self.rules.retry_s
        self._timers.set("tracker", now + self.rules.tracker_s)
        self._note_links((address.peer for address in message.peers), "listed", now)
        self._meet(message.peers, now)

    def _on_novo_peer(self, sender: str, message: NovoPeer, now: float) -> None:
        self._note_links((address.peer for address in message.peers), "announced", now)
        self._meet(message.peers, now)

    def _on_registro(self, sender: str, message: Registro, now: float) -> None:
        self._meet((PeerAddress(message.peer, message.host, message.port),), now)

    def _meet(self, addresses: tuple[PeerAddress, ...], now: float) -> None:
        self.contacts.learn(addresses)
        self._dial(now)

    def _dial(self, now: float, *, one_more: bool = False) -> None:
        if self.leaving is not None or self.address is None:
            return
        found, again_at = self.contacts.to_dial(now, one_more=one_more)
        for neighbour in found:
            self.contacts.move(neighbour, Move.DIAL)
            self._effects.append(events.Dial(neighbour.address, self._alone))
        if again_at is not None:
            self._timers.set_earlier("dial", again_at)

    # links

    def _on_linked(self, event: events.Linked, now: float) -> None:
        if event.address.peer == self.name:
            self._hang_up(self.name, "that is my own id")
            return
        self.contacts.learn([event.address])
        neighbour = self.contacts.known[event.address.peer]
        if neighbour.standing is Standing.BANNED or self.leaving is not None:
            self._hang_up(neighbour.peer, "banned" if neighbour.standing is Standing.BANNED else "left")
            return
        if neighbour.up:
            return
        self.contacts.move(neighbour, Move.LINK)
        self._note_links((neighbour.peer,), "linked", now)
        if self.contacts.crowded:
            hungry = self._hungry
            needy = hungry or event.alone or (event.dialled and self._alone)
            loser = self.contacts.to_drop(neighbour, self.held, needy=needy, hungry=hungry)
            self._hang_up(loser.peer, "full")
            self._lose(loser, now)
            if loser is neighbour:
                return
            if hungry:
                self._hungry_rounds = 0  # the newcomer has as long to feed us
        self.exchange.welcome(neighbour)

    def _on_unlinked(self, event: events.Unlinked, now: float) -> None:
        neighbour = self.contacts.known.get(event.peer)
        if neighbour is not None and (neighbour.up or neighbour.standing is Standing.DIALLING):
            self._lose(neighbour, now)

    def _lose(self, neighbour: Neighbour, now: float, move: Move = Move.LOSE) -> None:
        """The link, or the try, is over."""
        if neighbour.up:
            self._note_links((neighbour.peer,), "lost", now)
        self.exchange.part(neighbour, now)
        self.contacts.move(neighbour, move)
        self.contacts.failed(neighbour, now)
        self._depart_if_idle(now)
        if not self.left:
            self._dial(now)
            self.exchange.pump(now)
            self.exchange.serve(now)

    def _drop(self, neighbour: Neighbour, why: str, now: float) -> None:
        """It broke the protocol; or it sent too many wrong blocks, and then for good."""
        self._hang_up(neighbour.peer, why)
        if neighbour.strikes < MOST_STRIKES:
            self._lose(neighbour, now)
        else:
            self._effects.append(events.Note(PeerRecord(now, neighbour.peer, "banned", f"by {self.name}")))
            self._lose(neighbour, now, Move.BAN)

    def _hang_up(self, peer: str, why: str) -> None:
        self._effects.append(events.HangUp(peer, Desligamento(why=why)))

    # what comes by a link

    def _on_received(self, event: events.Received, now: float) -> None:
        sender, message = event.sender, event.message
        if (on_news := _ON_NEWS.get(type(message))) is not None:
            on_news(self, sender, message, now)
        elif (neighbour := self._up.get(sender)) is None:
            return
        elif isinstance(message, Desligamento):
            self._effects.append(events.HangUp(sender, None))
            self._lose(neighbour, now)
            if message.peer == sender:
                self.contacts.forget(neighbour)
        else:
            try:
                self.exchange.receive(neighbour, message, now)
            except RemoteError as error:
                self._drop(neighbour, str(error), now)

    def _on_arrived(self, event: events.Arrived, now: float) -> None:
        if (neighbour := self._up.get(event.sender)) is not None:
            try:
                self.exchange.arrived(neighbour, event.block, event.ok, now)
            except RemoteError as error:
                self._drop(neighbour, str(error), now)
            self._finish_if_complete(now)

    def _on_progressed(self, event: events.Progressed, now: float) -> None:
        if (neighbour := self._up.get(event.sender)) is not None:
            neighbour.heard_at = now

    def _on_sent(self, event: events.Sent, now: float) -> None:
        if (neighbour := self._up.get(event.peer)) is not None:
            self.exchange.sent(neighbour, event.block, now)
            self._depart_if_idle(now)

    # looking

    def snapshot(self) -> dict[str, Any]:
        """The state, as plain values."""
        return {
            "peer": self.name,
            "behaviour": type(self.behaviour).__name__,
            "blocks": self.content.block_count,
            "held": self.held.bit_count(),
            "in_flight": sorted(self.pipeline.requesters),
            "complete": self.complete,
            "started": self.started,
            "leaving": self.leaving,
            "inventory": inventory.to_hex(self.held),
            "fixed": list(self.choker.fixed),
            "guests": dict(self.choker.guests),
            "neighbours": {peer: neighbour.snapshot() for peer, neighbour in self.contacts.known.items()},
        }

    def check(self) -> None:
        """Assert the invariants."""
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
}

# what concerns the swarm may come from the tracker, or from a notebook's hand; no link is needed
_ON_NEWS: dict[type, Callable[..., None]] = {
    Registro: Peer._on_registro,
    ListaPeers: Peer._on_lista_peers,
    NovoPeer: Peer._on_novo_peer,
}

_ON_TIMER: dict[str, Callable[[Peer, float], None]] = {
    "announce": lambda peer, now: peer.exchange.announce(now),
    "dial": Peer._dial,
    "endgame": lambda peer, now: peer.exchange.endgame(now),
    "farewell": Peer._depart,
    "requests": lambda peer, now: peer.exchange.check_requests(now),
    "round": Peer._round,
    "tracker": Peer._call_tracker,
}
