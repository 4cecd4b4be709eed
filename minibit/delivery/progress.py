"""How far a push is, as one value that terminals, machines and notebooks show in their own ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

Phase = Literal["checking", "hashing", "moving", "verifying", "following"]


class NodeProgress(msgspec.Struct, frozen=True, kw_only=True):
    """One node of a push that is under way: the bytes that it holds, and those that it has fetched."""

    host: str
    held_bytes: int
    bytes_moved: int
    status: str  # `moving`, `verifying`, or a `Status` of its end
    why: str = ""


class PushProgress(msgspec.Struct, frozen=True, kw_only=True):
    """A push at one moment.

    done, total  bytes of the phase: hashed of the content, held of all copies, verified of all copies; nodes where
                 `phase` is `checking`
    rate_bps     payload a second, all nodes together, since the last progress
    elapsed_s    since the push began
    """

    phase: Phase
    content_bytes: int = 0
    done: int = 0
    total: int = 0
    rate_bps: float = 0.0
    elapsed_s: float = 0.0
    nodes: tuple[NodeProgress, ...] = ()


Pushing = Callable[[PushProgress], object]
"""Called with the progress of a push, again and again, in the thread of the caller. What it raises ends the push."""
