"""One simulated run, from the options of the command line to its summary.

It takes the same options and gives the same records and summary as a run of real actors. In a simulation, a member
without a limit has an uplink of `LINE_BPS`. Every complete copy counts as verified: a peer never holds a block whose
verdict was bad.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import inf
from typing import Any, Protocol

import msgspec

from minibit.content import SharedContent, VirtualContent
from minibit.errors import OptionError
from minibit.records import Record
from minibit.run import causes, plan, verdict
from minibit.run.ledger import Ledger
from minibit.run.options import Options
from minibit.run.scenario import Scenario
from minibit.run.seating import seats
from minibit.run.summary import Summary
from minibit.sim import faults, reach
from minibit.sim.journal import Journal
from minibit.sim.watcher import Watcher
from minibit.sim.world import World

LINE_BPS = 125e6  # one gigabit a second: the uplink of a member without a limit
HOPELESS_S = 5.0  # when blocks are lost: the run ends after so long without a byte anywhere
DOUBT_S = 30.0  # without a byte for so long, the run looks whether any peer can reach a block that it lacks
LOOK_S = 1.0  # between two looks whether anything will still come
MOST_ASKED = 100  # peers that are asked why nothing flows
EVENTS_AT_ONCE = 100  # between two calls of `progress`: some hundredths of a real second


class Archive(Protocol):
    """Where a run is written: a `minibit.lab.archive.RunFolder`."""

    name: str

    def write(self, about: Mapping[str, Any], records: Iterable[Record], journals: Mapping[str, bytes]) -> None:
        """Write what is known of the run, its records, and the journals of peers by the names of their files."""


class Simulation:
    """A run that is ready to go. `run` takes it to its end; `world.clock.step` goes from event to event.

    content   what is shared; None: made content, as the options say
    watchers  observers of every event and effect
    journal   names of the peers whose events are kept (`minibit.sim.journal`)
    """

    def __init__(
        self,
        options: Options,
        scenario: Scenario | None = None,
        *,
        content: SharedContent | None = None,
        watchers: Iterable[Watcher] = (),
        journal: Iterable[str] = (),
    ) -> None:
        self.options = options
        self.scenario = scenario = scenario or Scenario()
        self.seats = seats(options, scenario, line_bps=LINE_BPS)
        size_bytes = options.size_bytes
        self.content = content or VirtualContent("made content", size_bytes, options.block_bytes_for(size_bytes))
        self._ledger = Ledger(options.name or "simulation", options, self.content, world="sim")
        self.world = World(
            self.content,
            options.rules,
            options.seed,
            latency_s=scenario.latency_s,
            connect_s=scenario.connect_s,
            watchers=tuple(watchers),
        )
        self.summary: Summary | None = None
        self._sample_s = scenario.sample_s or max(1.0, options.peers / 100)
        self._moved = (0, 0.0)  # bytes that arrived, and when that number last grew
        self._doubt_s = DOUBT_S
        self._hopeless: str | None = None
        self._plan(frozenset(journal))

    @property
    def ledger(self) -> Ledger:
        """The books of the run so far."""
        self._ledger.enter_all(self.world.records)
        self.world.records.clear()
        return self._ledger

    @property
    def records(self) -> Iterable[Record]:
        """All records so far."""
        return self.ledger.records()

    @property
    def journals(self) -> dict[str, Journal]:
        """The journals so far, by peer: of the peers that were named and have joined."""
        return {name: machine.journal for name, machine in self.world.machines.items() if machine.journal is not None}

    def run(self, progress: Callable[[Simulation], object] | None = None) -> Summary:
        """Go on until every peer is complete or can't be, or until the time limit; the summary.

        `progress` is called with this simulation every `EVENTS_AT_ONCE` events. A simulation knows only its virtual
        clock: `progress` itself must see how much real time went by, and return at once if it was too little.
        """
        limit_s = self.options.timeout_s or inf
        was_enabled = gc.isenabled()
        gc.disable()  # no cycle waits for it here, and it would visit millions of records again and again
        try:
            while self._go_on(limit_s):
                if progress is not None:
                    progress(self)
        finally:
            if was_enabled:
                gc.enable()
        timed_out = bool(self.world.waiting) and self._hopeless is None
        self.world.over(timed_out)
        why = f"the time limit of {limit_s:g} s came first" if timed_out else self._hopeless or ""
        self.summary = self._summary(limit_s if timed_out else self.world.now, why, timed_out)
        return self.summary

    def write(self, folder: Archive) -> Summary:
        """Write the run, which must be over, into a folder, and name it after that; its summary."""
        assert self.summary is not None, "run it first"
        self._ledger.run = folder.name
        self.summary = msgspec.structs.replace(self.summary, run=folder.name)
        kept = {f"{name}.journal": journal.encode() for name, journal in self.journals.items()}
        folder.write(self.ledger.about(self.summary), self.records, kept)
        return self.summary

    def _go_on(self, limit_s: float) -> bool:
        """Let `EVENTS_AT_ONCE` events happen; False once the run is over."""
        world, clock = self.world, self.world.clock
        for _ in range(EVENTS_AT_ONCE):
            if not world.waiting or self._hopeless is not None or not clock.step(limit_s):
                return False
        return True

    # before it begins

    def _plan(self, journal: frozenset[str]) -> None:
        world = self.world
        seed, *peers = [seat.name for seat in self.seats]
        if unknown := sorted(journal.difference([seed, *peers])):
            there = f"{seed}, and {peers[0]} to {peers[-1]}"
            raise OptionError("journal", unknown[0], f"there is no peer {unknown[0]!r}: there are {there}")
        for seat in self.seats:
            held = seat.held(self.content.block_count, self.options.seed)
            self._ledger.open(seat, held)
            take = partial(world.seat, seat, held, journal=seat.name in journal)
            if seat.seeds:
                take()  # the seed is there before the peers
            else:
                world.clock.at(seat.arrives_s, take)
        world.waiting = dict.fromkeys(verdict.waiting(self._ledger.accounts))
        moments = plan.moments(self.scenario.faults, [*peers, seed], self.options.seed)
        faults.put_in(world, moments)
        self._ledger.scenario = self.scenario.as_dict()
        self._ledger.faults = [one.as_dict() for one in sorted(moments, key=lambda one: one.at_s)]
        # nothing is planned after this time
        self._quiet_s = max(self.seats[-1].arrives_s, *(one.until_s or one.at_s for one in moments), 0.0)
        world.clock.at(self._sample_s, self._sample)
        world.clock.at(LOOK_S, self._look)

    # while it goes

    def _sample(self) -> None:
        self.world.sample()
        self.world.clock.at(self.world.now + self._sample_s, self._sample)

    def _look(self) -> None:
        self._hopeless = self._why_hopeless()
        self.world.clock.at(self.world.now + LOOK_S, self._look)

    def _why_hopeless(self) -> str | None:
        """Why the run need not go on, though peers wait; None: it must."""
        now = self.world.now
        moved_bytes = self.world.network.arrived_bytes
        before_bytes, since_s = self._moved
        if moved_bytes != before_bytes or now < self._quiet_s:
            self._moved = (moved_bytes, now)
            self._doubt_s = DOUBT_S
        elif now - since_s >= HOPELESS_S:
            accounts, block_count = self.ledger.accounts, self.content.block_count
            return verdict.why_hopeless(accounts, block_count, self._why_stalled(now - since_s))
        return None

    def _why_stalled(self, span_s: float) -> str | None:
        """Why no peer will get anything more, after `span_s` without a byte; None: one still may."""
        if span_s >= reach.patience_s(self.world):
            return f"nothing moved for {span_s:.0f} s{self._causes()}"
        if span_s >= self._doubt_s:
            self._doubt_s *= 2  # to look at all pairs of peers is slow
            if not any(reach.within(self.world, reach.reach(self.world), at_best=True).values()):
                return f"nobody can reach a block that it lacks{self._causes()}"
        return None

    def _causes(self) -> str:
        """What keeps the peers from blocks, in words."""
        awake = [one for one in self.world.machines.values() if one.up and one.inbox is None]
        found = causes.causes(one.peer.snapshot(self.world.now) for one in awake[:MOST_ASKED])
        return found and f": {found}"

    def _summary(self, now: float, why: str, timed_out: bool) -> Summary:
        world = self.world
        world.sample()
        ledger = self.ledger
        for name, machine in world.machines.items():
            account = ledger.accounts[name]
            account.messages = world.messages(machine)
            if account.completed_at is not None:
                account.verified = True
        return ledger.summary(nodes=1, spawn_s=0.0, verify_s=0.0, total_s=now, now=now, why=why, timed_out=timed_out)
