"""The plan of a push: what is known when its transfer begins."""

from __future__ import annotations

from typing import Any

import msgspec

from minibit.actors.driver.members import PushMember
from minibit.delivery import seats
from minibit.delivery.nodes import NodeRow
from minibit.delivery.order import Order
from minibit.manifest import Manifest


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when the transfer begins. It can travel to another process.

    name         of the push, and of its actors
    order        what was asked for; `order.dest` is the path of the copies
    hashed       whether `manifest` has its digests; if not, they come while blocks move already
    source       the absolute path of the content, on the node `source_node`
    env          the runtime environment of Ray for its actors
    nodes        those that get a copy
    in_place     whether `order.dest` is the source itself, on the node `source_node`
    writers      by the id of a node that shares its file system with another: the id of the node that writes
    faults       by the id of a node: why it can get no copy
    had          the ids of nodes that are known to have the whole copy
    checking_s, hashing_s, spent_s
                 seconds of the phases before, and since the push began
    """

    name: str
    order: Order
    manifest: Manifest
    hashed: bool = True
    source: str
    source_node: NodeRow
    env: dict[str, Any] | None = None
    nodes: tuple[NodeRow, ...]
    in_place: bool = False
    writers: dict[str, str] = {}
    faults: dict[str, str] = {}
    had: frozenset[str] = frozenset()
    checking_s: float = 0.0
    hashing_s: float = 0.0
    spent_s: float = 0.0

    def members(self) -> list[PushMember]:
        """The members that the push begins with: a node each, and one for the source if that is at no node's DEST."""
        named = seats.names(list(self.nodes))
        by_id = {node.node_id: name for name, node in named.items()}
        found = []
        for name, node in named.items():
            here = node.node_id == self.source_node.node_id
            writer = self.writers.get(node.node_id)
            member = PushMember(
                name,
                node,
                path=self.source if here else "",
                local=here and not self.in_place,
                writer="" if writer is None else by_id.get(writer, seats.SOURCE),
            )
            if fault := self.faults.get(node.node_id):
                member.fail(fault)
            found.append(member)
        if not any(member.seeds for member in found):
            found.append(PushMember(seats.SOURCE, self.source_node, wants=False, path=self.source))
        return found
