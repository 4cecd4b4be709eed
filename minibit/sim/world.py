"""The simulated world: it carries the effects of peers out and brings them events, in virtual time.

The shell of the twin, as `minibit.actors.node` is the shell of the real thing: the same `Peer` and `Tracker`, told the
same facts in the same order. Everything follows from the arguments: same seed, same records. What comes from
outside (arrivals, faults) is a method here, and `minibit.run.plan` says when it is called.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from math import inf
from random import Random
from typing import Any, Literal

import msgspec

from minibit import events, inventory
from minibit.behaviour import Honest
from minibit.content import Content
from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.life import GONE
from minibit.messages import Message
from minibit.peer import Peer
from minibit.records import PeerRecord, Record
from minibit.rules import Rules
from minibit.sim.bandwidth import End
from minibit.sim.clock import Clock
from minibit.sim.journal import Journal
from minibit.sim.machine import Node
from minibit.sim.network import PROGRESS_S, SILENT_LINK_S, Network, address
from minibit.tracker import Tracker


class Watcher:
    """Somebody who sees everything that happens, and asserts what he likes (`minibit.sim.checkers`)."""

    def told(self, world: World, node: Node, event: events.Event | None) -> None:
        """An event (None: a wake) is about to be handled."""

    def did(self, world: World, node: Node, effect: events.Effect) -> None:
        """This, which follows from the event, is about to be carried out."""

    def after(self, world: World, node: Node, event: events.Event | None) -> None:
        """The event was handled, and all its effects carried out."""

    def over(self, world: World, timed_out: bool) -> None:
        """The run is over: nothing more will come, or its time limit came first."""


class World:
    """Peers, their tracker and the network between them; `seed` is the chance of all of them."""

    def __init__(
        self,
        content: Content,
        rules: Rules,
        seed: int | str = 1,
        *,
        latency_s: float = 0.01,
        connect_s: float | None = None,
        watchers: tuple[Watcher, ...] = (),
    ) -> None:
        self.content = content
        self.rules = rules
        self.seed = seed
        self.all = inventory.full(content.block_count)
        self.clock = Clock()
        self.nodes: dict[str, Node] = {}
        self.network = Network(
            self.clock,
            self.nodes,
            content,
            self.tell,
            latency_s=latency_s,
            connect_s=4 * latency_s if connect_s is None else connect_s,
            progress_s=min(PROGRESS_S, rules.request_timeout_s / 3),  # or what is slow would be taken for silent
            rng=Random(f"{seed}/network"),
        )
        self.tracker: Tracker | None = Tracker(rules, seed)
        self.records: list[Record] = []
        self.waiting: dict[str, None] = {}  # the peers of whom it is expected that they complete, and who have not
        self._watchers = watchers
        self._tracker_sent: Counter[type] = Counter()
        self._tracker_wake_s = inf

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self.clock.now

    # peers

    def seat(
        self,
        name: str,
        *,
        held: int = inventory.EMPTY,
        behaviour: type[Honest] = Honest,
        rules: Rules | None = None,
        stays: bool = False,
        stay_s: float | None = None,
        up_bps: float,
        down_bps: float = inf,
        journal: bool = False,
    ) -> Node:
        """A peer that joins now, and may ask for blocks at once.

        `rules` are its own; None: those of all. `stays`: it never leaves of itself, whatever they say; `stay_s`: it
        leaves so long after it completed.
        """
        rules = rules or self.rules
        if stays or stay_s is not None:
            rules = msgspec.structs.replace(rules, leave="never")
        peer = Peer(name, self.content, rules, self.seed, held=held, behaviour=behaviour())
        node = self.nodes[name] = Node(peer, End(up_bps, down_bps), stay_s=stay_s)
        if journal:
            node.journal = Journal.of(peer, self.seed)
        self.tell(node, events.Joining(address(name)))
        self.tell(node, events.Starting())
        return node

    def tell(self, node: Node, event: events.Event) -> None:
        """This happens to a peer, now; to one that is paused, when it goes on."""
        if node.inbox is not None:
            node.inbox.append(event)
        elif node.alive and node.peer.life.stage is not GONE:
            self._handle(node, event)

    def _wake(self, node: Node, wake_s: float) -> None:
        if node.wake_s != wake_s:
            return  # it wanted to be woken earlier, and was
        node.wake_s = inf
        if node.inbox is None and node.alive:
            self._handle(node, None)

    def _handle(self, node: Node, event: events.Event | None) -> None:
        now = self.clock.now
        if node.journal is not None:
            node.journal.add(now, event)
        for watcher in self._watchers:
            watcher.told(self, node, event)
        try:
            effects = node.peer.wake(now) if event is None else node.peer.handle(event, now)
        except LocalError as error:  # a strategy of somebody's own is broken
            self._end(node, "failed", str(error))
        else:
            self._carry_out(node, event, effects)

    def _carry_out(self, node: Node, event: events.Event | None, effects: list[events.Effect]) -> None:
        for effect in effects:
            for watcher in self._watchers:
                watcher.did(self, node, effect)
            if type(effect) is events.Send:  # nearly all are
                self.network.send(node, effect.peer, effect.message)
            else:
                _CARRY_OUT[type(effect)](self, node, effect)
        self._arm(node)
        for watcher in self._watchers:
            watcher.after(self, node, event)

    def _arm(self, node: Node) -> None:
        wake_s = node.peer.next_wake()
        if wake_s is not None and wake_s < node.wake_s:
            node.wake_s = wake_s
            self.clock.at(wake_s, self._wake, node, wake_s)

    def _send_block(self, node: Node, effect: events.SendBlock) -> None:
        self.network.send_block(node, effect.peer, effect.block, effect.spoil)

    def _dial(self, node: Node, effect: events.Dial) -> None:
        self.network.dial(node, effect.address.peer, effect.alone)

    def _hang_up(self, node: Node, effect: events.HangUp) -> None:
        self.network.hang_up(node, effect.peer, effect.farewell)

    def _note(self, node: Node, effect: events.Note) -> None:
        record = effect.record
        self.records.append(record)
        if type(record) is PeerRecord and record.peer == node.name:
            if record.event in ("completed", "left", "died", "failed"):
                self.waiting.pop(node.name, None)
            if record.event == "completed" and node.stay_s is not None:
                self.clock.at(self.clock.now + node.stay_s, self.leave, node.name, "it stayed long enough")

    def _nothing(self, node: Node, effect: events.Effect) -> None:
        pass

    # the tracker

    def _call_tracker(self, node: Node, effect: events.Call) -> None:
        node.sent[type(effect.message)] += 1
        if self.network.together(node.name, TRACKER):
            self.clock.at(self.clock.now + self.network.latency_s, self._tracker_hears, node.name, effect.message)

    def _tracker_hears(self, sender: str, message: Message) -> None:
        if self.tracker is not None:
            self._tracker_says(self.tracker, self.tracker.handle(events.Received(sender, message), self.clock.now))

    def _tracker_wakes(self, wake_s: float) -> None:
        if self._tracker_wake_s == wake_s:
            self._tracker_wake_s = inf
            if self.tracker is not None:
                self._tracker_says(self.tracker, self.tracker.wake(self.clock.now))

    def _tracker_says(self, tracker: Tracker, effects: list[events.Effect]) -> None:
        for effect in effects:
            assert isinstance(effect, events.Send)
            self._tracker_sent[type(effect.message)] += 1
            if (node := self.nodes.get(effect.peer)) is not None and self.network.together(node.name, TRACKER):
                news = events.Received(TRACKER, effect.message)
                self.clock.at(self.clock.now + self.network.latency_s, self.tell, node, news)
        wake_s = tracker.next_wake()
        if wake_s is not None and wake_s < self._tracker_wake_s:
            self._tracker_wake_s = wake_s
            self.clock.at(wake_s, self._tracker_wakes, wake_s)

    def kill_tracker(self) -> None:
        """Nobody answers at the tracker."""
        self.tracker = None

    def restart_tracker(self) -> None:
        """A tracker is there again, and knows nobody."""
        self.tracker = Tracker(self.rules, self.seed)

    # what can be done to peers, if they are there (what befalls links: see the network)

    def leave(self, name: str, why: str = "enough") -> None:
        """The peer says goodbye."""
        for node in self._those((name,)):
            self.tell(node, events.Leaving(why))

    def kill(self, name: str) -> None:
        """The peer is gone without a word."""
        for node in self._those((name,)):
            self._end(node, "died", "killed")

    def _end(self, node: Node, event: Literal["died", "failed"], why: str) -> None:
        node.alive = False
        node.inbox = None
        self._note(node, events.Note(PeerRecord(self.clock.now, node.name, event, why)))
        self.network.drop_all(node, "reset")

    def pause(self, name: str) -> None:
        """The peer does nothing, and its links stand until they have been silent for too long."""
        for node in self._those((name,)):
            if node.inbox is None:
                node.inbox = []
                self.network.bandwidth.limit(node.end, 0.0, node.end.down_bps)
                self.clock.at(self.clock.now + SILENT_LINK_S, self._silent, node, node.inbox)

    def _silent(self, node: Node, inbox: list[events.Event]) -> None:
        if node.inbox is inbox:  # it is the same pause
            self.network.silent(node)

    def resume(self, name: str) -> None:
        """The peer goes on, and hears at once what it missed."""
        for node in self._those((name,)):
            if node.inbox is not None:
                missed, node.inbox = node.inbox, None
                self.network.bandwidth.limit(node.end, node.awake_bps, node.end.down_bps)
                for event in missed:
                    self.tell(node, event)
                self._arm(node)

    def _those(self, names: Iterable[str]) -> list[Node]:
        """Of the peers with these names, those that are there."""
        return [self.nodes[name] for name in names if name in self.nodes and self.nodes[name].up]

    # figures

    def over(self, timed_out: bool = False) -> None:
        """The run is over: every watcher hears of it."""
        for watcher in self._watchers:
            watcher.over(self, timed_out)

    def messages(self, node: Node) -> dict[str, int]:
        """What this peer has sent, by verb; the tracker's, what its machine has sent."""
        sent = node.sent + self._tracker_sent if node.name == TRACKER else node.sent
        return {str(kind.__struct_config__.tag): count for kind, count in sent.items()}  # type: ignore[attr-defined]

    def sample(self) -> None:
        """Note how far every peer is."""
        self.records += [node.sample(self.clock.now) for node in self.nodes.values() if node.up]


_CARRY_OUT: dict[type, Callable[[World, Node, Any], None]] = {
    events.SendBlock: World._send_block,
    events.Note: World._note,
    events.Dial: World._dial,
    events.HangUp: World._hang_up,
    events.Call: World._call_tracker,
    events.Finish: World._nothing,
    events.Left: World._nothing,
}
