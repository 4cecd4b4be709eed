"""Look for trouble: random worlds with random faults, simulated with every checker on.

    python experiments/fuzz_swarm.py --runs 1000
    python experiments/fuzz_swarm.py --world '{"options": {...}, "scenario": {...}}'

A world is plain data: the options of the command line by name, and a scenario's table. One that fails is made
smaller while the same checker fails, and printed as the one command that shows it again. Progress goes to standard
error, what was found to standard output. Exit code: 0 nothing found, 1 something found, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import click
from fault_worlds import Plain, members, random_world
from results import SHOWN

from minibit import events
from minibit.cli.ending import ending
from minibit.errors import LocalError
from minibit.lab.machine import processors
from minibit.run.options import Options
from minibit.run.scenario import Scenario
from minibit.sim.checkers import Checker, Violation, all_checkers
from minibit.sim.machine import Machine
from minibit.sim.simulation import Simulation
from minibit.sim.world import World

MOST_EVENTS = 1_000_000
MOST_VIRTUAL_S = 100_000.0
MOST_WORLD_S = 120.0  # of processor time, for one world
SHRINK_S = 60.0  # of real time, for making one smaller; a world that was begun by then has the time of any world
SHOWN_S = 5.0  # between two lines of progress


class Outcome(NamedTuple):
    """The result of one world: `kind` and `text` say what went wrong, and `kind` is the same for failures alike."""

    world: Plain
    completed: int
    peers: int
    virtual_s: float
    events: int
    kind: str = ""
    text: str = ""


class RunsEnd(Checker):
    """Every run ends by itself, after so many events and virtual seconds at most."""

    def __init__(self) -> None:
        self.events = 0
        self.now = 0.0

    def told(self, world: World, machine: Machine, event: events.Event | None) -> None:
        """Count."""
        self.events += 1
        self.now = world.now
        if self.events > MOST_EVENTS or world.now > MOST_VIRTUAL_S:
            self.complain(world, machine.name, f"it does not end: {self.events} events")


# one world


def run_world(world: Plain, most_s: float = MOST_WORLD_S) -> Outcome:
    """Simulate a world with every checker on; `LocalError` when it is no world."""
    options, scenario = build(world)
    ends = RunsEnd()
    simulation = None
    kind = text = ""
    completed = 0
    try:
        with _alarm(most_s):
            simulation = Simulation(options, scenario, watchers=(*all_checkers(), ends))
            completed = simulation.run().completed
    except Violation as error:
        kind, text = error.checker, str(error)
    except _TooLongError:
        kind = "RunsEnd"
        text = f"RunsEnd: it does not end: {ends.now:g} s of virtual time after {most_s:g} s"
    except Exception as error:
        if simulation is None and isinstance(error, LocalError):
            raise
        kind = f"{type(error).__name__} in {traceback.extract_tb(error.__traceback__)[-1].name}"
        text = f"{type(error).__name__}: {error} at {ends.now:.3f} s\n{traceback.format_exc()}"
    return Outcome(world, completed, options.peers, ends.now, ends.events, kind, text)


def build(world: Plain) -> tuple[Options, Scenario]:
    """The options and the scenario of a world; `LocalError` names what is wrong."""
    if not isinstance(world, dict) or not world.keys() <= {"options", "scenario"}:
        raise LocalError('a world is an object of "options" and "scenario"')
    options, table = world.get("options", {}), world.get("scenario", {})
    if not (isinstance(options, dict) and isinstance(table, dict)):
        raise LocalError('"options" and "scenario" are objects')
    built = Options.build(**{"world": "sim", **options})
    return built, Scenario.build(table, built.peers)


class _TooLongError(BaseException):
    """The world took too long; no handler of its own may take it."""


@contextmanager
def _alarm(after_s: float) -> Iterator[None]:
    """Raise `_TooLongError` after that time, even within one event."""

    def ring(number: int, frame: object) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGPROF, ring)
    left_s, _ = signal.setitimer(signal.ITIMER_PROF, after_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        signal.setitimer(signal.ITIMER_PROF, left_s)


# making it smaller


def shrink(failed: Outcome, most_s: float = SHRINK_S) -> Outcome:
    """The smallest world found in about that time that fails in the same way."""
    ends_s = time.monotonic() + most_s
    smaller = True
    while smaller:
        smaller = False
        for world in _smaller(failed.world):
            if time.monotonic() >= ends_s:
                return failed
            try:
                outcome = run_world(world)  # with less time, one that only takes its time would seem not to end
            except LocalError:
                continue  # a class with a block too many, say
            if outcome.kind == failed.kind and outcome.events > 0:
                failed, smaller = outcome, True
                break
    return failed


def _smaller(world: Plain) -> Iterator[Plain]:
    """Worlds with something less, the greatest steps first."""
    for step in (_fewer_faults, _fewer_peers, _plainer_scenario, _plainer_options, _plainer_faults, _fewer_in_classes):
        yield from step(world)


def _but(world: Plain, options: Plain | None = None, **scenario: Any) -> Plain:
    """The same world, with other options, or with this changed in its scenario."""
    return {"options": options or world["options"], "scenario": {**world["scenario"], **scenario}}


def _fewer_faults(world: Plain) -> Iterator[Plain]:
    faults = world["scenario"].get("faults", [])
    half = len(faults) // 2
    if half:
        yield _but(world, faults=faults[:half])
        yield _but(world, faults=faults[half:])
    for index in range(len(faults)):
        yield _but(world, faults=faults[:index] + faults[index + 1 :])


def _fewer_peers(world: Plain) -> Iterator[Plain]:
    """And fewer blocks."""
    options, faults = world["options"], world["scenario"].get("faults", [])
    for peers in _less(options["peers"]):
        hit = [{**one, "peers": _among(one["peers"], members(peers))} if "peers" in one else one for one in faults]
        yield _but(world, {**options, "peers": peers}, faults=hit)
    for blocks in _less(-(-options["size"] // options["block_size"])):
        yield _but(world, {**options, "size": blocks * options["block_size"]})


def _plainer_scenario(world: Plain) -> Iterator[Plain]:
    for key in world["scenario"]:
        yield {"options": world["options"], "scenario": _without(world["scenario"], key)}


def _plainer_options(world: Plain) -> Iterator[Plain]:
    options = world["options"]
    for key in options:
        if key not in ("peers", "size", "block_size", "seed"):
            yield _but(world, _without(options, key))
    behave = options.get("behave", {})
    for behaviour, count in behave.items():
        for fewer in _less(count, 0):
            yield _but(world, {**options, "behave": {**behave, behaviour: fewer}})


def _plainer_faults(world: Plain) -> Iterator[Plain]:
    faults = world["scenario"].get("faults", [])
    for index, fault in enumerate(faults):
        named = fault["peers"] if isinstance(fault.get("peers"), list) else []
        plainer = [{**fault, "peers": [other for other in named if other != name]} for name in named]
        plainer += [_without(fault, key) for key in fault if key not in ("kind", "peers", "lasts")]
        for one in plainer:
            yield _but(world, faults=[*faults[:index], one, *faults[index + 1 :]])


def _fewer_in_classes(world: Plain) -> Iterator[Plain]:
    classes = world["scenario"].get("classes", [])
    for index, kind in enumerate(classes):
        yield _but(world, classes=classes[:index] + classes[index + 1 :])
        for peers in _less(kind["peers"], 0):
            yield _but(world, classes=[*classes[:index], {**kind, "peers": peers}, *classes[index + 1 :]])


def _without(table: Plain, key: str) -> Plain:
    return {name: value for name, value in table.items() if name != key}


def _among(hit: Any, there: list[str]) -> Any:
    """Whom a fault hits, of those that are there."""
    return [name for name in hit if name in there] if isinstance(hit, list) else hit


def _less(count: int, least: int = 1) -> list[int]:
    return sorted({fewer for fewer in (least, count // 2, count - 1) if least <= fewer < count})


# many worlds


def hunt(seed: int, runs: int, peers_max: int, jobs: int) -> Iterator[Outcome]:
    """Simulate so many worlds on so many cores; a world that fails is made small."""
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # the forked workers never hear of Ctrl-C; we do, soon
    with multiprocessing.get_context("fork" if hasattr(os, "fork") else None).Pool(jobs, _be_ended) as pool:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        yield from pool.imap_unordered(_hunt_one, ((f"{seed}/{index}", peers_max) for index in range(runs)))


def _be_ended() -> None:
    """From now on the pool may end this worker; before, our own handler was there, and would raise."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _hunt_one(which: tuple[str, int]) -> Outcome:
    outcome = run_world(random_world(*which))
    return shrink(outcome) if outcome.kind else outcome


@click.command(context_settings=SHOWN)
@click.option("--runs", type=click.IntRange(1), default=100, help="Worlds.")
@click.option("--seed", type=int, default=1, help="Of chance.")
@click.option("--peers-max", type=click.IntRange(2), default=40, help="Peers in a world.")
@click.option("--jobs", type=click.IntRange(1), default=None, help="Worlds at once. [all cores]")
@click.option("--world", metavar="JSON", help="Just this one, as a failure printed it.")
def main(runs: int, seed: int, peers_max: int, jobs: int | None, world: str | None) -> None:
    """Simulate random worlds full of faults, and look for what must never happen."""
    with ending():
        code = one(world) if world is not None else many(seed, runs, peers_max, jobs or processors())
    sys.exit(code)


def one(text: str) -> int:
    """Simulate the world in `text`; the exit code."""
    try:
        world = json.loads(text)
    except ValueError as error:
        raise LocalError(f"--world: {error}: give the JSON that a failure printed") from None
    outcome = run_world(world)
    if outcome.kind:
        click.echo(f"FAILED {outcome.text}")
    else:
        click.echo(f"nothing wrong: {outcome.completed} of {outcome.peers} complete after {outcome.virtual_s:g} s")
    return 1 if outcome.kind else 0


def many(seed: int, runs: int, peers_max: int, jobs: int) -> int:
    """Simulate random worlds; the exit code."""
    click.echo(f"{runs} worlds of at most {peers_max} peers, {jobs} at once", err=True)
    began_s = shown_s = time.monotonic()
    found = events_seen = whole = 0
    for done, outcome in enumerate(hunt(seed, runs, peers_max, jobs), 1):
        events_seen += outcome.events
        whole += outcome.completed == outcome.peers
        if outcome.kind:
            found += 1
            click.echo(f"FAILED {outcome.text}\n  {command(outcome.world)}")
        if (now_s := time.monotonic()) - shown_s > SHOWN_S:
            shown_s = now_s
            click.echo(f"{done} of {runs} worlds, {found} failed, {now_s - began_s:.0f} s", err=True)
    took_s = time.monotonic() - began_s
    told = f"{found} failed; in {whole} all peers completed; {events_seen:,} events"
    click.echo(f"{runs} worlds in {took_s:.0f} s: {told}")
    return 1 if found else 0


def command(world: Plain) -> str:
    """The command that shows this world again."""
    return f"python experiments/fuzz_swarm.py --world '{json.dumps(world)}'"


if __name__ == "__main__":
    main()
