"""How many neighbours hold each block.

The counts are kept bit by bit: plane k is the inventory of the blocks whose count has bit k. So to add or remove a
whole inventory takes one step a plane, however many blocks it has; to find the rarest blocks of any choice takes as
many. Invariant: no count is below zero, and the last plane is not empty.

Nearly always one block of one neighbour is added, far more often than a count is asked for. So new blocks are gathered
in `_fresh`, as long as each comes only once, and carried into the planes all at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from minibit import inventory


class Availability:
    """Counts of the blocks of a content, over the inventories that were added and not removed."""

    __slots__ = ("_all", "_fresh", "_planes")

    def __init__(self, block_count: int) -> None:
        self._all = inventory.full(block_count)
        self._planes: list[int] = []
        self._fresh = inventory.EMPTY  # each of these is held by one neighbour more than the planes say

    def add(self, blocks: int) -> None:
        """One more neighbour holds each of `blocks` (an inventory)."""
        if self._fresh & blocks:
            self._carry()
        self._fresh |= blocks

    def remove(self, blocks: int) -> None:
        """One neighbour fewer holds each of `blocks`, which must have been added before."""
        planes = self._carry()
        for k, plane in enumerate(planes):
            planes[k] = plane ^ blocks
            blocks &= ~plane  # the borrow from the next plane
        assert not blocks, "a count below zero"
        while planes and not planes[-1]:
            planes.pop()

    def rarest(self, choices: int) -> tuple[int, int]:
        """The lowest count among `choices` (not empty), and those of them that have it."""
        assert choices, "no choice"
        count = 0
        for plane in reversed(self._carry()):
            fewer = choices & ~plane
            count = 2 * count + (not fewer)
            choices = fewer or choices
        return count, choices

    @property
    def nobody(self) -> int:
        """The blocks that no neighbour holds."""
        held = inventory.EMPTY
        for plane in self._carry():
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
        assert counts._carry() == self._carry()

    def _carry(self) -> list[int]:
        """The planes, after the fresh blocks are carried into them."""
        planes, blocks = self._planes, self._fresh
        if blocks:
            for k, plane in enumerate(planes):
                planes[k] = plane ^ blocks
                blocks &= plane  # the carry to the next plane
                if not blocks:
                    break
            else:
                planes.append(blocks)
            self._fresh = inventory.EMPTY
        return planes
