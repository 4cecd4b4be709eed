"""Why peers get nothing, as far as their own states show: for the reason of a run that ended early."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from minibit.events import TRACKER
from minibit.snapshots import NeighbourSnapshot, PeerSnapshot

NAMED = 3  # neighbours that are named for each cause
UP = ("linked", "sharing")


def causes(states: Mapping[str, PeerSnapshot]) -> dict[str, str]:
    """What keeps each of these peers from its next block, by name. A peer whose state shows nothing is left out.

    Ask when no byte has come for some time: a block that is on its way looks like one that never comes.
    """
    lacking = {name: state for name, state in states.items() if not state.complete and state.leaving is None}
    idle = {name for name, state in states.items() if not state.fixed and not state.guests}
    found = {name: _cause(state, idle) for name, state in lacking.items()}
    return {name: cause for name, cause in found.items() if cause}


def _cause(state: PeerSnapshot, idle: Container[str]) -> str:
    """`idle`: the peers that serve nobody."""
    ends = state.neighbours.values()
    linked = [end for end in ends if end.standing in UP]
    banned = [end for end in ends if end.standing == "banned"]
    unreached = [end for end in ends if end.standing not in (*UP, "banned") and end.failures]
    givers = [end for end in linked if end.interesting]
    servers = [end for end in givers if end.serves_us]
    if not ends:
        return "the tracker named no neighbour to it"
    if not givers and unreached:
        return f"it could not reach {_at(unreached)}{_trouble(unreached)}"
    if silent := [end for end in servers if end.silent_s is not None]:
        longest_s = max(end.silent_s or 0.0 for end in silent)
        return f"no byte came from {_at(silent)} for {longest_s:.0f} s, though the link stands"
    if servers:
        return f"its picker {state.picker} asks for nothing, though {_names(servers)} would serve it"
    if givers:
        nobody = " or anybody" if all(end.peer in idle for end in givers) else ""
        return f"{_names(givers)} had blocks for it and did not serve it{nobody}"
    if banned:
        return f"it banned {_names(banned)}"
    return "none of its neighbours holds a block that it lacks" if linked else ""


def _trouble(ends: Iterable[NeighbourSnapshot]) -> str:
    """Why the first of these could not be reached, and how often that was tried."""
    first = _tracker_first(ends)[0]
    tries = f"{first.failures} {'try' if first.failures == 1 else 'tries'}"
    return f" ({tries}: {first.trouble})" if first.trouble else f" ({tries})"


def _at(ends: Iterable[NeighbourSnapshot]) -> str:
    return _some([f"{end.peer} at {end.host}:{end.port}" for end in _tracker_first(ends)])


def _names(ends: Iterable[NeighbourSnapshot]) -> str:
    return _some([end.peer for end in _tracker_first(ends)])


def _tracker_first(ends: Iterable[NeighbourSnapshot]) -> list[NeighbourSnapshot]:
    return sorted(ends, key=lambda end: (end.peer != TRACKER, end.peer))


def _some(texts: list[str]) -> str:
    more = len(texts) - NAMED
    return ", ".join(texts[:NAMED]) + (f" and {more} more" if more > 0 else "")
