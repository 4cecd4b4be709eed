"""A peer as another peer sees it: where it is, what it holds, which of the two serves the other.

Its standing is one named value, and `MOVES` is the table of how it changes. A move that the table lacks is a
bug of ours. Invariants: `asked` and `wanted` are empty unless the link stands; `theirs` is empty until the
first ESTOQUE has come.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import Final

from minibit import inventory
from minibit.messages import PeerAddress
from minibit.rate import Rate

LEAST_DEPTH = 2  # PEDIDOs that a neighbour gets at once, unless it is slow


class Standing(Enum):
    """How far the acquaintance with a neighbour goes."""

    KNOWN = "known"
    """We have its address."""
    DIALLING = "dialling"
    """We are connecting to it."""
    LINKED = "linked"
    """The link stands and is proven; its inventory is awaited."""
    SHARING = "sharing"
    """Both know what the other holds."""
    BANNED = "banned"
    """It sent too many wrong blocks: it is never linked again."""


class Move(Enum):
    """What changes a standing."""

    DIAL = "dial"
    LINK = "link"
    ESTOQUE = "ESTOQUE"
    LOSE = "lose"
    BAN = "ban"


MOVES: dict[tuple[Standing, Move], Standing] = {
    (Standing.KNOWN, Move.DIAL): Standing.DIALLING,
    (Standing.KNOWN, Move.LINK): Standing.LINKED,
    (Standing.DIALLING, Move.LINK): Standing.LINKED,
    (Standing.DIALLING, Move.LOSE): Standing.KNOWN,
    (Standing.LINKED, Move.ESTOQUE): Standing.SHARING,
    (Standing.LINKED, Move.LOSE): Standing.KNOWN,
    (Standing.SHARING, Move.ESTOQUE): Standing.SHARING,
    (Standing.SHARING, Move.LOSE): Standing.KNOWN,
    (Standing.LINKED, Move.BAN): Standing.BANNED,
    (Standing.SHARING, Move.BAN): Standing.BANNED,
}

UP: Final = (Standing.LINKED, Standing.SHARING)


class Slot(Enum):
    """How we serve a neighbour."""

    NONE = "none"
    FIXED = "fixed"
    GUEST = "guest"


SHARING: Final = Standing.SHARING
UNSERVED: Final = Slot.NONE
"""For what is asked of every neighbour: in Python 3.11, to look up a member of an Enum costs half a microsecond."""

OWNERS: dict[str, tuple[str, ...]] = {
    "neighbour": ("peer", "standing"),
    "contacts": ("address", "since", "failures", "trouble", "exchanged", "retry_at", "sated"),
    "exchange": ("theirs", "strikes", "blocks_in", "gave", "uninvited"),
    "pipeline": (
        *("serves_us", "asked", "late", "doubted", "snubbed_until"),
        *("heard_at", "came_at", "depth", "probe", "latency_s", "least_s", "gap_s"),
    ),
    "uploads": ("slot", "wanted", "sending", "instead", "blocks_out", "took"),
    "announcer": ("told", "crossed"),
}
"""Room -> the slots of a neighbour that it owns. Every room may read them all; only the owner changes its own."""


class Neighbour:
    """All that a peer knows about another one: one object, because a large simulation has millions of them."""

    __slots__ = tuple(slot for slots in OWNERS.values() for slot in slots)

    def __init__(self, address: PeerAddress, window_s: float) -> None:
        self.peer = address.peer  # its id
        self.standing = Standing.KNOWN
        # contacts
        self.address = address
        self.since = -inf  # when the dial or the link that stands began, or the last one ended
        self.failures = 0  # dials that failed and links that ended, since a block last went by one
        self.trouble = ""  # why the last of these ended
        self.exchanged = 0  # the blocks that had gone either way by then
        self.retry_at = -inf  # it is not dialled before
        self.sated = False  # it held every block when it was last a neighbour
        # exchange
        self.strikes = 0  # blocks with a wrong hash
        self.blocks_in = 0
        self.gave = Rate(window_s)
        # pipeline
        self.doubted = inventory.EMPTY  # it sent them wrong, or not in time: better asked elsewhere, or last
        # uploads
        self.blocks_out = 0
        self.took = Rate(window_s)
        self._reset()

    def _reset(self) -> None:
        """Forget what belongs to one link."""
        # exchange
        self.theirs = inventory.EMPTY
        self.uninvited = 0  # its messages that had no place: PEDIDOs while choked, blocks that nobody asked for
        # pipeline
        self.serves_us = False
        self.asked: dict[int, float] = {}  # block -> when we sent the PEDIDO
        self.late = inventory.EMPTY  # asked, given up, and may still come
        self.snubbed_until = -inf  # it is asked for nothing before
        self.heard_at = -inf  # when bytes of a block last came from it, or it began to owe us some
        self.came_at = -inf  # when a block was last whole, or the pipeline last began to fill
        self.depth = LEAST_DEPTH  # how many PEDIDOs it gets at once
        self.probe: int | None = None  # the last block that was asked while no other was
        self.latency_s: float | None = None  # from such a PEDIDO to its block
        self.least_s = inf  # the least that this ever was
        self.gap_s: float | None = None  # between two blocks while it had PEDIDOs to answer
        # uploads
        self.slot = Slot.NONE
        self.wanted: dict[int, bool] = {}  # its PEDIDOs, unanswered: block -> whether it takes a rarer one instead
        self.sending: int | None = None  # the block that is under way to it
        self.instead: tuple[int, int] | None = None  # the last block that it got instead of one it asked for; and that
        # announcer
        self.told = inventory.EMPTY  # what it has been told that we hold
        self.crossed = inventory.EMPTY  # blocks that may cross a whole ESTOQUE, which says that we lack them

    @property
    def up(self) -> bool:
        """Whether a proven link stands."""
        return self.standing in UP

    def move(self, move: Move) -> None:
        """Change the standing by the table."""
        self.standing = MOVES[self.standing, move]
        if self.standing not in UP:
            self._reset()

    def check(self) -> None:
        """Assert the invariants."""
        if not self.up:
            assert not self.asked and not self.wanted and not self.theirs and self.slot is Slot.NONE
        assert not self.wanted or self.slot is not Slot.NONE
        assert self.sending not in self.wanted
