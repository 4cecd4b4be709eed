"""What a push would do: which nodes have a copy, what would be moved, where there is room, and how long it takes."""

from __future__ import annotations

from html import escape
from typing import Any, Literal

import msgspec

from minibit.delivery.result import named
from minibit.delivery.table import as_html, as_text
from minibit.errors import printable
from minibit.run import bounds
from minibit.run.bounds import Capacity
from minibit.run.summary import rounded
from minibit.units import show_bytes, show_duration, show_rate

LINE_BPS = 125e6  # one gigabit a second: what a node is taken to have, without a limit

There = Literal["nothing", "copy", "partial", "older", "other", "shared", "source"]

SAID: dict[There, str] = {
    "nothing": "nothing",
    "copy": "a copy",
    "partial": "part of one",
    "older": "another version",
    "other": "something else",
    "shared": "the disk of another",
    "source": "the source",
}


class NodeOutlook(msgspec.Struct, frozen=True, kw_only=True):
    """One node before a push.

    there       what lies at the path of the copy:
                `nothing`; a `copy` of this content, which nobody touched; a `partial` one; one of an `older` version;
                something `other`; or `nothing` yet, and either another node of the same file system writes it
                (`shared`), or the `source` lies on this node and is copied there
    free_bytes  room on the disk; None if it is not known
    why         what keeps a copy from this node; "" if nothing does
    """

    host: str
    node_id: str
    there: There = "nothing"
    free_bytes: int | None = None
    why: str = ""


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """A push before it begins.

    content_bytes  of one copy
    moves_bytes    at most, over all nodes: what partial copies have is not looked at
    upload_bps     of each node, and `assumed` if nobody said it
    expected_s     of the transfer, as a simulation estimates it (`minibit push --dry-run`); None if nothing moves
    bound_s        the lower bound on that
    """

    dest: str
    content_bytes: int
    block_bytes: int
    least: int
    nodes: tuple[NodeOutlook, ...]
    upload_bps: float = LINE_BPS
    assumed: bool = True
    expected_s: float | None = None

    @property
    def lacking(self) -> int:
        """How many nodes would get a copy from others."""
        return sum(not node.why and node.there not in ("copy", "shared", "source") for node in self.nodes)

    @property
    def sources(self) -> int:
        """How many nodes have the content from the beginning; the source's is one of them, or comes beside them."""
        return max(1, sum(node.there == "copy" for node in self.nodes))

    @property
    def moves_bytes(self) -> int:
        """What would be moved at most."""
        return self.lacking * self.content_bytes

    @property
    def bound_s(self) -> float | None:
        """The lower bound on the transfer, in seconds; None if nothing moves."""
        members = [Capacity(self.upload_bps)] * self.lacking
        seeds_bps = self.sources * self.upload_bps
        return bounds.makespan(self.content_bytes, self.block_bytes, members, seed_upload_bps=seeds_bps)

    @property
    def exit_code(self) -> int:
        """0 if enough nodes have a copy or would get one, else 4."""
        return 0 if sum(not node.why for node in self.nodes) >= self.least else 4

    @property
    def sentence(self) -> str:
        """What would happen, in a few sentences."""
        have = sum(node.there == "copy" for node in self.nodes)
        has = "1 has it" if have == 1 else f"{have} have it"
        nodes = "1 node" if len(self.nodes) == 1 else f"{len(self.nodes)} nodes"
        content = f"{show_bytes(self.content_bytes)} for {nodes} at {self.dest}"
        here = sum(not node.why and node.there == "source" for node in self.nodes)
        would = f"{content}: {has}, {self.lacking + here} would get it"
        moved = f"{would}, {show_bytes(self.moves_bytes)} would be moved"
        if self.bound_s is None:
            return printable(moved)
        line = f"with {show_rate(self.upload_bps)} of each node" + ", which is assumed" * self.assumed
        if self.expected_s is None:
            return printable(f"{moved} in no less than {show_duration(self.bound_s)} ({line})")
        took = f"in about {show_duration(self.expected_s)} (a simulation's estimate, {line})"
        return printable(f"{moved} {took}, and not in less than {show_duration(self.bound_s)}")

    @property
    def blame(self) -> str:
        """What keeps a copy from which nodes; "" if nothing does."""
        by_reason: dict[str, list[str]] = {}
        for node in self.nodes:
            if node.why:
                by_reason.setdefault(node.why, []).append(node.host)
        return "; ".join(f"{named(hosts)}: {why}" for why, hosts in by_reason.items())

    def as_dict(self) -> dict[str, Any]:
        """The JSON object as Python values, rounded."""
        return dict(rounded(msgspec.to_builtins(self) | {"moves_bytes": self.moves_bytes, "bound_s": self.bound_s}))

    def table(self) -> str:
        """A line for each node."""
        return as_text(COLUMNS, self._rows())

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (node.host, SAID[node.there], "" if node.free_bytes is None else show_bytes(node.free_bytes), node.why)
            for node in self.nodes
        ]

    def __repr__(self) -> str:
        return f"{self.sentence}\n{self.table()}"

    def _repr_html_(self) -> str:
        return f"<div>{escape(self.sentence)}{as_html(COLUMNS, self._rows())}</div>"


COLUMNS = ("node", "there now", "room", "why not")
