"""A scenario's arrivals and faults as plain times and names, chosen by the seed of chance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, combinations
from math import comb
from random import Random
from typing import Any, NamedTuple

from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.run.scenario import OF_PAIRS, Arrivals, Fault

FOR_GOOD = ("dies", "leaves")  # faults that have no end


class Moment(NamedTuple):
    """The time at which a fault begins, and the peers that it hits.

    names    peers hit together: one peer, the two ends of a link, or one side of a split
    until_s  when it is over; None: it stays
    number   the number of the fault in its scenario, from 0
    """

    at_s: float
    fault: Fault
    names: tuple[str, ...]
    until_s: float | None
    number: int

    def as_dict(self) -> dict[str, Any]:
        """The moment as run.json has it."""
        return {"at_s": self.at_s, "what": self.fault.kind, "who": ", ".join(self.names), "until_s": self.until_s}


def arrival_times(arrivals: Arrivals, peers: int, rng: Random) -> list[float]:
    """The times at which so many peers join, in seconds, in ascending order."""
    later = max(0, peers - arrivals.already)
    times = [0.0] * (peers - later)
    if arrivals.pattern == "poisson":
        times += accumulate(rng.expovariate(arrivals.rate) for _ in range(later))
    elif arrivals.pattern == "crowd" and arrivals.within_s:
        times += sorted(rng.expovariate(1 / arrivals.within_s) for _ in range(later))
    else:
        times += sorted(rng.random() * arrivals.within_s for _ in range(later))
    return times


def moments(faults: Iterable[Fault], names: Sequence[str], seed: int | str) -> list[Moment]:
    """Every moment at which a fault begins, fault by fault.

    `names` are those of all peers that will ever be there, and last the tracker's. `LocalError` for another name.
    """
    found: list[Moment] = []
    for index, fault in enumerate(faults):
        if isinstance(fault.peers, tuple) and (unknown := [name for name in fault.peers if name not in names]):
            there = f"{names[0]} to {names[-2]}, and {names[-1]}"
            raise LocalError(f"faults[{index}].peers: there is no peer {unknown[0]!r}: there are {there}")
        rng = Random(f"{seed}/fault/{index}")
        groups: Iterable[Sequence[str]]
        if fault.kind == "tracker-gone":
            groups = [(TRACKER,)]
        elif fault.kind == "split":
            groups = [_hit(fault, names, rng)]
        elif fault.kind in OF_PAIRS:
            groups = _hit_pairs(fault, names, rng)
        else:
            groups = [(name,) for name in _hit(fault, names, rng)]
        for group in groups:
            at_s = float(fault.at_s) if fault.until_s is None else rng.uniform(fault.at_s, fault.until_s)
            until_s = None if fault.lasts_s is None or fault.kind in FOR_GOOD else at_s + fault.lasts_s
            found.append(Moment(at_s, fault, tuple(group), until_s, index))
    return found


def _hit(fault: Fault, names: Sequence[str], rng: Random) -> list[str]:
    """The peers that a fault hits."""
    if isinstance(fault.peers, tuple):
        return list(fault.peers)
    if isinstance(fault.peers, int):
        return rng.sample(names, min(fault.peers, len(names)))
    return [name for name in names if rng.random() < fault.probability]


def _hit_pairs(fault: Fault, names: Sequence[str], rng: Random) -> list[tuple[str, str]]:
    if isinstance(fault.peers, tuple):
        return list(combinations(fault.peers, 2))
    if isinstance(fault.peers, int):  # drawn, because the list of all of them is long
        drawn: dict[tuple[int, int], None] = {}
        while len(drawn) < min(fault.peers, comb(len(names), 2)):
            one, other = sorted(rng.sample(range(len(names)), 2))
            drawn[one, other] = None
        return [(names[one], names[other]) for one, other in drawn]
    return [pair for pair in combinations(names, 2) if rng.random() < fault.probability]
