"""How far a push is, as one value that terminals, machines and notebooks show in their own ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from minibit.run.summary import rounded
from minibit.units import show_bytes, show_rate, show_share

Phase = Literal["checking", "hashing", "moving", "verifying", "following"]


class NodeProgress(msgspec.Struct, frozen=True, kw_only=True):
    """One node of a push that is under way: the bytes that it holds, and those that it has fetched."""

    host: str
    held_bytes: int
    bytes_moved: int
    status: str  # `moving`, `verifying`, or a `Status` of its end
    why: str = ""

    @property
    def has_it(self) -> bool:
        """Whether its copy is in its place."""
        return self.status in ("had", "done", "resumed", "skipped")


class PushProgress(msgspec.Struct, frozen=True, kw_only=True):
    """A push at one moment.

    content_bytes  of one copy; 0 as long as that is not known
    done, total    bytes of the phase: hashed of the content, held of all copies, verified of all copies; nodes where
                   `phase` is `checking` or `following`
    rate_bps       payload a second, all nodes together, since the last progress
    elapsed_s      since the push began
    hashed_bytes   of the content, where it is hashed while blocks move already; else None
    """

    phase: Phase
    content_bytes: int = 0
    done: int = 0
    total: int = 0
    rate_bps: float = 0.0
    elapsed_s: float = 0.0
    hashed_bytes: int | None = None
    nodes: tuple[NodeProgress, ...] = ()

    @property
    def complete(self) -> int:
        """How many nodes have a whole copy in its place."""
        return sum(node.has_it for node in self.nodes)

    @property
    def failed(self) -> tuple[NodeProgress, ...]:
        """The nodes that will have none."""
        return tuple(node for node in self.nodes if node.status == "failed")

    @property
    def slowest(self) -> NodeProgress | None:
        """The node that holds the least of those that are still moving, the first such by address; None if none is."""
        moving = (node for node in self.nodes if node.status == "moving")
        return min(moving, key=lambda node: node.held_bytes, default=None)

    @property
    def how_far(self) -> str:
        """How far the phase is, in words; "" if nothing can be said."""
        complete = f"{self.complete} of {len(self.nodes)} nodes complete" if self.nodes else ""
        if self.phase == "checking":
            return f"{self.done} of {self.total} nodes" if self.total else ""
        if self.phase in ("verifying", "following"):
            return complete
        if self.phase == "hashing" and not self.total:
            return ""
        rate = show_rate(self.rate_bps) if self.rate_bps else ""
        hashed = "" if self.hashed_bytes is None else f"{show_share(self.hashed_bytes, self.content_bytes)} hashed"
        return ", ".join(filter(None, [show_share(self.done, self.total), rate, hashed, self.laggard, complete]))

    @property
    def line(self) -> str:
        """The phase, and how far it is: `moving: 45 %, 3 of 8 nodes complete`."""
        return f"{self.phase}: {self.how_far}".removesuffix(": ")

    @property
    def laggard(self) -> str:
        """The slowest node: `slowest 10.0.0.3 (31 %)`; "" if none is, or all are alike."""
        slowest = self.slowest
        if slowest is None or all(node.held_bytes == slowest.held_bytes for node in self.nodes):
            return ""
        held = slowest.held_bytes
        share = show_share(held, self.content_bytes) if self.content_bytes else show_bytes(held)
        return f"slowest {slowest.host} ({share})"

    def as_event(self, left_s: float | None) -> dict[str, Any]:
        """What a machine is told of it: a few numbers, however many nodes there are.

        `phase`, `done` of `total`, `rate_bps`, `elapsed_s` and `left_s` (null as long as nothing can be said); of the
        `nodes`, how many are `complete`, which `failed`, and the `slowest` (null when none is moving).
        """
        slowest = self.slowest
        event: dict[str, Any] = rounded({
            "phase": self.phase, "done": self.done, "total": self.total,
            "rate_bps": self.rate_bps, "elapsed_s": self.elapsed_s, "left_s": left_s,
            "nodes": len(self.nodes), "complete": self.complete, "failed": [node.host for node in self.failed],
            "slowest": slowest and slowest.host,
        })  # fmt: skip
        return event


Pushing = Callable[[PushProgress], object]
"""Called with the progress of a push, again and again, in the thread of the caller. What it raises ends the push."""
