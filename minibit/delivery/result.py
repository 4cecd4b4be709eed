"""What a push came to: one value, one JSON object, one exit code."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from minibit.errors import MinibitError

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


class PushResult(msgspec.Struct, frozen=True, kw_only=True):
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

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


class PushError(MinibitError):
    """A push after which too few nodes have a copy; `result` says of each node what became of it."""

    def __init__(self, text: str, result: PushResult) -> None:
        super().__init__(text)
        self.result = result
        self.exit_code = result.exit_code
