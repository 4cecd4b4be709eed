"""The simulated world: it carries the effects of peers out and brings them events, in virtual time.

It is the shell of the simulation, as `minibit.actors.node` is the shell of the real world: the same `Peer` and
`Tracker` hear the same facts in the same order. Everything follows from the arguments: same seed, same records. What
comes from outside (arrivals, faults) is a method here, and `minibit.run.plan` says when it is called.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from random import Random
from typing import Literal

from minibit import inventory
from minibit.content import Content
from minibit.errors import LocalError
from minibit.events import (
    TRACKER,
    Call,
    Dial,
    Effect,
    Event,
    HangUp,
    Joining,
    Leaving,
    Note,
    Received,
    Send,
    SendBlock,
    Starting,
)
from minibit.life import GONE
from minibit.messages import VERB_OF, Message
from minibit.records import PeerRecord, Record
from minibit.rules import Rules
from minibit.seat import Seat
from minibit.sim.bandwidth import End
from minibit.sim.clock import Clock
from minibit.sim.journal import Entry, Journal
from minibit.sim.machine import Machine
from minibit.sim.network import PROGRESS_S, Network, address
from minibit.sim.watcher import Watcher
from minibit.tracker import Tracker
from minibit.wire.carriage import IDLE_S


class World:
    """Peers, their tracker and the network between them; all their chance follows from `seed`."""

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
        self.machines: dict[str, Machine] = {}
        self.network = Network(
            self.clock,
            self.machines,
            content,
            self.tell,
            latency_s=latency_s,
            connect_s=4 * latency_s if connect_s is None else connect_s,
            progress_s=min(PROGRESS_S, rules.request_timeout_s / 3),  # or a slow peer would count as silent
            rng=Random(f"{seed}/network"),
        )
        self.tracker: Tracker | None = Tracker(rules, seed)
        self.records: list[Record] = []
        self.waiting: dict[str, None] = {}  # the peers that the run waits for; a dict, for its order
        self._watchers = watchers
        self._tracker_sent: Counter[type] = Counter()
        self._tracker_wake_s = inf

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self.clock.now

    # peers

    def seat(self, seat: Seat, held: int, *, journal: bool = False) -> Machine:
        """Let a peer join now, with these blocks (an inventory); it may ask for more at once.

        Its seat must have an `upload_bps`: a simulated line has a rate. `journal`: keep its events.
        """
        assert seat.upload_bps is not None
        peer = seat.peer(self.content, self.seed, held)
        end = End(seat.upload_bps, seat.download_bps or inf)
        kept = Journal.of(peer, self.seed) if journal else None
        machine = self.machines[seat.name] = Machine(peer, end, seat.stay_s, kept)
        self.tell(machine, Joining(address(seat.name)))
        self.tell(machine, Starting())
        return machine

    def tell(self, machine: Machine, event: Event) -> None:
        """Let a peer handle an event now; a peer that is paused handles it when it goes on."""
        if machine.inbox is not None:
            machine.inbox.append(event)
        elif machine.alive and machine.peer.life.stage is not GONE:
            self._handle(machine, event)

    def _wake(self, machine: Machine, wake_s: float) -> None:
        if machine.wake_s != wake_s:
            return  # the peer asked for an earlier wake, and had it
        machine.wake_s = inf
        if machine.inbox is None and machine.alive:
            self._handle(machine, None)

    def _handle(self, machine: Machine, event: Event | None) -> None:
        now = self.clock.now
        if machine.journal is not None:
            machine.journal.entries.append(Entry(now, event))
        watchers = self._watchers
        for watcher in watchers:
            watcher.told(self, machine, event)
        peer = machine.peer
        try:
            effects = peer.wake(now) if event is None else peer.handle(event, now)
        except LocalError as error:  # a strategy from outside Minibit is broken
            self._end(machine, "failed", str(error))
            return
        if effects:  # most news leads to nothing
            self._carry_out(machine, effects)
        if (wake_s := peer.next_wake()) is not None and wake_s < machine.wake_s:  # seldom: most events set no timer
            self._arm(machine, wake_s)
        for watcher in watchers:
            watcher.after(self, machine, event)

    def _carry_out(self, machine: Machine, effects: list[Effect]) -> None:
        for effect in effects:
            for watcher in self._watchers:
                watcher.did(self, machine, effect)
            if type(effect) is Send:  # the most frequent first; to match or ask isinstance would take longer
                self.network.send(machine, effect.peer, effect.message)
            elif type(effect) is Note:
                self._note(machine, effect.record)
            elif type(effect) is SendBlock:
                self.network.send_block(machine, effect.peer, effect.block, effect.spoil, effect.busy)
            elif type(effect) is Dial:
                self.network.dial(machine, effect.address.peer, effect.alone)
            elif type(effect) is HangUp:
                self.network.hang_up(machine, effect.peer, effect.farewell)
            elif type(effect) is Call:
                self._call_tracker(machine, effect.message)

    def _arm(self, machine: Machine, wake_s: float) -> None:
        machine.wake_s = wake_s
        self.clock.at(wake_s, self._wake, machine, wake_s)

    def _note(self, machine: Machine, record: Record) -> None:
        self.records.append(record)
        if type(record) is PeerRecord and record.peer == machine.name:
            if record.event in ("completed", "left", "died", "failed"):
                self.waiting.pop(machine.name, None)
            if record.event == "completed" and machine.stay_s is not None:
                self.clock.at(self.clock.now + machine.stay_s, self.leave, machine.name, "it stayed long enough")

    # the tracker

    def _call_tracker(self, machine: Machine, message: Message) -> None:
        machine.sent[type(message)] += 1
        if self.network.together(machine.name, TRACKER):
            self.clock.at(self.clock.now + self.network.latency_s, self._tracker_hears, machine.name, message)

    def _tracker_hears(self, sender: str, message: Message) -> None:
        if self.tracker is not None:
            self._tracker_says(self.tracker, self.tracker.handle(Received(sender, message), self.clock.now))

    def _tracker_wakes(self, wake_s: float) -> None:
        if self._tracker_wake_s == wake_s:
            self._tracker_wake_s = inf
            if self.tracker is not None:
                self._tracker_says(self.tracker, self.tracker.wake(self.clock.now))

    def _tracker_says(self, tracker: Tracker, effects: list[Effect]) -> None:
        for effect in effects:
            assert isinstance(effect, Send)
            self._tracker_sent[type(effect.message)] += 1
            if (machine := self.machines.get(effect.peer)) is not None and self.network.together(machine.name, TRACKER):
                news = Received(TRACKER, effect.message)
                self.clock.at(self.clock.now + self.network.latency_s, self.tell, machine, news)
        wake_s = tracker.next_wake()
        if wake_s is not None and wake_s < self._tracker_wake_s:
            self._tracker_wake_s = wake_s
            self.clock.at(wake_s, self._tracker_wakes, wake_s)

    def kill_tracker(self) -> None:
        """End the tracker: from now on it answers nobody."""
        self.tracker = None

    def restart_tracker(self) -> None:
        """Start a new tracker, with an empty roster."""
        self.tracker = Tracker(self.rules, self.seed)

    # what a scenario does to peers that are there (for links, see the network)

    def leave(self, name: str, why: str = "enough") -> None:
        """Let the peer say goodbye and leave."""
        if (machine := self._there(name)) is not None:
            self.tell(machine, Leaving(why))

    def kill(self, name: str) -> None:
        """End the peer without a word."""
        if (machine := self._there(name)) is not None:
            self._end(machine, "died", "killed")

    def _end(self, machine: Machine, event: Literal["died", "failed"], why: str) -> None:
        machine.alive = False
        machine.inbox = None
        self._note(machine, PeerRecord(self.clock.now, machine.name, event, why))
        self.network.drop_all(machine, "reset")

    def pause(self, name: str) -> None:
        """Let the peer do nothing; its links stand until they have been silent for too long."""
        if (machine := self._there(name)) is not None and machine.inbox is None:
            machine.inbox = []
            self.network.bandwidth.limit(machine.end, 0.0, machine.end.down_bps)
            self.clock.at(self.clock.now + IDLE_S, self._silent, machine, machine.inbox)

    def _silent(self, machine: Machine, inbox: list[Event]) -> None:
        if machine.inbox is inbox:  # it is the same pause
            self.network.silent(machine)

    def resume(self, name: str) -> None:
        """Let the peer go on: it handles at once all that it missed."""
        if (machine := self._there(name)) is not None and machine.inbox is not None:
            missed, machine.inbox = machine.inbox, None
            self.network.bandwidth.limit(machine.end, machine.awake_bps, machine.end.down_bps)
            for event in missed:
                self.tell(machine, event)
            if (wake_s := machine.peer.next_wake()) is not None and wake_s < machine.wake_s:
                self._arm(machine, wake_s)

    def _there(self, name: str) -> Machine | None:
        """The peer of that name, if it is there."""
        machine = self.machines.get(name)
        return machine if machine is not None and machine.up else None

    # figures

    def over(self, timed_out: bool = False) -> None:
        """Tell every watcher that the run is over."""
        for watcher in self._watchers:
            watcher.over(self, timed_out)

    def messages(self, machine: Machine) -> dict[str, int]:
        """Messages that this peer has sent, by verb; the seed's include those of the tracker beside it."""
        sent = machine.sent + self._tracker_sent if machine.name == TRACKER else machine.sent
        return {VERB_OF[kind]: count for kind, count in sent.items()}

    def sample(self) -> None:
        """Note how far every peer is."""
        self.records += [machine.sample(self.clock.now) for machine in self.machines.values() if machine.up]
