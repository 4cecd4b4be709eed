"""One simulated run, from the options of the command line to its summary.

The same options, records and summary as a run of real actors. A peer without a limit has a line of `LINE_BPS`
here; the copies of peers that completed count as verified, since no block is held whose verdict was bad.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from functools import partial
from math import inf
from random import Random

from minibit import inventory, strategies
from minibit.content import SharedContent
from minibit.errors import LocalError, OptionError
from minibit.events import TRACKER
from minibit.records import Record
from minibit.run import plan
from minibit.run.ledger import UNWANTED, Ledger
from minibit.run.options import Options, initial_blocks
from minibit.run.scenario import PeerClass, Scenario
from minibit.run.summary import Summary
from minibit.sim import faults, reach
from minibit.sim.content import VirtualContent
from minibit.sim.journal import Journal
from minibit.sim.world import Watcher, World
from minibit.strategies import Team

LINE_BPS = 125e6  # a gigabit a second, for who has no limit
HOPELESS_S = 5.0  # without a byte anywhere, when blocks are lost, after which nobody waits any longer
DOUBT_S = 30.0  # the same, after which one looks whether anybody can reach a block that it lacks
LOOK_S = 1.0  # between two looks whether anything will still come
EVENTS_AT_ONCE = 100  # between two calls of `progress`: some hundredths of a second on the wall


class Simulation:
    """A run that is ready to go; `run` takes it to its end, or `world.clock.step` from event to event.

    content   what is shared; None: as the options say
    watchers  see every event and effect
    journal   names of peers whose events are kept (`minibit.sim.journal`)
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
        self.class_of: dict[str, str] = {}  # of peers that have one: a class of the scenario, or a team
        self._journal = frozenset(journal)
        self._sample_s = scenario.sample_s or max(1.0, options.peers / 100)
        self._moved = (0, 0.0)  # bytes, and when they were last more than before
        self._doubt_s = DOUBT_S
        self._hopeless: str | None = None
        self._plan()

    @property
    def ledger(self) -> Ledger:
        """The books, up to now."""
        self._drain()
        return self._ledger

    @property
    def records(self) -> Iterable[Record]:
        """All records so far."""
        return self.ledger.records()

    @property
    def journals(self) -> dict[str, Journal]:
        """Of the peers that were named, as far as they came."""
        return {name: node.journal for name, node in self.world.nodes.items() if node.journal is not None}

    def run(self, progress: Callable[[Simulation], object] | None = None) -> Summary:
        """Go on until every peer is complete or can't be, or until the time limit; what it came to.

        `progress` is called with this simulation every `EVENTS_AT_ONCE` events. Here is no clock but the virtual
        one: who is called looks at the one on the wall, and goes again if it is not yet time to look further.
        """
        limit_s = self.options.timeout_s or inf
        was_enabled = gc.isenabled()
        gc.disable()  # nothing here waits for it, and it would look at millions of records again and again
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
        return self._summary(limit_s if timed_out else self.world.now, why, timed_out)

    def _go_on(self, limit_s: float) -> bool:
        """Let so many more things happen; False once nothing more is to happen in this run."""
        world, clock = self.world, self.world.clock
        for _ in range(EVENTS_AT_ONCE):
            if not world.waiting or self._hopeless is not None or clock.next_s > limit_s:
                return False
            clock.step()
        return True

    # before it begins

    def _plan(self) -> None:
        options, scenario, world = self.options, self.scenario, self.world
        width = max(2, len(str(options.peers)))
        names = [f"peer-{index + 1:0{width}}" for index in range(options.peers)]
        if unknown := sorted(self._journal.difference(names, [TRACKER])):
            there = f"{TRACKER}, and {names[0]} to {names[-1]}"
            raise OptionError("journal", unknown[0], f"there is no peer {unknown[0]!r}: there are {there}")
        classes: list[PeerClass | None] = [kind for kind in scenario.classes for _ in range(kind.peers)]
        if classes and options.teams:
            raise LocalError("classes: a run has these or teams: give classes a picker, a choker, a behaviour")
        classes += [None] * (options.peers - len(classes))
        teams = options.line_up()
        for index, kind in enumerate(classes):
            if kind is not None:
                odd = teams[index].behaviour  # by `behave`, which is about the last peers, in a class or not
                behaviour = kind.behaviour if odd == "honest" else odd
                teams[index] = Team(kind.name, kind.picker, kind.choker, behaviour)
        times = plan.arrival_times(scenario.arrivals, options.peers, Random(f"{options.seed}/arrivals"))
        self._expect(TRACKER, None, Team(), 0.0)
        for name, kind, team, at_s in zip(names, classes, teams, times, strict=True):
            if team.name is not None:
                self.class_of[name] = team.name
            if team.behaviour not in UNWANTED:
                world.waiting[name] = None
            self._expect(name, kind, team, at_s)
        moments = plan.moments(scenario.faults, [*names, TRACKER], options.seed)
        faults.put_in(world, moments)
        self._ledger.scenario = scenario.as_dict()
        self._ledger.faults = [one.as_dict() for one in sorted(moments, key=lambda one: one.at_s)]
        # nothing is planned after that
        self._quiet_s = max(times[-1], *(one.until_s or one.at_s for one in moments), 0.0)
        world.clock.at(self._sample_s, self._sample)
        world.clock.at(LOOK_S, self._look)

    def _expect(self, name: str, kind: PeerClass | None, team: Team, at_s: float) -> None:
        """Open the account of a peer, which takes its seat then."""
        options = self.options
        seed = name == TRACKER
        limits = [options.seed_upload_bps if seed else options.upload_bps, None if seed else options.download_bps]
        held = self.world.all if seed else self._held_at_start(name, kind)
        if kind is not None:
            limits = [kind.upload_bps or limits[0], kind.download_bps or limits[1]]
        behaves = strategies.behaviour(team.behaviour)
        up_bps = min(limits[0] or LINE_BPS, behaves.upload_bps or inf)
        own = {"kind": team.name, "picker": team.picker, "choker": team.choker}
        self._ledger.open(name, team.behaviour, 0.0, held, upload_bps=up_bps, download_bps=limits[1], **own)
        seat = partial(
            self.world.seat,
            name,
            held=held,
            behaviour=behaves,
            rules=team.rules(options.rules),
            stays=seed,
            stay_s=None if seed else self.scenario.stay_s,
            up_bps=up_bps,
            down_bps=limits[1] or inf,
            journal=name in self._journal,
        )
        if seed:
            seat()  # before all others
        else:
            self.world.clock.at(at_s, seat)

    def _held_at_start(self, name: str, kind: PeerClass | None) -> int:
        if kind is not None and kind.lacks is not None:
            if kind.lacks and max(kind.lacks) >= self.content.block_count:
                raise LocalError(
                    f"classes: {kind.name!r} lacks block {max(kind.lacks)}, and there are {self.content.block_count}, "
                    "counted from 0"
                )
            return self.world.all & ~inventory.of(kind.lacks)
        count = self.options.initial.count(self.content.block_count)
        return initial_blocks(count, name, self.options.seed, self.content.block_count)

    # while it goes

    def _sample(self) -> None:
        self.world.sample()
        self.world.clock.at(self.world.now + self._sample_s, self._sample)

    def _look(self) -> None:
        self._hopeless = self._why_hopeless()
        self.world.clock.at(self.world.now + LOOK_S, self._look)

    def _drain(self) -> None:
        records = self.world.records
        self._ledger.enter_all(records)
        records.clear()

    def _why_hopeless(self) -> str | None:
        """Why nothing more will come, or None."""
        now = self.world.now
        moved_bytes = self.world.network.arrived_bytes
        before_bytes, since_s = self._moved
        if moved_bytes != before_bytes or now < self._quiet_s:
            self._moved = (moved_bytes, now)
            self._doubt_s = DOUBT_S
        elif now - since_s >= HOPELESS_S:
            return self.ledger.why_hopeless(self._why_stalled(now - since_s))
        return None

    def _why_stalled(self, span_s: float) -> str | None:
        """Why nobody gets anything any more, though nobody did for so long already."""
        if span_s >= reach.patience_s(self.world):
            return f"nothing moved for {span_s:.0f} s"
        if span_s >= self._doubt_s:
            self._doubt_s *= 2  # to look at everybody takes its time
            if not any(reach.within(self.world, reach.reach(self.world), at_best=True).values()):
                return "nobody can reach a block that it lacks"
        return None

    def _summary(self, now: float, why: str, timed_out: bool) -> Summary:
        world = self.world
        world.sample()
        ledger = self.ledger
        for name, node in world.nodes.items():
            account = ledger.accounts[name]
            account.messages = world.messages(node)
            if account.completed_at is not None:
                account.verified = True
        return ledger.summary(nodes=1, spawn_s=0.0, verify_s=0.0, total_s=now, now=now, why=why, timed_out=timed_out)


def simulate(options: Options, scenario: Scenario | None = None) -> Summary:
    """A whole simulated run, for who wants no more than its summary."""
    return Simulation(options, scenario).run()
