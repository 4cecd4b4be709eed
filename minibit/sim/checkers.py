"""What must hold in every simulated world, checked from outside, in addition to what every peer checks itself.

A checker watches the world and keeps its own books, from the events that a peer was told and the effects that it gave.
It believes no peer's books. What it finds is a `Violation`, which says which peer, when and what.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from math import inf
from traceback import walk_tb
from typing import NoReturn

from minibit import events, inventory, messages
from minibit.events import TRACKER
from minibit.pipeline import MOST_REQUESTERS
from minibit.records import BlockRecord
from minibit.sim import reach
from minibit.sim.link_book import LinkBook
from minibit.sim.machine import Machine, Way
from minibit.sim.watcher import Watcher
from minibit.sim.world import World

ROUNDING_BYTES = 1.0
WAKES_AT_ONCE = 20  # a peer has seven timers, and each may be set again once
EVENTS_AT_ONCE = 100_000  # events of a peer that goes on after a pause
LOOK_S = 1.0  # seconds between two looks at the whole world


class Violation(AssertionError):
    """Something that must hold does not; `checker` is the name of what must hold."""

    def __init__(self, checker: str, who: str, now: float, what: str) -> None:
        self.checker = checker
        super().__init__(f"{checker}: {who} at {now:.3f} s: {what}")


class Checker(Watcher):
    """Base of all checkers."""

    def complain(self, world: World, who: str, what: str) -> NoReturn:
        """Raise a `Violation`: something does not hold of the peer `who`."""
        raise Violation(type(self).__name__, who, world.now, what)


class BytesAreKept(Checker):
    """All bytes that were sent have been received, or are on their way, or were lost with a link or a peer.

    On a link blocks arrive in the order in which they were sent, each once. Every block that arrives is recorded
    once, as useful, double or rejected. No peer sends faster than its uplink, or receives faster than its downlink.
    """

    def __init__(self) -> None:
        self._under_way: defaultdict[tuple[str, str], list[_Parcel]] = defaultdict(list)  # by (sender, receiver)
        self._since_s: dict[str, float] = {}
        self._sent_bytes: Counter[str] = Counter()
        self._heard_bytes: Counter[str] = Counter()
        self._recorded: list[BlockRecord] = []

    def told(self, world: World, machine: Machine, event: events.Event | None) -> None:
        """A block is marked when its last byte has left, and taken from the list, in order, when it arrives."""
        self._recorded.clear()
        self._since_s.setdefault(machine.name, world.now)
        match event:
            case events.Linked(address):
                parcels = self._under_way[address.peer, machine.name]
                parcels[:] = [parcel for parcel in parcels if parcel.way.open]  # the others were lost with their link
            case events.Sent(peer, block):
                parcels = self._under_way[machine.name, peer]
                way = machine.ways.get(peer)
                parcel = next((parcel for parcel in parcels if parcel.left_s is None and parcel.way is way), None)
                if parcel is None or parcel.block != block:
                    self.complain(world, machine.name, f"{event}, and that was not sent")
                parcel.left_s = world.now
                self._sent_bytes[machine.name] += world.content.length(block)
            case events.Arrived(sender, block):
                parcels = self._under_way[sender, machine.name]
                if not parcels or parcels.pop(0).block != block:
                    self.complain(world, machine.name, f"{event}, and that was not sent, or not in this order")
                self._heard_bytes[machine.name] += world.content.length(block)

    def did(self, world: World, machine: Machine, effect: events.Effect) -> None:
        if isinstance(effect, events.SendBlock):
            if (way := machine.ways.get(effect.peer)) is not None:
                self._under_way[machine.name, effect.peer].append(_Parcel(way, effect.block))
        elif isinstance(effect, events.Note) and isinstance(effect.record, BlockRecord):
            self._recorded.append(effect.record)

    def after(self, world: World, machine: Machine, event: events.Event | None) -> None:
        """There is one record for each block that arrived, and no line was faster than its rate."""
        if isinstance(event, events.Arrived):
            rows = [(record.peer, record.source, record.block, record.bytes) for record in self._recorded]
            due = (machine.name, event.sender, event.block, world.content.length(event.block))
            gone = not rows and event.sender not in machine.peer.contacts.up  # an earlier event ended the link
            if rows != [due] and not gone:
                self.complain(world, machine.name, f"{event} was recorded as {rows}")
            self._check_line(world, machine, machine.received_bytes, machine.end.down_bps)
        elif self._recorded:
            self.complain(world, machine.name, f"{event} was recorded as {self._recorded}")
        elif isinstance(event, events.Sent):
            self._check_line(world, machine, machine.sent_bytes, machine.awake_bps)

    def _check_line(self, world: World, machine: Machine, total_bytes: int, line_bps: float) -> None:
        span_s = world.now - self._since_s[machine.name]
        if total_bytes > line_bps * span_s * (1 + 1e-9) + ROUNDING_BYTES:
            self.complain(world, machine.name, f"{total_bytes} bytes in {span_s:g} s by {line_bps:g} bytes a second")

    def over(self, world: World, timed_out: bool) -> None:
        """The books agree, and every block that has not arrived is lost or on its way."""
        for name, machine in world.machines.items():
            if machine.sent_bytes != (seen := self._sent_bytes[name]):
                self.complain(world, name, f"{machine.sent_bytes} bytes sent, and {seen} seen")
            if machine.up and machine.inbox is None and machine.received_bytes != (seen := self._heard_bytes[name]):
                self.complain(world, name, f"{machine.received_bytes} bytes taken, and {seen} seen")
        for (sender, receiver), parcels in self._under_way.items():
            for parcel in parcels:
                way = parcel.way
                if way.open and parcel.left_s is not None and world.machines[receiver].inbox is None:
                    due_s = max(parcel.left_s + world.network.latency_s + way.delay_s, way.ready_s)
                    if world.now > due_s + 1e-6:
                        self.complain(world, sender, f"block {parcel.block} never came to {receiver}")


@dataclass(slots=True)
class _Parcel:
    """A block that was sent on a way, and when its last byte left."""

    way: Way
    block: int
    left_s: float | None = None


class BlocksAreVerified(Checker):
    """A peer holds only blocks that it started with, or whose hash was right.

    Only a liar announces other blocks. A peer sends only blocks that it holds, and only a corrupter sends wrong bytes.
    """

    def __init__(self) -> None:
        self._verified: dict[str, int] = {}

    def told(self, world: World, machine: Machine, event: events.Event | None) -> None:
        """Note what the peer holds at first, and each block that arrives with a right hash."""
        held = self._verified.setdefault(machine.name, machine.peer.held)
        if isinstance(event, events.Arrived) and event.ok:
            self._verified[machine.name] = held | 1 << event.block

    def did(self, world: World, machine: Machine, effect: events.Effect) -> None:
        verified = self._verified[machine.name]
        match effect:
            case events.SendBlock(_, block, spoil):
                if not verified >> block & 1:
                    self.complain(world, machine.name, f"sends block {block}, which it lacks")
                if spoil and not machine.peer.behaviour.spoils:
                    self.complain(world, machine.name, f"sends block {block} wrong, and is no corrupter")
            case events.Send(_, messages.Estoque(whole, new)):
                false = (inventory.of(new) | int(whole or "0", 16)) & ~verified
                if false and not reach.lies(machine):
                    self.complain(world, machine.name, f"announces {_blocks(false)}, which it lacks")

    def after(self, world: World, machine: Machine, event: events.Event | None) -> None:
        if unverified := machine.peer.held & ~self._verified[machine.name]:
            self.complain(world, machine.name, f"holds {_blocks(unverified)}, which never passed")


class SlotsAreKept(Checker):
    """No peer serves more neighbours at once than it has slots; a choker without slots may serve any number."""

    def __init__(self) -> None:
        self._served: defaultdict[str, set[str]] = defaultdict(set)

    def told(self, world: World, machine: Machine, event: events.Event | None) -> None:
        if isinstance(event, events.Unlinked):
            self._served[machine.name].discard(event.peer)

    def did(self, world: World, machine: Machine, effect: events.Effect) -> None:
        served = self._served[machine.name]
        match effect:
            case events.Send(peer, messages.Desbloqueio()):
                served.add(peer)
                slots = world.rules.slots + world.rules.guests
                if len(served) > slots and machine.peer.uploads.slots is not None:
                    self.complain(world, machine.name, f"serves {sorted(served)} with {slots} slots")
            case events.Send(peer, messages.Bloqueio()) | events.HangUp(peer):
                served.discard(peer)


class BlocksAreAskedOnce(Checker):
    """A block is asked of one neighbour; in endgame (every missing block is in flight), of three at most.

    A peer asks for no block that it holds. It asks no neighbour that does not serve it, that does not announce the
    block, or that has as many PEDIDOs as the pipeline takes. It may give up a PEDIDO at a neighbour that is silent for
    the time-out.
    """

    def __init__(self) -> None:
        self._links: defaultdict[str, dict[str, LinkBook]] = defaultdict(dict)

    def told(self, world: World, machine: Machine, event: events.Event | None) -> None:
        links = self._links[machine.name]
        for link in links.values():
            link.look(world.now, world.rules.request_timeout_s)
        match event:
            case events.Linked(address, _, _):
                links.setdefault(address.peer, LinkBook())
            case events.Unlinked(peer, _):
                links.pop(peer, None)
            case events.Arrived(sender, block, _) if sender in links:
                links[sender].arrived(block, world.now)
            case events.Progressed(sender) if sender in links:
                links[sender].heard_s = world.now
            case events.Received(sender, message) if sender in links:
                links[sender].hear(message)

    def did(self, world: World, machine: Machine, effect: events.Effect) -> None:
        links = self._links[machine.name]
        match effect:
            case events.HangUp(peer):
                links.pop(peer, None)
            case events.Send(peer, messages.Pedido(block, rarer)) if peer in links:
                self._need_place(world, machine, links, peer, block)
                links[peer].ask(block, rarer, world.now)
            case events.Send(peer, messages.Estoque(_, new)) if peer in links:
                links[peer].call_off(inventory.of(new))

    def _need_place(self, world: World, machine: Machine, links: dict[str, LinkBook], peer: str, block: int) -> None:
        def need(holds: object, what: str) -> None:
            if not holds:
                self.complain(world, machine.name, f"asks {peer} for {block}, {what}")

        link, rules = links[peer], world.rules
        need(not machine.peer.held >> block & 1, "which it holds")
        need(link.serves, "which does not serve it")
        need(link.theirs >> block & 1, "which does not announce it")
        need(len(link.open) < rules.pipeline, f"which has {len(link.open)} PEDIDOs")
        others = [name for name, book in links.items() if block in book.open]
        need(len(others) < MOST_REQUESTERS, f"which is asked of {others}")
        need(peer not in others, "which it asked already")
        if others:
            asked = inventory.of(block for book in links.values() for block in (*book.open, *book.given_up))
            need(not machine.peer.missing & ~asked, f"which is asked of {others}, and it is not endgame")


class PeersAgree(Checker):
    """Every peer's own invariants hold after every event, and the tracker's too."""

    def after(self, world: World, machine: Machine, event: events.Event | None) -> None:
        for name, one in ((machine.name, None if machine.peer.left else machine.peer), (TRACKER, world.tracker)):
            try:
                if one is not None:
                    one.check()
            except AssertionError as error:
                *_, (frame, line) = walk_tb(error.__traceback__)
                said = f"{error} {frame.f_code.co_qualname} line {line}".lstrip()
                self.complain(world, name, f"its own check fails after {event} of {machine.name}: {said}")


class NobodySpins(Checker):
    """A peer wakes a bounded number of times at one instant and in a second, and time goes on.

    In a second it may wake for news, for rounds and for dials, which have rules of their own, and now and then for
    PEDIDOs that are overdue.
    """

    def __init__(self) -> None:
        self._now = -inf
        self._events: Counter[str] = Counter()  # at this instant
        self._wakes: Counter[str] = Counter()
        self._second = 0
        self._wakes_in_second: Counter[str] = Counter()

    def told(self, world: World, machine: Machine, event: events.Event | None) -> None:
        if world.now != self._now:
            self._now = world.now
            self._events.clear()
            self._wakes.clear()
        if int(world.now) != self._second:
            self._second = int(world.now)
            self._wakes_in_second.clear()
        name = machine.name
        counted: list[tuple[Counter[str], float, str]] = [(self._events, EVENTS_AT_ONCE, "events at one instant")]
        if event is None:
            counted.append((self._wakes, WAKES_AT_ONCE, "wakes at one instant"))
            counted.append((self._wakes_in_second, _most_wakes(world, machine), "wakes in a second"))
        for counts, most, what in counted:
            counts[name] += 1
            if counts[name] > most:
                self.complain(world, name, f"{counts[name]} {what}")


def _most_wakes(world: World, machine: Machine) -> float:
    rules, contacts = world.rules, machine.peer.contacts
    news_s = machine.peer.exchange.announcer.gather_s(1)  # a moment ago, it may have had fewer neighbours than now
    news = 2 * min(world.content.block_count, 1 / news_s if news_s else 0)
    tries = (1 + len(contacts.known)) / rules.retry_s + 1 / rules.tracker_s
    overdue = 2 * rules.pipeline + 2 * len(contacts.up)
    return WAKES_AT_ONCE + 1 / rules.round_s + news + tries + overdue


class AllComplete(Checker):
    """A peer that is up and awake in the end has completed, if all blocks that it lacks were within its reach."""

    def over(self, world: World, timed_out: bool) -> None:
        if timed_out or reach.hasty(world):
            return
        for name, blocks in reach.within(world, reach.reach(world)).items():
            if blocks == world.machines[name].peer.missing:
                self.complain(world, name, f"is given up, and lacks {_blocks(blocks)}, all within its reach")


class NothingStalls(Checker):
    """While a block is within reach of a peer that lacks it, a useful block arrives somewhere within the patience.

    How long that is, and why: `minibit.sim.reach.patience_s`.
    """

    def __init__(self) -> None:
        self._looked_s = -inf
        self._reach: reach.Reach = {}
        self._since_s = 0.0
        self._patience_s = 0.0

    def did(self, world: World, machine: Machine, effect: events.Effect) -> None:
        record = effect.record if isinstance(effect, events.Note) else None
        if isinstance(record, BlockRecord) and record.verdict == "useful":
            self._since_s = world.now

    def after(self, world: World, machine: Machine, event: events.Event | None) -> None:
        now = world.now
        if now < self._looked_s + LOOK_S:
            return
        self._looked_s = now
        links = reach.reach(world)
        self._patience_s = max(self._patience_s, reach.patience_s(world))  # a line that was slow may be so still
        hungry = [name for name, blocks in reach.within(world, links).items() if blocks]
        if links != self._reach or not hungry or reach.hasty(world):
            self._reach, self._since_s = links, now
        if (span_s := now - self._since_s) > self._patience_s:
            self.complain(world, ", ".join(hungry), f"nothing useful came for {span_s:.0f} s")


def all_checkers() -> tuple[Checker, ...]:
    """One of each, for one world."""
    return (
        BytesAreKept(),
        BlocksAreVerified(),
        SlotsAreKept(),
        BlocksAreAskedOnce(),
        PeersAgree(),
        NobodySpins(),
        AllComplete(),
        NothingStalls(),
    )


def _blocks(blocks: int) -> list[int]:
    return list(inventory.indices(blocks))
