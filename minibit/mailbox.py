"""The messages that a peer has heard and said: counts by verb, and the last messages with their times.

Both carriers, links and actor calls, pass every message through here, so a notebook shows what the peer really saw.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

from minibit.messages import Message
from minibit.snapshots import Snapshot

LAST_COUNT = 64


class Letter(NamedTuple):
    """One message: when (seconds), `in` or `out`, the other peer, what it says."""

    at_s: float
    way: str
    peer: str
    message: Message


class MailboxSnapshot(Snapshot, frozen=True, kw_only=True):
    """Messages by verb, `incoming` and `outgoing`, and the `last` of both."""

    incoming: dict[str, int]
    outgoing: dict[str, int]
    last: tuple[Letter, ...]


class Mailbox:
    """Counts of all messages, and the last of them."""

    __slots__ = ("incoming", "last", "outgoing")

    def __init__(self) -> None:
        self.incoming: Counter[str] = Counter()
        self.outgoing: Counter[str] = Counter()
        self.last: deque[Letter] = deque(maxlen=LAST_COUNT)

    def came(self, sender: str, message: Message, now: float) -> None:
        """`sender` told us `message`."""
        self.incoming[message.verb] += 1
        self.last.append(Letter(now, "in", sender, message))

    def went(self, receiver: str, message: Message, now: float) -> None:
        """We told `receiver` `message`."""
        self.outgoing[message.verb] += 1
        self.last.append(Letter(now, "out", receiver, message))

    def snapshot(self) -> MailboxSnapshot:
        """The state, as a frozen value."""
        return MailboxSnapshot(incoming=dict(self.incoming), outgoing=dict(self.outgoing), last=tuple(self.last))
