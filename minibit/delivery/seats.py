"""The seats of a push: its members, by name, and the rules that they play by."""

from __future__ import annotations

from contextlib import suppress

from minibit.delivery.nodes import NodeRow, choose
from minibit.errors import OptionError
from minibit.events import TRACKER
from minibit.rules import Rules
from minibit.seat import Seat

SOURCE = "source"
"""The name of the member that shares the source, where no node has its copy at that very path."""

ID_DIGITS = 8  # of a node's id, where two nodes have one address

RULES = Rules(request_timeout_s=10.0, tracker_s=15.0)
"""A neighbour that is silent is soon replaced. The rest is as in any swarm: machines of one owner have nothing to
bargain for, but where all are served that ask, and not a few, a new block has a longer line, and all begin later."""


def tracker_seat(rules: Rules) -> Seat:
    """The seat of the tracker, which shares nothing."""
    return Seat(name=TRACKER, rules=rules)


def names(nodes: list[NodeRow], taken: frozenset[str] = frozenset()) -> dict[str, NodeRow]:
    """The nodes by the names of their seats: the address; with the beginning of its id where that is taken."""
    found: dict[str, NodeRow] = {}
    for node in nodes:
        name = node.host
        if name in found or name in taken:
            name = f"{name}/{node.node_id[:ID_DIGITS]}"
        found[name] = node
    return found


def is_asked_for(node: NodeRow, asked: str) -> bool:
    """Whether a node that comes later is one of those that `Order.nodes` asks for; a number asks for no late ones."""
    if asked.isdecimal():
        return False
    for part in [asked] if "=" in asked else asked.split(","):
        with suppress(OptionError):
            return bool(choose([node], part.strip()))
    return False
