"""Why nothing flows: what keeps peers from blocks, as their snapshots tell, and in words.

A peer that waits is kept back by neighbours that it can't reach, by links that stand and bring no byte, by neighbours
that don't serve it, or by having no neighbour that holds what it lacks. A peer that could give may have a strategy that
chooses nobody. These are facts of each peer about itself and its links: nobody's guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from minibit.behaviour import FreeRider
from minibit.snapshots import NeighbourSnapshot, PeerSnapshot

SILENT_S = 5.0  # a link that brought no byte for this long, though blocks are asked, is an obstacle
MOST_CLAUSES = 3
MOST_NAMES = 3


class Obstacle(msgspec.Struct, frozen=True):
    """One thing that keeps `peer` from blocks, or from giving some.

    unreachable  it has no link to `neighbour` at `where`: `count` dials or links failed, the last because of `why`
    banned       `neighbour` at `where` sent it wrong blocks, or spoke for the tracker
    silent       its link to `neighbour` at `where` stands, and brought no byte for `for_s` though blocks are asked
    unserved     `count` neighbours hold blocks that it lacks, and none of them serves it
    idle         `count` neighbours would serve it, and its picker (`why`) asks for nothing
    poor         it has links, and no neighbour holds a block that it lacks
    alone        it knows no other peer: the tracker named none
    stingy       `count` neighbours want blocks that it holds, and its choker (`why`) serves nobody
    """

    peer: str
    kind: Literal["unreachable", "banned", "silent", "unserved", "idle", "poor", "alone", "stingy"]
    neighbour: str = ""
    where: str = ""
    count: int = 0
    for_s: float = 0.0
    why: str = ""


def obstacles(state: PeerSnapshot) -> Iterator[Obstacle]:
    """What keeps this peer from blocks, if it lacks any, and from giving some."""
    me, neighbours = state.peer, state.neighbours.values()
    linked = [one for one in neighbours if one.standing in ("linked", "sharing")]
    if not state.complete:
        for one in neighbours:
            if one.standing == "banned":
                yield Obstacle(me, "banned", one.peer, _where(one))
            elif one not in linked and one.failures:
                yield Obstacle(me, "unreachable", one.peer, _where(one), one.failures, why=one.trouble)
        for one in linked:
            silent_s = one.silent_s or 0.0
            if one.interesting and one.serves_us and silent_s >= SILENT_S:
                yield Obstacle(me, "silent", one.peer, _where(one), for_s=silent_s)
        useful = [one for one in linked if one.interesting]
        ready = [one for one in useful if one.serves_us and not one.snubbed]
        if not neighbours:
            yield Obstacle(me, "alone")
        elif linked and not useful:
            yield Obstacle(me, "poor", count=len(linked))
        elif useful and not any(one.serves_us for one in useful):
            yield Obstacle(me, "unserved", count=len(useful))
        elif ready and state.started and not state.in_flight:
            yield Obstacle(me, "idle", count=len(ready), why=state.picker)
    wanting = sum(one.interested for one in linked if one.standing == "sharing")
    if wanting and state.behaviour != FreeRider.__name__ and not any(one.slot != "none" for one in linked):
        yield Obstacle(me, "stingy", count=wanting, why=state.choker)


def causes(states: Iterable[PeerSnapshot]) -> str:
    """Why nothing flows between these peers, in one line; empty if they name nothing."""
    alike: dict[tuple[str, str, str], list[Obstacle]] = {}
    for state in states:
        for one in obstacles(state):
            alike.setdefault((one.kind, one.neighbour, one.where), []).append(one)
    most = sorted(alike.values(), key=len, reverse=True)
    clauses = [_clause(same) for same in most[:MOST_CLAUSES]]
    more = len(most) - len(clauses)
    return "; ".join(clauses) + (f"; and {more} more" if more else "")


def _clause(same: list[Obstacle]) -> str:
    peers = [one.peer for one in same]
    some, worst = _names(peers), max(same, key=lambda one: (one.count, one.for_s))
    at = f"{worst.neighbour} at {worst.where}"
    match worst.kind:
        case "unreachable":
            tries = f"{worst.count} {'try' if worst.count == 1 else 'tries'}"
            return f"{some} could not reach {at} ({tries}: {worst.why.replace(f' from {at}', '') or 'no reason given'})"
        case "banned":
            return f"{some} banned {worst.neighbour}"
        case "silent":
            return f"links of {some} to {at} stand, and bring no byte for {worst.for_s:.0f} s"
        case "unserved":
            return f"no neighbour serves {some}"
        case "idle":
            return f"picker {worst.why} of {some} asks for nothing"
        case "poor":
            return f"no neighbour of {some} holds a block that is missing there"
        case "alone":
            return f"{some} {'knows' if len(peers) == 1 else 'know'} no other peer"
        case "stingy":
            return f"choker {worst.why} of {some} serves nobody"


def _names(peers: list[str]) -> str:
    more = len(peers) - MOST_NAMES
    return ", ".join(peers[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _where(neighbour: NeighbourSnapshot) -> str:
    return f"{neighbour.host}:{neighbour.port}"
