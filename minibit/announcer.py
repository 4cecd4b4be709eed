"""What neighbours are told of our inventory, and when.

News is gathered for a while into one ESTOQUE a neighbour; the first news after a pause goes at once. That holds
for neighbours that we serve. The others can't ask us for anything now, so their news is gathered `PATIENCE` times as
long, and told at the latest when they get a slot.

How long that is follows from what messages cost, unless a rule says it (`announce_s`): at most `SHARE` of a processor
may go into news, at both ends together. And where processors are short, since many peers share a machine, we are woken
late: then it is `STRETCH` times as long as that, so that news, and with it the lateness, becomes less.

A block that a neighbour holds is no news to it, and is withheld. Withheld news is sent as soon as we want nothing more
from that neighbour. There is no "not interested" message: the neighbour works out our interest from what it knows of
our inventory, and with stale news it would keep a slot for us.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from math import inf

from minibit import inventory
from minibit.messages import Estoque
from minibit.neighbour import UNSERVED, Neighbour

PATIENCE = 4
MESSAGE_S = 50e-6  # of processor time for a message by a link, both ends together
SHARE = 0.05
STRETCH = 10.0
LONGEST_S = 1.0
SMOOTHING = 0.4  # weight of the newest lateness in the mean: a crowded machine is crowded from the first moment


class Announcer:
    """Decides when the neighbours of one peer are told its news."""

    def __init__(self, announce_s: float | None) -> None:
        self._announce_s = announce_s
        self._late_s = 0.0  # how late we are woken
        self._told_at = -inf
        self._told_all_at = -inf

    def woken(self, late_s: float) -> None:
        """The peer was woken so much later than it wanted."""
        self._late_s += SMOOTHING * (late_s - self._late_s)

    def gather_s(self, neighbours: int) -> float:
        """For how long news is gathered, with so many neighbours."""
        if self._announce_s is not None:
            return self._announce_s
        return min(LONGEST_S, max(neighbours * MESSAGE_S / SHARE, STRETCH * self._late_s))

    def due_s(self, neighbours: int, now: float) -> float:
        """When news that comes at `now` is due."""
        return max(now, self._told_at + self.gather_s(neighbours))

    def news(
        self, neighbours: Collection[Neighbour], claims: int, now: float, *, everybody: bool = False
    ) -> tuple[list[tuple[Neighbour, Estoque]], float]:
        """An ESTOQUE for each neighbour that needs one now, which counts as told; and when to look again."""
        self._told_at = now
        all_due_s = self._told_all_at + PATIENCE * self.gather_s(len(neighbours))
        if everybody or now >= all_due_s:
            everybody, self._told_all_at, all_due_s = True, now, inf
        told = []
        for neighbour in neighbours:
            if (everybody or neighbour.slot is not UNSERVED) and (estoque := untold(neighbour, claims)) is not None:
                told.append((neighbour, estoque))
        return told, all_due_s


def whole(neighbour: Neighbour, claims: int) -> Estoque:
    """The whole inventory: the first ESTOQUE on a link, and every ESTOQUE that takes something back."""
    neighbour.told = claims
    neighbour.crossed = neighbour.late | inventory.of(neighbour.asked)
    return Estoque(whole=inventory.to_hex(claims))


def untold(neighbour: Neighbour, claims: int) -> Estoque | None:
    """The ESTOQUE that this neighbour needs, or None. It counts as told."""
    theirs = neighbour.theirs
    blocks = claims & ~neighbour.told
    if theirs & ~claims:  # we want something from it
        blocks &= ~theirs
    if not blocks:
        return None
    if blocks.bit_count() * 5 > claims.bit_length() // 4:  # an index costs about five digits
        return whole(neighbour, claims)
    neighbour.told |= blocks
    return _new(blocks)


def single(neighbour: Neighbour, block: int) -> Estoque:
    """The ESTOQUE that says no more than that we hold `block`. It counts as told."""
    neighbour.told |= 1 << block
    return Estoque(new=(block,))


def knows(neighbour: Neighbour, block: int) -> None:
    """This neighbour sent us `block`, so it knows that we hold it, unless an ESTOQUE that denies it is on its way."""
    neighbour.told |= 1 << block & ~neighbour.crossed


@lru_cache(maxsize=64)
def _new(blocks: int) -> Estoque:
    """Made once, because the same news goes to many neighbours."""
    return Estoque(new=tuple(inventory.indices(blocks)))
