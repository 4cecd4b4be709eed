"""The peer: a switchboard from events to effects.

It owns no algorithm: the pipeline asks (its picker says what), the uploads serve (their choker says whom), the
announcer tells, the contacts know. It has no clock (time is an argument), no chance beyond its seed, and
never sees the bytes of a block: it sees indices and verdicts.

Invariant (`check`): every block is in exactly one of held, in flight, missing; what neighbours were asked is
what is in flight; nobody is served beyond the slots; nothing is announced that is not held, unless the peer
is a liar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from random import Random
from typing import Any, Protocol

from minibit import announcer, events, inventory, strategies
from minibit.announcer import Announcer
from minibit.availability import Availability
from minibit.behaviour import Honest
from minibit.choker import Choker
from minibit.contacts import Contacts
from minibit.errors import LocalError, RemoteError
from minibit.events import Effect, Event
from minibit.messages import (
    Bloco,
    Bloqueio,
    Desbloqueio,
    Desligamento,
    Estoque,
    ListaPeers,
    Message,
    NovoPeer,
    Pedido,
    PeerAddress,
    Registro,
)
from minibit.neighbour import Move, Neighbour, Slot, Standing
from minibit.picker import Picker
from minibit.pipeline import MOST_REQUESTERS, Pipeline
from minibit.records import BlockRecord, PeerRecord, ServingRecord
from minibit.rules import Rules
from minibit.timers import Timers
from minibit.uploads import Uploads

MOST_STRIKES = 3  # wrong blocks after which a neighbour is banned
MOST_UNINVITED = 256  # messages without a place after which a neighbour is dropped
LONGEST_PAUSE_S = 60.0  # between two tries to reach the tracker
FAREWELL_S = 5.0  # for blocks that are being sent when a peer leaves


class Content(Protocol):
    """What the peer knows of the content: a `Manifest`, or anything with these two."""

    @property
    def block_count(self) -> int:
        """How many blocks there are."""

    def length(self, block: int) -> int:
        """The bytes of `block`."""


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
        self.name = name
        self.content = content
        self.rules = rules
        self.held = held
        self.all = inventory.full(content.block_count)
        self.behaviour = behaviour or Honest()
        self.started = False
        self.leaving: str | None = None
        self.left = False
        self.address: PeerAddress | None = None

        def chance(purpose: str) -> Random:
            return Random(f"{seed}/{name}/{purpose}")

        self.contacts = Contacts(name, rules, chance("contacts"))
        self.availability = Availability(content.block_count)
        self.announcer = Announcer(rules.announce_s)
        make_picker = picker or strategies.picker(rules.picker)
        make_choker = choker or strategies.choker(rules.choker)
        try:
            self.picker = make_picker(chance("picker"))
            self.choker = make_choker(rules.slots, rules.guests, rules.guest_rounds, chance("choker"))
        except Exception as error:  # whatever somebody's strategy raises
            raise LocalError(f"strategy {type(error).__name__}: {error} ({rules.picker}, {rules.choker})") from error
        self.pipeline = Pipeline(name, rules, self.picker, self.availability, chance("holder"))
        self.uploads = Uploads(name, rules, self.choker, self.behaviour)
        self._starved_rounds = 0
        self._called_at = -inf
        self._pause_s = rules.retry_s
        self._timers = Timers()
        self._effects: list[Effect] = []

    # the door

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take what happened at `now` (seconds, never going back); what the world must do, in order."""
        if not self.left:
            _ON_EVENT[type(event)](self, event, now)
        return self._take_effects()

    def next_wake(self) -> float | None:
        """When `wake` must be called; None for not at all."""
        return None if self.left else self._timers.next()

    def wake(self, now: float) -> list[Effect]:
        """Do what is due at `now`."""
        for timer in self._timers.pop(now):
            if not self.left:
                _ON_TIMER[timer](self, now)
        return self._take_effects()

    def expects(self, sender: str, block: int) -> bool:
        """Whether the bytes of `block` are worth verifying and storing, when `sender` sends them."""
        neighbour = self.contacts.up.get(sender)
        if neighbour is None or self.held >> block & 1:
            return False
        return block in neighbour.asked or bool(neighbour.late >> block & 1)

    @property
    def missing(self) -> int:
        """The inventory of the blocks that are not held."""
        return self.all & ~self.held

    @property
    def complete(self) -> bool:
        """Whether every block is held."""
        return self.held == self.all

    def _take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    # entering and leaving

    def _on_joining(self, event: events.Joining, now: float) -> None:
        self.address = event.address
        self._timers.set("round", now + self.rules.round_s)
        self._call_tracker(now)

    def _on_starting(self, event: events.Starting, now: float) -> None:
        self.started = True
        self._note("started", now)
        if self.complete:
            self._finish(now)
        self._pump(now)

    def _on_leaving(self, event: events.Leaving, now: float) -> None:
        """Blocks that are being sent go out whole; nothing else is begun."""
        if self.leaving is not None:
            return
        self.leaving = event.why
        self._effects += self.uploads.close(self.contacts.up.values(), now)
        for neighbour in self.contacts.up.values():
            self.pipeline.void_all(neighbour)
        self._timers.set("farewell", now + FAREWELL_S)
        self._depart_if_idle(now)

    def _depart_if_idle(self, now: float) -> None:
        if self.leaving is not None and not any(n.sending is not None for n in self.contacts.up.values()):
            self._depart(now)

    def _depart(self, now: float) -> None:
        why = self.leaving or ""
        for peer in self.contacts.up:
            self._effects.append(events.HangUp(peer, Desligamento(peer=self.name, why=why)))
        self._effects.append(events.Call(Desligamento(peer=self.name, why=why)))
        self._note("left", now, why)
        self._effects.append(events.Left(why))
        self.left = True

    # the tracker, and whom to know

    def _call_tracker(self, now: float) -> None:
        me = self.address
        if me is None:  # whatever was heard by hand: who has not joined has no address to tell
            return
        self._effects.append(events.Call(Registro(peer=me.peer, host=me.host, port=me.port, alone=self._alone)))
        self._called_at = now
        # taken for lost until LISTA_PEERS comes: a tracker that is gone is asked again, ever more rarely
        self._timers.set("tracker", now + self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    @property
    def _alone(self) -> bool:
        """Whether nobody could feed us for a whole round."""
        return self._starved_rounds > 1

    def _look_for_food(self, now: float) -> None:
        missing = self.missing
        starving = self.started and bool(missing) and not missing & ~self.availability.nobody
        self._starved_rounds = self._starved_rounds + 1 if starving else 0
        if self._alone:
            self._timers.set_earlier("tracker", max(now, self._called_at + self._pause_s))

    def _on_lista_peers(self, sender: str, message: ListaPeers, now: float) -> None:
        if not self._alone:
            self._pause_s = self.rules.retry_s
        self._timers.set("tracker", now + self.rules.tracker_s)
        self._meet(message.peers, now)

    def _on_novo_peer(self, sender: str, message: NovoPeer, now: float) -> None:
        self._meet(message.peers, now)

    def _on_registro(self, sender: str, message: Registro, now: float) -> None:
        self._meet((PeerAddress(message.peer, message.host, message.port),), now)

    def _meet(self, addresses: tuple[PeerAddress, ...], now: float) -> None:
        self.contacts.learn(addresses)
        self._dial(now)

    def _dial(self, now: float) -> None:
        if self.leaving is not None or self.address is None:
            return
        for neighbour in self.contacts.to_dial(now, starving=self._alone):
            self.contacts.move(neighbour, Move.DIAL)
            self._effects.append(events.Dial(neighbour.address, self._alone))
        if (at_s := self.contacts.next_retry(now)) is not None:
            self._timers.set_earlier("dial", at_s)

    # links

    def _on_linked(self, event: events.Linked, now: float) -> None:
        if event.address.peer == self.name:
            self._effects.append(events.HangUp(self.name, Desligamento(why="that is my own id")))
            return
        self.contacts.learn([event.address])
        neighbour = self.contacts.known[event.address.peer]
        if neighbour.standing is Standing.BANNED or self.leaving is not None:
            self._refuse(neighbour, "banned" if neighbour.standing is Standing.BANNED else "left")
            return
        if neighbour.up:
            return
        self.contacts.move(neighbour, Move.LINK)
        needy = event.alone or (event.dialled and self._alone)
        if self.contacts.crowded:
            loser = self.contacts.to_drop(neighbour, self.held, needy=needy)
            self._refuse(loser, "full")
            self._lose(loser, now)
            if loser is neighbour:
                return
        self._send(neighbour.peer, announcer.whole(neighbour, self._claims))

    def _refuse(self, neighbour: Neighbour, why: str) -> None:
        self._effects.append(events.HangUp(neighbour.peer, Desligamento(why=why)))

    def _on_unlinked(self, event: events.Unlinked, now: float) -> None:
        neighbour = self.contacts.known.get(event.peer)
        if neighbour is not None and (neighbour.up or neighbour.standing is Standing.DIALLING):
            self._lose(neighbour, now)

    def _lose(self, neighbour: Neighbour, now: float, move: Move = Move.LOSE) -> None:
        """The link, or the try, is over: what hung on it goes back."""
        self.availability.remove(neighbour.theirs)
        self.pipeline.void_all(neighbour)
        self.choker.forget(neighbour.peer)
        if neighbour.slot is not Slot.NONE:
            self._effects.append(events.Note(ServingRecord(now, self.name, neighbour.peer, "none")))
        self.contacts.move(neighbour, move)
        self.contacts.failed(neighbour, now)
        self._depart_if_idle(now)
        if not self.left:
            self._dial(now)
            self._pump(now)
            self._serve(now)

    def _ban(self, neighbour: Neighbour, now: float) -> None:
        self._refuse(neighbour, "banned")
        self._effects.append(events.Note(PeerRecord(now, neighbour.peer, "banned", f"by {self.name}")))
        self._lose(neighbour, now, Move.BAN)

    # messages

    def _on_received(self, event: events.Received, now: float) -> None:
        sender, message = event
        if (on_news := _ON_NEWS.get(type(message))) is not None:
            on_news(self, sender, message, now)
        elif (neighbour := self.contacts.up.get(sender)) is not None:
            try:
                _ON_MESSAGE[type(message)](self, neighbour, message, now)
            except RemoteError as error:
                self._refuse(neighbour, str(error))
                self._lose(neighbour, now)

    def _on_estoque(self, neighbour: Neighbour, message: Estoque, now: float) -> None:
        count = self.content.block_count
        theirs = neighbour.theirs if message.whole is None else inventory.from_hex(message.whole, count)
        if message.new:
            if max(message.new) >= count:
                raise RemoteError(f"block {max(message.new)} of {count} in an ESTOQUE")
            theirs |= inventory.of(message.new)
        gone = neighbour.theirs & ~theirs
        self._holds(neighbour, theirs)
        if neighbour.standing is Standing.LINKED:
            self.contacts.move(neighbour, Move.ESTOQUE)
        if gone:
            self.pipeline.refused(neighbour)
            self._tell(neighbour)  # what was no news while it held the block
            self._pump(now)
        if neighbour.wanted:  # what it holds by now it wants no more
            neighbour.wanted = [block for block in neighbour.wanted if not theirs >> block & 1]
        self._ask(neighbour, now)
        self._serve(now)

    def _holds(self, neighbour: Neighbour, theirs: int) -> None:
        if gone := neighbour.theirs & ~theirs:
            self.availability.remove(gone)
        if new := theirs & ~neighbour.theirs:
            self.availability.add(new)
        neighbour.theirs = theirs

    def _on_bloco(self, neighbour: Neighbour, message: Bloco, now: float) -> None:
        raise RemoteError("a BLOCO without its bytes")

    def _on_bloqueio(self, neighbour: Neighbour, message: Bloqueio, now: float) -> None:
        neighbour.serves_us = False
        self.pipeline.void_all(neighbour)
        self._pump(now)

    def _on_desbloqueio(self, neighbour: Neighbour, message: Desbloqueio, now: float) -> None:
        neighbour.serves_us = True
        self._ask(neighbour, now)

    def _on_pedido(self, neighbour: Neighbour, message: Pedido, now: float) -> None:
        block = message.block
        if block >= self.content.block_count:
            raise RemoteError(f"a PEDIDO for block {block} of {self.content.block_count}")
        if neighbour.slot is Slot.NONE:  # it may not have heard yet that it is choked
            self._uninvited(neighbour, "PEDIDOs while choked")
        elif not self.held >> block & 1:
            if not self._claims >> block & 1:  # the true inventory is the refusal
                self._uninvited(neighbour, "PEDIDOs for blocks that we lack")
                self._send(neighbour.peer, announcer.whole(neighbour, self.held))
        else:
            self._holds(neighbour, neighbour.theirs & ~(1 << block))
            self._effects += self.uploads.wanted(neighbour, block)

    def _uninvited(self, neighbour: Neighbour, what: str) -> None:
        neighbour.uninvited += 1
        if neighbour.uninvited > MOST_UNINVITED:
            raise RemoteError(f"{neighbour.uninvited} {what}")

    def _on_desligamento(self, neighbour: Neighbour, message: Desligamento, now: float) -> None:
        self._effects.append(events.HangUp(neighbour.peer, None))
        self._lose(neighbour, now)
        if message.peer == neighbour.peer:
            self.contacts.forget(neighbour)

    # blocks going out

    def _on_sent(self, event: events.Sent, now: float) -> None:
        neighbour = self.contacts.up.get(event.peer)
        if neighbour is None or neighbour.sending != event.block:
            return
        neighbour.sending = None
        neighbour.blocks_out += 1
        neighbour.took.add(self.content.length(event.block), now)
        self._holds(neighbour, neighbour.theirs | 1 << event.block)
        self._effects += self.uploads.next(neighbour)
        self._depart_if_idle(now)

    def _on_unreadable(self, event: events.Unreadable, now: float) -> None:
        self.held &= ~(1 << event.block)
        for neighbour in self.contacts.up.values():
            self._send(neighbour.peer, announcer.whole(neighbour, self._claims))
            self._effects += self.uploads.lost(neighbour, event.block)
        self._pump(now)

    # blocks coming in

    def _on_progressed(self, event: events.Progressed, now: float) -> None:
        if (neighbour := self.contacts.up.get(event.sender)) is not None:
            neighbour.heard_at = now

    def _on_arrived(self, event: events.Arrived, now: float) -> None:
        neighbour = self.contacts.up.get(event.sender)
        if neighbour is None:
            return
        block, bit = event.block, 1 << event.block
        length_bytes = self.content.length(block)
        took_s = 0.0
        if block in neighbour.asked:
            took_s = self.pipeline.arrived(neighbour, block, now)
        elif neighbour.late & bit:
            neighbour.late ^= bit
            neighbour.snubbed_until = now
        else:
            self._note_block(neighbour, block, took_s, "double", now)
            try:
                self._uninvited(neighbour, "blocks that nobody asked for")
            except RemoteError as error:
                self._refuse(neighbour, str(error))
                self._lose(neighbour, now)
            return
        if not event.ok:
            self._reject(neighbour, block, took_s, now)
            return
        neighbour.blocks_in += 1
        neighbour.gave.add(length_bytes, now)
        if self.held & bit:
            self._note_block(neighbour, block, took_s, "double", now)
        else:
            self._note_block(neighbour, block, took_s, "useful", now)
            self._take(neighbour, block, now)
        self._ask(neighbour, now)
        self._serve(now)

    def _take(self, neighbour: Neighbour, block: int, now: float) -> None:
        """`block` is held from now on."""
        self.held |= 1 << block
        neighbour.told |= 1 << block & ~neighbour.crossed  # who sent it knows
        for other in self.pipeline.call_off(block):
            other.told |= 1 << block
            self._send(other.peer, Estoque(new=(block,)))
            self._ask(other, now)  # nothing else might come from it that makes us ask
        if self.complete:
            self._finish(now)
        elif (due_s := self.announcer.due_s(now)) <= now:
            self._announce(now)
        else:
            self._timers.set_earlier("announce", due_s)

    def _reject(self, neighbour: Neighbour, block: int, took_s: float, now: float) -> None:
        self._note_block(neighbour, block, took_s, "rejected", now)
        neighbour.strikes += 1
        if self.availability.count(block) > 1:
            neighbour.doubted |= 1 << block
        if neighbour.strikes >= MOST_STRIKES:
            self._ban(neighbour, now)
        else:
            self._pump(now)

    def _finish(self, now: float) -> None:
        self._note("completed", now)
        self._effects.append(events.Finish())
        self._announce(now, everybody=True)
        if self.rules.leave == "complete":
            self._on_leaving(events.Leaving("complete"), now)

    def _announce(self, now: float, *, everybody: bool = False) -> None:
        up = self.contacts.up.values()
        found, again_at = self.announcer.news(up, self._claims, now, everybody=everybody)
        for neighbour, estoque in found:
            self._send(neighbour.peer, estoque)
        if again_at < inf:
            self._timers.set("announce", again_at)

    def _tell(self, neighbour: Neighbour) -> None:
        if (estoque := announcer.untold(neighbour, self._claims)) is not None:
            self._send(neighbour.peer, estoque)

    @property
    def _claims(self) -> int:
        return self.behaviour.claims(self.held, self.content.block_count)

    # asking and serving

    def _pump(self, now: float) -> None:
        """Ask everybody who serves us for blocks."""
        self._ask_of(self.contacts.up.values(), now)

    def _ask(self, neighbour: Neighbour, now: float) -> None:
        """Ask this neighbour, the only one for whom anything changed; all when endgame is there."""
        if neighbour.serves_us:
            endgame = not self.missing & ~self.pipeline.in_flight
            self._ask_of(self.contacts.up.values() if endgame else (neighbour,), now)

    def _ask_of(self, neighbours: Iterable[Neighbour], now: float) -> None:
        missing = self.missing
        if not missing or not self.started or self.leaving is not None:
            return
        asks = self.pipeline.ask(neighbours, missing, now)
        for neighbour, block in asks:
            self._send(neighbour.peer, Pedido(block))
        if asks:
            self._timers.set_earlier("requests", now + self.rules.request_timeout_s)
        if self.pipeline.wake_at < inf:
            self._timers.set_earlier("endgame", self.pipeline.wake_at)

    def _check_requests(self, now: float) -> None:
        again_at = self.pipeline.give_up(self.contacts.up.values(), now)
        if again_at < inf:
            self._timers.set("requests", again_at)
        self._pump(now)

    def _round(self, now: float) -> None:
        self._timers.set("round", now + self.rules.round_s)
        for neighbour in self.contacts.up.values():
            neighbour.doubted = inventory.EMPTY
        self._look_for_food(now)
        if self.leaving is None:
            self._decide(self.uploads.round, now)
        self._pump(now)

    def _serve(self, now: float) -> None:
        """Give free slots at once."""
        if self.leaving is None:
            self._decide(self.uploads.fill, now)

    def _decide(self, decide: Callable[..., list[Effect]], now: float) -> None:
        sharing = [neighbour for neighbour in self.contacts.up.values() if neighbour.standing is Standing.SHARING]
        for effect in decide(sharing, self.held, self.missing, self.availability, now):
            if isinstance(effect, events.Send) and isinstance(effect.message, Desbloqueio):
                self._tell(self.contacts.up[effect.peer])  # it should know what it may ask for
            self._effects.append(effect)

    # saying

    def _send(self, peer: str, message: Message) -> None:
        self._effects.append(events.Send(peer, message))

    def _note(self, event: Any, now: float, why: str = "") -> None:
        self._effects.append(events.Note(PeerRecord(now, self.name, event, why)))

    def _note_block(self, source: Neighbour, block: int, took_s: float, verdict: Any, now: float) -> None:
        length_bytes = self.content.length(block)
        record = BlockRecord(now, self.name, block, source.peer, took_s, verdict, length_bytes)
        self._effects.append(events.Note(record))

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
        asked: dict[int, int] = {}
        for neighbour in self.contacts.known.values():
            neighbour.check()
            for block in neighbour.asked:
                asked[block] = asked.get(block, 0) + 1
        assert asked == {block: len(who) for block, who in self.pipeline.requesters.items()}
        assert inventory.of(asked) == self.pipeline.in_flight
        assert all(count <= MOST_REQUESTERS for count in asked.values())
        assert not self.held & self.pipeline.in_flight
        assert not self.held & ~self.all
        up = self.contacts.up.values()
        assert len(up) <= self.rules.neighbours and all(neighbour.up for neighbour in up)
        self.availability.check(neighbour.theirs for neighbour in up)
        served = [neighbour for neighbour in up if neighbour.slot is not Slot.NONE]
        assert self.uploads.slots is None or len(served) <= self.uploads.slots
        assert all(not neighbour.told & ~self._claims for neighbour in up)


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
    events.Unreadable: Peer._on_unreadable,
}

# what concerns the swarm may come from the tracker, or from a notebook's hand; no link is needed
_ON_NEWS: dict[type, Callable[..., None]] = {
    Registro: Peer._on_registro,
    ListaPeers: Peer._on_lista_peers,
    NovoPeer: Peer._on_novo_peer,
}

_ON_MESSAGE: dict[type, Callable[..., None]] = {
    Estoque: Peer._on_estoque,
    Bloco: Peer._on_bloco,
    Bloqueio: Peer._on_bloqueio,
    Desbloqueio: Peer._on_desbloqueio,
    Pedido: Peer._on_pedido,
    Desligamento: Peer._on_desligamento,
}

_ON_TIMER: dict[str, Callable[..., None]] = {
    "announce": Peer._announce,
    "dial": Peer._dial,
    "endgame": Peer._pump,
    "farewell": Peer._depart,
    "requests": Peer._check_requests,
    "round": Peer._round,
    "tracker": Peer._call_tracker,
}
