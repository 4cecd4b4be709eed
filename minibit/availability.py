"""How many neighbours hold each block.

The counts are kept bit by bit: plane k is the inventory of the blocks whose count has bit k. So a whole inventory
comes or goes in one step a plane, however many blocks it has, and the rarest blocks of any choice are found in as
many. Invariant: no count is below zero, and the last plane is not empty.
"""

from __future__ import annotations

from collections.abc import Iterable

from minibit import inventory


class Availability:
    """Counts of the blocks of a content, over the inventories that were added and not removed."""

    __slots__ = ("_all", "_planes")

    def __init__(self, block_count: int) -> None:
        self._all = inventory.full(block_count)
        self._planes: list[int] = []

    def add(self, blocks: int) -> None:
        """One more neighbour holds each of `blocks` (an inventory)."""
        planes = self._planes
        for k, plane in enumerate(planes):
            if not blocks:
                return
            planes[k] = plane ^ blocks
            blocks &= plane  # what is carried to the next
        if blocks:
            planes.append(blocks)

    def remove(self, blocks: int) -> None:
        """One neighbour less holds each of `blocks`, which must have been added before."""
        planes = self._planes
        for k, plane in enumerate(planes):
            planes[k] = plane ^ blocks
            blocks &= ~plane  # what is borrowed from the next
        assert not blocks, "a count below zero"
        while planes and not planes[-1]:
            planes.pop()

    def rarest(self, choices: int) -> tuple[int, int]:
        """The lowest count among `choices` (not empty), and those of them that have it."""
        assert choices, "no choice"
        count = 0
        for plane in reversed(self._planes):
            fewer = choices & ~plane
            count = 2 * count + (not fewer)
            choices = fewer or choices
        return count, choices

    @property
    def nobody(self) -> int:
        """The blocks that no neighbour holds."""
        held = inventory.EMPTY
        for plane in self._planes:
            held |= plane
        return self._all & ~held

    def count(self, block: int) -> int:
        """How many neighbours hold `block`."""
        return self.rarest(1 << block)[0]

    def frequencies(self, choices: int) -> list[tuple[int, int]]:
        """Pairs (count, block) of `choices`, in decreasing order of count."""
        pairs = [(self.count(block), block) for block in inventory.indices(choices)]
        return sorted(pairs, key=lambda pair: -pair[0])

    def check(self, inventories: Iterable[int]) -> None:
        """Assert that the counts are those of `inventories`."""
        counts = Availability(0)
        for blocks in inventories:
            counts.add(blocks)
        assert counts._planes == self._planes
