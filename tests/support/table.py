"""Conversations at a table: pure peers and a tracker, a fake wire, a virtual clock.

The wire keeps the order of each link. A message takes `latency_s`. A block takes its sender's `block_s` as well, and
what follows it on the same way of the same link waits behind it, as on a real link. Nothing here waits: time jumps
from one event to the next. Every line of `transcript` is one fact, in order. After every event, the peer that it
happened to is checked.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from itertools import count
from math import inf
from typing import Any, NamedTuple

from minibit import events, inventory, messages, strategies
from minibit.events import TRACKER
from minibit.messages import Message, PeerAddress
from minibit.peer import Peer
from minibit.records import BlockRecord, Record
from minibit.rules import Rules
from minibit.sim.transcript import line_of, reason, says
from minibit.tracker import Tracker


class Blocks(NamedTuple):
    """Content without bytes: a number of blocks, all of one length."""

    block_count: int
    block_bytes: int = 1024

    @property
    def length_max(self) -> int:
        return self.block_bytes

    def length(self, block: int) -> int:
        return self.block_bytes


class Table:
    """Peers that talk to each other; `seed` is the random seed of all of them.

    corrupt   (sender, receiver, block) -> whether the wire spoils this block
    wire      (sender, receiver, message) -> the extra delay of each copy that arrives: () is lost, (0.0,) is usual,
              (0.0, 2.0) comes twice
    watch     (peer, effect): sees every effect before it is carried out
    pace      seconds that a block takes, for peers that differ from `block_s`
    """

    def __init__(
        self,
        blocks: int = 8,
        rules: Rules | None = None,
        *,
        seed: int = 1,
        latency_s: float = 0.01,
        block_s: float = 0.1,
        tracker: bool = True,
    ) -> None:
        self.content = Blocks(blocks)
        self.all = inventory.full(blocks)
        self.rules = rules or Rules()
        self.seed = seed
        self.latency_s = latency_s
        self.block_s = block_s
        self.pace: dict[str, float] = {}
        self.now = 0.0
        self.peers: dict[str, Peer] = {}
        self.seats: list[tuple[float, Peer, int, str]] = []  # time, peer, its blocks, its behaviour
        self.tracker = Tracker(self.rules, seed) if tracker else None
        self.records: list[Record] = []
        self.transcript: list[str] = []
        self.corrupt: Callable[[str, str, int], bool] | None = None
        self.wire: Callable[[str, str, Message], Iterable[float]] = lambda sender, receiver, message: (0.0,)
        self.watch: Callable[[str, events.Effect], None] = lambda peer, effect: None
        self.calls_are_said = tracker
        self._links: dict[frozenset[str], int] = {}  # a pair -> the number of its link
        self._farewells: dict[int, str] = {}  # the number of a link -> why one of the two ended it
        self._free_at: dict[tuple[str, str, int], float] = {}  # when a way of a link can take the next
        self._cuts: set[frozenset[str]] = set()
        self._dead: set[str] = set()
        self._paused: dict[str, list[events.Event]] = {}
        self._numbers = count(1)
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._wakes: dict[str, float] = {}

    # the seats

    def seat(
        self,
        name: str,
        held: int | Iterable[int] = (),
        *,
        rules: Rules | None = None,
        known: int | None = None,
        behaviour: str = "honest",
        join: bool = True,
        start: bool = True,
    ) -> Peer:
        """One more peer, or one that comes back; it joins and may ask at once, unless told otherwise."""
        inventory_held = held if isinstance(held, int) else inventory.of(held)
        behaves = strategies.behaviour(behaviour)()
        rules = rules or self.rules
        peer = Peer(name, self.content, rules, self.seed, held=inventory_held, known=known, behaviour=behaves)
        self.peers[name] = peer
        self.seats.append((self.now, peer, inventory_held, behaviour))
        self._dead.discard(name)
        if join:
            self.tell(name, events.Joining(_address(name)))
        if start:
            self.tell(name, events.Starting())
        return peer

    def seat_seed(self, name: str = "seed", **options: Any) -> Peer:
        """A peer that holds everything."""
        return self.seat(name, self.all, **options)

    # what can be done to them

    def tell(self, name: str, event: events.Event) -> None:
        """This happens to a peer now; a paused peer hears of it as soon as it goes on."""
        if name in self._paused:
            self._paused[name].append(event)
        elif name not in self._dead:
            self._carry_out(name, self.peers[name].handle(event, self.now))

    def tell_later(self, delay_s: float, name: str, event: events.Event) -> None:
        """This happens to a peer after so long."""
        self._at(self.now + delay_s, lambda: self.tell(name, event))

    def inject(self, sender: str, receiver: str, message: Message) -> None:
        """`receiver` hears a message that `sender` never said."""
        self.say(says(sender, receiver, message).replace("->", "=>", 1))
        self.tell(receiver, events.Received(sender, message))

    def link(self, one: str, other: str) -> None:
        """Connect two peers without the tracker."""
        self._dial(one, other, False)

    def cut(self, one: str, other: str) -> None:
        """The link breaks, and dials fail until it heals."""
        self._cuts.add(frozenset((one, other)))
        self._unlink(one, other, "cut")

    def heal(self, one: str, other: str) -> None:
        """The two can reach each other again."""
        self._cuts.discard(frozenset((one, other)))

    def break_links(self, why: str = "reset") -> None:
        """Every link breaks; dials succeed."""
        for pair in list(self._links):
            self._unlink(*sorted(pair), why)

    def leave(self, name: str) -> None:
        """The peer leaves in good order."""
        self.tell(name, events.Leaving("enough"))

    def kill(self, name: str) -> None:
        """The peer is gone without a word."""
        self.say(f"{name} dies")
        self._dead.add(name)
        for pair in [pair for pair in self._links if name in pair]:
            self._unlink(*sorted(pair, key=name.__ne__), "reset")

    def pause(self, name: str) -> None:
        """The peer does nothing, and its links stand."""
        self.say(f"{name} falls silent")
        self._paused[name] = []

    def resume(self, name: str) -> None:
        """The peer goes on: it hears at once what was said in the meantime."""
        self.say(f"{name} goes on")
        for event in self._paused.pop(name):
            self.tell(name, event)
        self._arm(name)

    def kill_tracker(self) -> None:
        """Calls to the tracker fail from now on."""
        self.say(f"{TRACKER} dies")
        self.tracker = None

    def restart_tracker(self) -> None:
        """A tracker is there again; it knows nobody."""
        self.say(f"{TRACKER} returns")
        self.tracker = Tracker(self.rules, self.seed)

    # time

    def run(self, until_s: float) -> None:
        """Let time pass until then."""
        while self._queue and self._queue[0][0] <= until_s:
            self._step()
        self.now = until_s

    def run_until(self, done: Callable[[], bool], limit_s: float = 10_000.0) -> bool:
        """Let time pass until `done`; False when the limit comes first, or when nothing is left to happen."""
        while not done():
            if not self._queue or self._queue[0][0] > limit_s:
                return False
            self._step()
        return True

    def run_until_complete(self, limit_s: float = 10_000.0) -> bool:
        """Let time pass until every living peer holds everything."""
        return self.run_until(lambda: all(self.peers[name].complete for name in self.alive()), limit_s)

    # looking

    def alive(self) -> list[str]:
        """The peers that are neither dead nor gone."""
        return [name for name, peer in self.peers.items() if name not in self._dead and not peer.left]

    def linked(self, one: str, other: str) -> bool:
        """Whether a link stands."""
        return frozenset((one, other)) in self._links

    def links(self, name: str) -> list[str]:
        """The far ends of the links of `name`."""
        return sorted(far for pair in self._links if name in pair for far in pair - {name})

    def blocks(self, verdict: str = "useful", peer: str | None = None) -> list[BlockRecord]:
        """The records of blocks with this verdict, of all peers or of one."""
        rows = (record for record in self.records if isinstance(record, BlockRecord))
        return [record for record in rows if record.verdict == verdict and peer in (None, record.peer)]

    def lines(self, *parts: str) -> list[str]:
        """The facts in which all of `parts` occur, without their times."""
        return [line[10:] for line in self.transcript if all(part in line for part in parts)]

    def say(self, line: str) -> None:
        """One more line of the transcript."""
        self.transcript.append(f"{self.now:8.3f}  {line}")

    # how it works

    def _at(self, at_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (at_s, next(self._numbers), action))

    def _step(self) -> None:
        at_s, _, action = heapq.heappop(self._queue)
        self.now = max(self.now, at_s)
        action()

    def _arm(self, name: str) -> None:
        machine = self._machine(name)
        wake_s = machine.next_wake() if machine is not None else None
        if wake_s is not None and wake_s < self._wakes.get(name, inf):
            self._wakes[name] = wake_s
            self._at(wake_s, lambda: self._wake(name, wake_s))

    def _wake(self, name: str, at_s: float) -> None:
        if self._wakes.get(name) != at_s:
            return  # it wanted to be woken earlier, and was
        del self._wakes[name]
        machine = self._machine(name)
        if machine is not None and name not in self._paused and name not in self._dead:
            self._carry_out(name, machine.wake(self.now))

    def _machine(self, name: str) -> Peer | Tracker | None:
        return self.tracker if name == TRACKER and name not in self.peers else self.peers[name]

    def _carry_out(self, name: str, effects: list[events.Effect]) -> None:
        for effect in effects:
            self.watch(name, effect)
            if (said := line_of(name, effect)) and (self.calls_are_said or not isinstance(effect, events.Call)):
                self.say(said + " (nobody answers)" * (isinstance(effect, events.Call) and self.tracker is None))
            match effect:
                case events.Call(message):
                    self._call_tracker(name, message)
                case events.Send(peer, message) if name == TRACKER and name not in self.peers:
                    heard = events.Received(TRACKER, message)
                    self._at(self.now + self.latency_s, lambda p=peer, e=heard: p in self.peers and self.tell(p, e))
                case events.Send(peer, message):
                    self._send(name, peer, message)
                case events.SendBlock():
                    self._send_block(name, effect)
                case events.Dial(address, alone):
                    self._at(self.now + self.latency_s, lambda a=address, b=alone: self._dial(name, a.peer, b))
                case events.HangUp(peer, farewell):
                    self._hang_up(name, peer, farewell)
                case events.Note(record):
                    self.records.append(record)
        self._arm(name)
        if (peer := self.peers.get(name)) is not None and not peer.left:
            peer.check()

    def _call_tracker(self, name: str, message: Message) -> None:
        def call() -> None:
            if self.tracker is not None:
                effects = self.tracker.handle(events.Received(name, message), self.now)
                self.tracker.check()
                self._carry_out(TRACKER, effects)

        self._at(self.now + self.latency_s, call)

    def _send(self, sender: str, receiver: str, message: Message) -> None:
        self._carry(sender, receiver, message, self._free(sender, receiver, 0.0), events.Received(sender, message))

    def _send_block(self, sender: str, effect: events.SendBlock) -> None:
        receiver, block = effect.peer, effect.block
        ok = not (effect.spoil or (self.corrupt is not None and self.corrupt(sender, receiver, block)))
        sent_s = self._free(sender, receiver, self.pace.get(sender, self.block_s))
        number = self._links.get(frozenset((sender, receiver)))
        self._at(sent_s, lambda: self._arrive(receiver, sender, number, events.Sent(receiver, block)))
        arrived = events.Arrived(sender, block, ok, busy=effect.busy)
        self._carry(sender, receiver, messages.Bloco(block), sent_s, arrived)

    def _carry(self, sender: str, receiver: str, message: Message, sent_s: float, event: events.Event) -> None:
        number = self._links.get(frozenset((sender, receiver)))
        for extra_s in self.wire(sender, receiver, message):
            self._at(sent_s + self.latency_s + extra_s, lambda: self._arrive(sender, receiver, number, event))

    def _free(self, sender: str, receiver: str, busy_s: float) -> float:
        """When this way of the link has sent something that takes `busy_s`."""
        way = sender, receiver, self._links.get(frozenset((sender, receiver)), 0)
        self._free_at[way] = free_at = max(self.now, self._free_at.get(way, 0.0)) + busy_s
        return free_at

    def _arrive(self, sender: str, receiver: str, number: int | None, event: events.Event) -> None:
        if number is not None and self._links.get(frozenset((sender, receiver))) == number:
            self.tell(receiver, event)

    def _dial(self, one: str, other: str, alone: bool) -> None:
        pair = frozenset((one, other))
        if pair in self._links:
            return
        if pair in self._cuts or other not in self.alive() or one not in self.alive():
            self.say(f"{one} can't reach {other}")
            self.tell(one, events.Unlinked(other, "unreachable"))
            return
        self._links[pair] = next(self._numbers)
        self.say(f"{one} and {other} are linked")
        self.tell(one, events.Linked(_address(other), True))
        self.tell(other, events.Linked(_address(one), False, alone))

    def _hang_up(self, one: str, other: str, farewell: messages.Desligamento | None) -> None:
        number = self._links.get(frozenset((one, other)))
        if number is not None and farewell is None:  # it answers a farewell, unless a test injected that
            self._unlink(one, other, self._farewells.get(number, "a farewell was injected"), number)
        elif number is not None and farewell is not None:
            self._send(one, other, farewell)
            self._farewells[number] = why = reason(one, farewell)
            self._at(self._free(one, other, 0.0) + self.latency_s, lambda: self._unlink(one, other, why, number))

    def _unlink(self, one: str, other: str, why: str, number: int | None = None) -> None:
        pair = frozenset((one, other))
        if pair not in self._links or number not in (None, self._links[pair]):
            return
        del self._links[pair]
        self.say(f"{one} and {other} are unlinked: {why}")
        for end, far in ((one, other), (other, one)):
            self.tell(end, events.Unlinked(far, why))


def _address(name: str) -> PeerAddress:
    return PeerAddress(name, name, 1)
