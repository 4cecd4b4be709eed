"""What a push came to: one value, one JSON object, one exit code."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import Literal

import msgspec

from minibit.delivery.table import as_html, as_text
from minibit.errors import MinibitError, printable
from minibit.run.summary import Result, by_reason
from minibit.units import show_bytes, show_duration

Status = Literal["had", "done", "resumed", "failed", "skipped"]


class NodeResult(msgspec.Struct, frozen=True, kw_only=True):
    """One node at the end of a push.

    status       `had` it already, `done`, `resumed` from a partial copy, `failed`, or `skipped` (another node
                 of the same file system wrote it)
    why          the reason, where something went wrong or was skipped; else ""
    seconds      from the beginning of the transfer until the copy was in its place
    bytes_moved  payload that this node fetched
    """

    host: str
    node_id: str
    path: str
    status: Status
    why: str = ""
    seconds: float = 0.0
    bytes_moved: int = 0

    @property
    def has_it(self) -> bool:
        """Whether the node has a whole copy, its own or that of a shared file system."""
        return self.status in ("had", "done", "resumed", "skipped")


class PushSeconds(msgspec.Struct, frozen=True, kw_only=True):
    """The phases of a push, in seconds."""

    checking: float = 0.0
    hashing: float = 0.0
    transfer: float = 0.0
    verifying: float = 0.0
    total: float = 0.0


class PushBytes(msgspec.Struct, frozen=True, kw_only=True):
    """Payload: that nodes fetched from each other, that they had already, that the source's node sent."""

    moved: int = 0
    had: int = 0
    seed_sent: int = 0


class PushResult(Result, frozen=True, kw_only=True):
    """A whole push.

    content_bytes  of one copy
    digest         the name of the content
    least          how many nodes must have a copy
    bound_s        the lower bound on `seconds.transfer`; None unless the capacities are known
    timed_out      whether the time limit ended it
    source_changed what of the source is not what it was; "" if nothing is
    """

    name: str
    dest: str
    content_bytes: int
    digest: str
    nodes: tuple[NodeResult, ...]
    least: int
    seconds: PushSeconds
    bytes: PushBytes
    bound_s: float | None = None
    timed_out: bool = False
    source_changed: str = ""

    @property
    def exit_code(self) -> int:
        """0 enough nodes have it; else 3 the source changed, 5 time limit, 4 otherwise."""
        if sum(node.has_it for node in self.nodes) >= self.least:
            return 0
        return 3 if self.source_changed else 5 if self.timed_out else 4

    def failed_by_reason(self) -> dict[str, list[str]]:
        """The hosts without a copy, by the reason; the most first."""
        return by_reason((node.why or "it is not known why", node.host) for node in self.nodes if not node.has_it)

    def table(self) -> str:
        """A line for each node, as a table in text."""
        return as_text(COLUMNS, self._rows())

    def _rows(self) -> list[tuple[str, ...]]:
        hosts = Counter(node.host for node in self.nodes)
        return [
            (
                node.host if hosts[node.host] == 1 else f"{node.host}/{node.node_id[:8]}",
                node.status,
                show_duration(node.seconds) if node.seconds else "",
                show_bytes(node.bytes_moved) if node.bytes_moved else "",
                node.why,
            )
            for node in self.nodes
        ]

    @property
    def sentence(self) -> str:
        """What the push came to, in a sentence."""
        counts, nodes = Counter(node.status for node in self.nodes), len(self.nodes)
        have = f"{sum(node.has_it for node in self.nodes)} of {nodes} {'node has' if nodes == 1 else 'nodes have'}"
        told = ", ".join(f"{counts[status]} {word}" for status, word in WORDS.items() if counts[status])
        at_best = f" (at best {show_duration(self.bound_s)})" if self.bound_s else ""
        moved = f"{show_bytes(self.bytes.moved)} moved in {show_duration(self.seconds.transfer)}{at_best}"
        parts = [moved if self.bytes.moved else "nothing moved", f"{show_duration(self.seconds.total)} in all"]
        late = ["the time limit came first"] if self.timed_out else []
        about = f"{self.dest} ({show_bytes(self.content_bytes)})" if self.digest else self.dest
        return printable(f"{have} {about}: {', '.join(filter(None, [told, *parts, *late]))}")

    @property
    def blame(self) -> str:
        """Which nodes have no copy and why, and what to do next; "" if enough have one."""
        if not self.exit_code:
            return ""
        failed = [f"{named(hosts)}: {why}" for why, hosts in self.failed_by_reason().items()]
        changed = [f"the source changed: {self.source_changed}"] if self.source_changed else []
        return printable("; ".join([*changed, *failed, AGAIN]))

    def __repr__(self) -> str:
        return f"{self.sentence}\n{self.table()}" if self.nodes else self.sentence

    def _repr_html_(self) -> str:
        return f"<div>{escape(self.sentence)}{as_html(COLUMNS, self._rows())}</div>"


COLUMNS = ("node", "status", "time", "moved", "why")

NAMED_AT_ONCE = 6  # nodes that one reason names; the table has them all

WORDS: dict[Status, str] = {
    "had": "had it",
    "done": "done",
    "resumed": "resumed",
    "skipped": "share a file system with another",
    "failed": "failed",
}


AGAIN = "mend that and push again: what is there is not moved again"


def named(hosts: list[str]) -> str:
    """The first of these hosts, and how many more there are."""
    more = f" and {len(hosts) - NAMED_AT_ONCE} more" if len(hosts) > NAMED_AT_ONCE else ""
    return f"{', '.join(hosts[:NAMED_AT_ONCE])}{more}"


class PushError(MinibitError):
    """A push after which too few nodes have a copy; `result` says of each node what became of it."""

    def __init__(self, text: str, result: PushResult) -> None:
        super().__init__(text)
        self.result = result
        self.exit_code = result.exit_code
