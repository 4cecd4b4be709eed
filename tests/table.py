"""Conversations at a table: pure peers and a tracker, a fake wire, a virtual clock.

The wire keeps the order of a link and takes `latency_s` for a message and `block_s` for a block; a block that
is being sent delays what follows it on the same way of the same link, as in the real one. Nothing here
waits: time jumps from one event to the next. Every line of `transcript` is one fact, in order.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, NamedTuple

from minibit import events, inventory, messages
from minibit.behaviour import BEHAVIOURS
from minibit.events import TRACKER
from minibit.messages import PeerAddress
from minibit.peer import Peer
from minibit.records import Record
from minibit.rules import Rules
from minibit.tracker import Tracker


class Blocks(NamedTuple):
    """Content without bytes: so many blocks of so many bytes each."""

    block_count: int
    block_bytes: int = 1024

    def length(self, block: int) -> int:
        return self.block_bytes


class Table:
    """Peers that talk to each other. `seed` is the chance of all of them."""

    def __init__(
        self,
        blocks: int = 8,
        rules: Rules | None = None,
        *,
        seed: int = 1,
        latency_s: float = 0.01,
        block_s: float = 0.1,
        checked: bool = True,
    ) -> None:
        self.content = Blocks(blocks)
        self.rules = rules or Rules()
        self.seed = seed
        self.latency_s = latency_s
        self.block_s = block_s
        self.checked = checked
        self.now = 0.0
        self.peers: dict[str, Peer] = {}
        self.tracker = Tracker(self.rules, seed)
        self.tracker_up = True
        self.records: list[Record] = []
        self.transcript: list[str] = []
        self.corrupt: Callable[[str, str, int], bool] = lambda source, receiver, block: False
        self.lossy: Callable[[str, str, Any], bool] = lambda source, receiver, message: False
        self.extra_s: Callable[[str, str, Any], float] = lambda source, receiver, message: 0.0
        self._links: dict[frozenset[str], int] = {}  # a pair -> the number of its link
        self._free_at: dict[tuple[str, str], float] = {}  # when a way of a link can take the next
        self._cuts: set[frozenset[str]] = set()
        self._dead: set[str] = set()
        self._numbers = count(1)
        self._queue: list[tuple[float, int, Callable[[], None]]] = []

    # who sits here

    def seat(
        self,
        name: str,
        held: int | Iterable[int] = (),
        *,
        rules: Rules | None = None,
        behaviour: str = "honest",
        join: bool = True,
        start: bool = True,
    ) -> Peer:
        """One more peer; it joins and may ask at once, unless told otherwise."""
        inventory_held = held if isinstance(held, int) else inventory.of(held)
        peer = Peer(
            name, self.content, rules or self.rules, self.seed, held=inventory_held, behaviour=BEHAVIOURS[behaviour]()
        )
        self.peers[name] = peer
        if join:
            self.tell(name, events.Joining(PeerAddress(name, name, 1)))
        if start:
            self.tell(name, events.Starting())
        return peer

    def seat_seed(self, name: str = TRACKER, **options: Any) -> Peer:
        """A peer that holds everything."""
        return self.seat(name, inventory.full(self.content.block_count), **options)

    # what can be done to them

    def tell(self, name: str, event: events.Event) -> None:
        """This happens to a peer, now."""
        if name in self._dead:
            return
        peer = self.peers[name]
        self._carry_out(name, peer.handle(event, self.now))
        if self.checked and not peer.left:
            peer.check()

    def link(self, one: str, other: str) -> None:
        """Connect two peers without the tracker."""
        self._carry_out(one, [events.Dial(PeerAddress(other, other, 1), False)], force=True)

    def cut(self, one: str, other: str) -> None:
        """The link breaks, and dials fail until it heals."""
        self._cuts.add(frozenset((one, other)))
        self._unlink(one, other, "cut")

    def heal(self, one: str, other: str) -> None:
        """The two can reach each other again."""
        self._cuts.discard(frozenset((one, other)))

    def kill(self, name: str) -> None:
        """The peer is gone without a word."""
        self._dead.add(name)
        for pair in [pair for pair in self._links if name in pair]:
            self._unlink(*sorted(pair, key=name.__eq__), "reset")

    def inject(self, sender: str, receiver: str, message: messages.Message) -> None:
        """`receiver` hears a message that `sender` never said."""
        self.say(f"{sender} => {receiver} {text(message)}")
        self.tell(receiver, events.Received(sender, message))

    # time

    def run(self, until_s: float) -> None:
        """Let everything happen that happens until then."""
        while (due := self._next()) is not None and due <= until_s:
            self._step(due)
        self.now = max(self.now, until_s)

    def run_until(self, done: Callable[[], bool], limit_s: float = 10_000.0) -> bool:
        """Let things happen until `done`; False when the limit came first, or nothing more happens."""
        while not done():
            due = self._next()
            if due is None or due > limit_s:
                return False
            self._step(due)
        return True

    def run_until_complete(self, limit_s: float = 10_000.0) -> bool:
        """Let things happen until every living peer holds everything."""
        return self.run_until(lambda: all(self.peers[n].complete for n in self.alive()), limit_s)

    def alive(self) -> list[str]:
        """The peers that are neither dead nor gone."""
        return [name for name, peer in self.peers.items() if name not in self._dead and not peer.left]

    def linked(self, one: str, other: str) -> bool:
        """Whether a link stands."""
        return frozenset((one, other)) in self._links

    def say(self, line: str) -> None:
        """One more line of the transcript."""
        self.transcript.append(f"{self.now:8.3f}  {line}")

    # how it works

    def _next(self) -> float | None:
        wakes = [self.peers[name].next_wake() for name in self.alive()] + [self.tracker.next_wake()]
        times = [wake for wake in wakes if wake is not None]
        if self._queue:
            times.append(self._queue[0][0])
        return max(self.now, min(times)) if times else None

    def _step(self, due: float) -> None:
        self.now = due
        if self._queue and self._queue[0][0] <= due:
            heapq.heappop(self._queue)[2]()
            return
        for name in self.alive():
            peer = self.peers[name]
            if (wake := peer.next_wake()) is not None and wake <= due:
                self._carry_out(name, peer.wake(due))
                if self.checked and not peer.left:
                    peer.check()
        if (wake := self.tracker.next_wake()) is not None and wake <= due:
            self._carry_out(TRACKER, self.tracker.wake(due))

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + delay_s, next(self._numbers), action))

    def _carry_out(self, name: str, effects: list[events.Effect], force: bool = False) -> None:
        for effect in effects:
            match effect:
                case events.Call(message=message):
                    self._send_to_tracker(name, message)
                case events.Send(peer=peer, message=message):
                    self._send(name, peer, message)
                case events.SendBlock(peer=peer, block=block, spoil=spoil):
                    self._send_block(name, peer, block, spoil)
                case events.Dial(address=address, alone=alone):
                    self.say(f"{name} dials {address.peer}")
                    self._later(self.latency_s, lambda a=address, b=alone: self._dial(name, a.peer, b))
                case events.HangUp(peer=peer, farewell=farewell):
                    self._hang_up(name, peer, farewell)
                case events.Note(record=record):
                    self.records.append(record)
                case events.Finish():
                    self.say(f"{name} is complete")
                case events.Left(why=why):
                    self.say(f"{name} left: {why}")

    def _send_to_tracker(self, name: str, message: messages.Message) -> None:
        if self.tracker_up:
            self.say(f"{name} -> {TRACKER} {text(message)}")
            self._later(
                self.latency_s,
                lambda: self._carry_out(TRACKER, self.tracker.handle(events.Received(name, message), self.now)),
            )

    def _send(self, sender: str, receiver: str, message: messages.Message) -> None:
        self.say(f"{sender} -> {receiver} {text(message)}")
        if isinstance(message, messages.ListaPeers | messages.NovoPeer):
            self._later(self.latency_s, lambda: self.tell(receiver, events.Received(TRACKER, message)))
            return
        number = self._links.get(frozenset((sender, receiver)))
        if number is None or self.lossy(sender, receiver, message):
            return
        delay_s = self._queue_on(sender, receiver, 0.0) + self.latency_s + self.extra_s(sender, receiver, message)
        self._later(
            delay_s, lambda: self._if_linked(sender, receiver, number, events.Received(sender, message))
        )

    def _hang_up(self, one: str, other: str, farewell: messages.Desligamento | None) -> None:
        number = self._links.get(frozenset((one, other)))
        if farewell is None or number is None:
            self._unlink(one, other, "farewell", number)
            return
        self._send(one, other, farewell)
        delay_s = self._queue_on(one, other, 0.0) + self.latency_s
        self._later(delay_s, lambda: self._unlink(one, other, "hung up", number))

    def _send_block(self, sender: str, receiver: str, block: int, spoil: bool) -> None:
        self.say(f"{sender} -> {receiver} BLOCO {block}")
        number = self._links.get(frozenset((sender, receiver)))
        if number is None:
            return
        ok = not (spoil or self.corrupt(sender, receiver, block))
        sent_s = self._queue_on(sender, receiver, self.block_s)
        self._later(sent_s, lambda: self._if_linked(receiver, sender, number, events.Sent(receiver, block)))
        self._later(
            sent_s + self.latency_s,
            lambda: self._if_linked(sender, receiver, number, events.Arrived(sender, block, ok)),
        )

    def _queue_on(self, sender: str, receiver: str, busy_s: float) -> float:
        """How long until this way of the link has sent what is `busy_s` long."""
        free_at = max(self.now, self._free_at.get((sender, receiver), 0.0)) + busy_s
        self._free_at[sender, receiver] = free_at
        return free_at - self.now

    def _if_linked(self, sender: str, receiver: str, number: int, event: events.Event) -> None:
        if self._links.get(frozenset((sender, receiver))) == number:
            self.tell(receiver, event)

    def _dial(self, one: str, other: str, alone: bool) -> None:
        pair = frozenset((one, other))
        if pair in self._links:
            return
        if pair in self._cuts or other not in self.peers or {one, other} & self._dead or self.peers[other].left:
            self.tell(one, events.Unlinked(other, "unreachable"))
            return
        self._links[pair] = next(self._numbers)
        self.say(f"{one} and {other} are linked")
        self.tell(one, events.Linked(PeerAddress(other, other, 1), True))
        self.tell(other, events.Linked(PeerAddress(one, one, 1), False, alone))

    def _unlink(self, one: str, other: str, why: str, number: int | None = None) -> None:
        pair = frozenset((one, other))
        if pair in self._links and number in (None, self._links[pair]):
            del self._links[pair]
            self._free_at.pop((one, other), None)
            self._free_at.pop((other, one), None)
            self.say(f"{one} and {other} are unlinked: {why}")
            for end, far in ((one, other), (other, one)):
                if end not in self._dead:
                    self.tell(end, events.Unlinked(far, why))


def text(message: messages.Message) -> str:
    """A message for a person: the verb and what it says."""
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    shown = [f"{name}={_value(value)}" for name, value in fields.items() if value not in ("", 0, False, None, ())]
    return " ".join([message.verb, *shown])


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(str(getattr(item, "peer", item)) for item in value)
    return str(value)
