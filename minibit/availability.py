"""How many neighbours hold each block.

Invariant: every block is at exactly one level, and level c is the inventory of the blocks that exactly c
neighbours hold. A whole inventory comes or goes in one step a level, and the rarest blocks of any choice
are those in the first level that meets it.
"""

from __future__ import annotations

from collections.abc import Iterable

from minibit import inventory


class Availability:
    """Counts of the blocks of a content, over the inventories that were added and not removed."""

    __slots__ = ("_levels",)

    def __init__(self, block_count: int) -> None:
        self._levels = [inventory.full(block_count)]

    def add(self, blocks: int) -> None:
        """One more neighbour holds each of `blocks` (an inventory)."""
        levels = self._levels
        for count in range(len(levels) - 1, -1, -1):  # downwards, so that no block rises twice
            if risen := levels[count] & blocks:
                levels[count] ^= risen
                if count + 1 == len(levels):
                    levels.append(risen)
                else:
                    levels[count + 1] |= risen
                blocks ^= risen
                if not blocks:
                    return

    def remove(self, blocks: int) -> None:
        """One neighbour less holds each of `blocks`, which must have been added before."""
        levels = self._levels
        for count in range(1, len(levels)):
            if fallen := levels[count] & blocks:
                levels[count] ^= fallen
                levels[count - 1] |= fallen
                blocks ^= fallen
                if not blocks:
                    break
        assert not blocks, "a count below zero"
        while len(levels) > 1 and not levels[-1]:
            levels.pop()

    def rarest(self, choices: int) -> tuple[int, int]:
        """The lowest count among `choices` (not empty), and those of them that have it."""
        for count, level in enumerate(self._levels):
            if rare := level & choices:
                return count, rare
        raise AssertionError("no choice")

    @property
    def nobody(self) -> int:
        """The blocks that no neighbour holds."""
        return self._levels[0]

    def count(self, block: int) -> int:
        """How many neighbours hold `block`."""
        return self.rarest(1 << block)[0]

    def frequencies(self, choices: int) -> list[tuple[int, int]]:
        """Pairs (count, block) of `choices`, in decreasing order of count."""
        return [
            (count, block)
            for count in range(len(self._levels) - 1, -1, -1)
            for block in inventory.indices(self._levels[count] & choices)
        ]

    def check(self, inventories: Iterable[int]) -> None:
        """Assert that the counts are those of `inventories`, and that every block is at one level."""
        counts = Availability(sum(level.bit_count() for level in self._levels))
        for blocks in inventories:
            counts.add(blocks)
        assert counts._levels == self._levels
