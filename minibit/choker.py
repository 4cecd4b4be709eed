"""Which neighbours to serve: a few in fixed slots, for their merit, and some in guest slots, by chance.

A choker sees rows of numbers and returns names. It is asked in two ways. `round` comes every few seconds
and ranks anew. `fill` comes between rounds: it gives free slots at once, and takes none from a neighbour
that wants one. Only neighbours that are interested get slots. One whose interest ended keeps its slot until
the round, or until another neighbour wants it, because interest comes and goes with every block.

Invariant: at most `slots` fixed and `guests` guests, and no neighbour is both. A guest keeps its slot for its
whole lease of `guest_rounds` rounds, whatever it gives. It loses the slot earlier only by rising to a fixed
slot, by losing interest or by leaving. A guest whose lease is over may be drawn again, like any other.

Write your own by subclassing `Choker` and ranking rows; name it `module:Class`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from random import Random
from typing import NamedTuple


class NeighbourRow(NamedTuple):
    """A neighbour in numbers; rates are in bytes a second."""

    peer: str  # its id
    interested: bool  # we hold a block that it lacks
    gave_bps: float  # what we got from it
    took_bps: float  # what it got from us
    rare_blocks: int  # the blocks that it holds among those that are rarest to us


class Serving(NamedTuple):
    """The neighbours that are served now."""

    fixed: tuple[str, ...]  # by merit
    guests: tuple[str, ...]  # by chance


class Choker(ABC):
    """Slots and leases; a subclass ranks the neighbours for the fixed slots."""

    always_new = False
    """Whether a guest whose lease is over is drawn again only if no other neighbour waits."""

    def __init__(self, slots: int, guests: int, guest_rounds: int, rng: Random) -> None:
        self.slots = slots
        self.guest_slots = guests
        self.guest_rounds = guest_rounds
        self.rng = rng
        self.fixed: list[str] = []  # in the order in which they got their slot
        self.guests: dict[str, int] = {}  # guest -> rounds of its lease that are left

    @abstractmethod
    def rank(self, rows: Sequence[NeighbourRow], seeding: bool) -> list[NeighbourRow]:
        """The rows (all interested), best first. `seeding`: we miss nothing, so no neighbour can give to us."""

    def candidates(self, rows: Sequence[NeighbourRow]) -> Sequence[NeighbourRow]:
        """The rows that compete for fixed slots in a round: all."""
        return rows

    def round(self, rows: Sequence[NeighbourRow], seeding: bool) -> Serving:
        """A new round: rank anew, and let the leases run."""
        wanting = [row for row in rows if row.interested]
        for peer in {*self.fixed, *self.guests}.difference(row.peer for row in wanting):
            self.forget(peer)
        self.rng.shuffle(wanting)  # so that no row wins a draw by its place
        best = self.rank(self.candidates(wanting), seeding)[: self.slots]
        chosen = [row.peer for row in best]
        self.fixed = [peer for peer in self.fixed if peer in chosen]
        self.fixed += [peer for peer in chosen if peer not in self.fixed]
        before = self.guests if self.always_new else ()
        self.guests = {peer: left - 1 for peer, left in self.guests.items() if peer not in chosen and left > 1}
        return self._fill_up(wanting, seeding, before)

    def fill(self, rows: Sequence[NeighbourRow], seeding: bool) -> Serving:
        """Between rounds: give free slots to neighbours that want one, and if they are too few also unused ones."""
        wanting = [row for row in rows if row.interested]
        names = {row.peer for row in wanting}
        served = [*self.fixed, *self.guests]
        short = len(names.difference(served)) - (self.slots + self.guest_slots - len(served))
        idle = [peer for peer in served if peer not in names]
        for peer in idle[: max(0, short)]:
            self.forget(peer)
        return self._fill_up(wanting, seeding)

    def forget(self, peer: str) -> None:
        """This neighbour is gone."""
        if peer in self.fixed:
            self.fixed.remove(peer)
        self.guests.pop(peer, None)

    def _fill_up(self, wanting: Sequence[NeighbourRow], seeding: bool, last: Container[str] = ()) -> Serving:
        waiting = [row for row in wanting if row.peer not in self.fixed and row.peer not in self.guests]
        if waiting:
            self.rng.shuffle(waiting)
            if free := max(0, self.slots - len(self.fixed)):
                best = self.rank(waiting, seeding)[:free]
                self.fixed += [row.peer for row in best]
                waiting = [row for row in waiting if row not in best]
            waiting.sort(key=lambda row: row.peer in last)
            for row in waiting[: max(0, self.guest_slots - len(self.guests))]:
                self.guests[row.peer] = self.guest_rounds
        return Serving(tuple(self.fixed), tuple(self.guests))


class TitForTat(Choker):
    """Serve the neighbours that give the most (Cohen 2003, section 3); a seed serves in turn.

    No neighbour gives anything to a seed, so a seed ranks by the rate sent. Each round the neighbour that has held its
    slot longest goes to the end, behind those that wait. Of those that wait, the one that took least comes first.
    """

    def rank(self, rows: Sequence[NeighbourRow], seeding: bool) -> list[NeighbourRow]:
        if not seeding:
            return sorted(rows, key=lambda row: (-row.gave_bps, row.peer not in self.fixed))
        served = sorted((row for row in rows if row.peer in self.fixed), key=lambda row: -row.took_bps)
        waiting = sorted((row for row in rows if row.peer not in self.fixed), key=lambda row: row.took_bps)
        if len(served) < max(1, self.slots) or not waiting:
            return served + waiting
        oldest = next(row for row in served if row.peer == self.fixed[0])
        served.remove(oldest)
        return [*served, *waiting, oldest]


class Rarity(Choker):
    """The rule that the original wanted: a guest that holds rarer blocks takes a fixed slot.

    Only the neighbours in fixed slots and the guest compete in a round. The weakest, by the number of rare
    blocks held, loses its slot. In a draw, the neighbour that has a slot wins. Each round has a new guest, if
    another neighbour waits.
    """

    always_new = True

    def rank(self, rows: Sequence[NeighbourRow], seeding: bool) -> list[NeighbourRow]:
        return sorted(rows, key=lambda row: (-row.rare_blocks, row.peer not in self.fixed))

    def candidates(self, rows: Sequence[NeighbourRow]) -> Sequence[NeighbourRow]:
        """The rows in fixed slots, and the guests."""
        return [row for row in rows if row.peer in self.fixed or row.peer in self.guests]


class NoChoking(Choker):
    """Every neighbour that wants blocks is served, without slots."""

    def round(self, rows: Sequence[NeighbourRow], seeding: bool) -> Serving:
        """Every neighbour that is interested."""
        self.fixed = [row.peer for row in rows if row.interested]
        return Serving(tuple(self.fixed), ())

    def fill(self, rows: Sequence[NeighbourRow], seeding: bool) -> Serving:
        """Also the neighbours that have become interested."""
        self.fixed = [row.peer for row in rows if row.interested or row.peer in self.fixed]
        return Serving(tuple(self.fixed), ())

    def rank(self, rows: Sequence[NeighbourRow], seeding: bool) -> list[NeighbourRow]:
        return list(rows)


CHOKERS: dict[str, type[Choker]] = {"tit-for-tat": TitForTat, "rarity": Rarity, "none": NoChoking}
