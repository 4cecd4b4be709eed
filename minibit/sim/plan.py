"""When what happens: a scenario's arrivals and faults as plain moments, chosen by the seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from math import comb
from random import Random
from typing import NamedTuple

from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.sim.network import Network
from minibit.sim.scenario import OF_PAIRS, Arrivals, Fault
from minibit.sim.world import World

Action = Callable[[], object]


class Planned(NamedTuple):
    """What will go wrong when, and for whom: names, with commas. `until_s`: when it is over; None: it stays."""

    at_s: float
    what: str
    who: str
    until_s: float | None


def arrival_times(arrivals: Arrivals, peers: int, rng: Random) -> list[float]:
    """When each of so many peers joins, in seconds, in ascending order."""
    later = max(0, peers - arrivals.already)
    times = [0.0] * (peers - later)
    if arrivals.pattern == "poisson":
        now = 0.0
        for _ in range(later):
            now += rng.expovariate(arrivals.rate)
            times.append(now)
    elif arrivals.pattern == "crowd" and arrivals.within_s:
        times += sorted(rng.expovariate(1 / arrivals.within_s) for _ in range(later))
    else:
        times += sorted(rng.random() * arrivals.within_s for _ in range(later))
    return times


def put_in(world: World, faults: Iterable[Fault], names: Sequence[str], seed: int | str) -> list[Planned]:
    """Plan the faults, in order of time; `names` are all peers that will ever be there, and the tracker's."""
    planned: list[Planned] = []
    for index, fault in enumerate(faults):
        if isinstance(fault.peers, tuple) and (unknown := [name for name in fault.peers if name not in names]):
            there = f"{names[0]} to {names[-2]}, and {names[-1]}"
            raise LocalError(f"faults[{index}].peers: there is no peer {unknown[0]!r}: there are {there}")
        rng = Random(f"{seed}/fault/{index}")
        if fault.kind == "tracker-gone":
            planned.append(_plan(world, fault, [TRACKER], rng, world.kill_tracker, world.restart_tracker))
        elif fault.kind == "split":
            side = index + 1  # of its own: two splits at once are apart from each other
            hit = _hit(fault, list(names), rng)
            planned.append(_plan(world, fault, hit, rng, *_of_side(world.network, hit, side)))
        elif fault.kind in OF_PAIRS:
            for pair in _hit_pairs(fault, names, rng):
                planned.append(_plan(world, fault, pair, rng, *_of_pair(world.network, fault, *pair)))
        else:
            for name in _hit(fault, list(names), rng):
                planned.append(_plan(world, fault, [name], rng, *_of_peer(world, fault, name)))
    return sorted(planned, key=lambda one: one.at_s)


def _of_peer(world: World, fault: Fault, name: str) -> tuple[Action, Action | None]:
    match fault.kind:
        case "dies":
            return lambda: world.kill(name), None
        case "leaves":
            return lambda: world.leave(name), None
        case "pauses":
            return lambda: world.pause(name), lambda: world.resume(name)
        case _:
            return lambda: world.network.corrupt(name, fault.share), lambda: world.network.corrupt(name, 0.0)


def _of_pair(network: Network, fault: Fault, one: str, other: str) -> tuple[Action, Action]:
    match fault.kind:
        case "cut":
            return lambda: network.cut(one, other), lambda: network.heal(one, other)
        case "slow":
            return lambda: network.slow(one, other, fault.rate_bps), lambda: network.slow(one, other)
        case _:
            return lambda: network.delay(one, other, fault.by_s), lambda: network.delay(one, other)


def _of_side(network: Network, names: list[str], side: int) -> tuple[Action, Action]:
    return lambda: network.split(names, side), lambda: network.split(names, 0)


def _plan(world: World, fault: Fault, hit: Iterable[str], rng: Random, begin: Action, end: Action | None) -> Planned:
    at_s = float(fault.at_s) if fault.until_s is None else rng.uniform(fault.at_s, fault.until_s)
    world.clock.at(at_s, begin)
    until_s = None
    if fault.lasts_s is not None and end is not None:
        until_s = at_s + fault.lasts_s
        world.clock.at(until_s, end)
    return Planned(at_s, fault.kind, ", ".join(hit), until_s)


def _hit(fault: Fault, names: list[str], rng: Random) -> list[str]:
    """The peers that a fault hits."""
    if isinstance(fault.peers, tuple):
        return list(fault.peers)
    if isinstance(fault.peers, int):
        return rng.sample(names, min(fault.peers, len(names)))
    return [name for name in names if rng.random() < fault.probability]


def _hit_pairs(fault: Fault, names: Sequence[str], rng: Random) -> list[tuple[str, str]]:
    if isinstance(fault.peers, tuple):
        return list(combinations(_hit(fault, list(names), rng), 2))
    if isinstance(fault.peers, int):  # drawn, because the list of all of them is long
        drawn: dict[tuple[int, int], None] = {}
        while len(drawn) < min(fault.peers, comb(len(names), 2)):
            one, other = sorted(rng.sample(range(len(names)), 2))
            drawn[one, other] = None
        return [(names[one], names[other]) for one, other in drawn]
    return [pair for pair in combinations(names, 2) if rng.random() < fault.probability]
