"""Which block to ask next.

A picker sees inventories and counts, and no neighbour: the pipeline draws a holder of the block by chance.
Write your own by subclassing `Picker`; name it `module:Class`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from random import Random

from minibit import inventory
from minibit.availability import Availability


class Picker(ABC):
    """Base of all pickers; `rng` is for this peer's picker alone."""

    rarest = False
    """Whether a neighbour may send, instead of the block that was picked, one that nobody else has."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng

    @abstractmethod
    def pick(self, choices: int, availability: Availability) -> int:
        """One block of `choices`, an inventory that is never empty: blocks that are missing, not in flight,
        and held by a neighbour that would serve one now."""


class RarestFirst(Picker):
    """A random one among the blocks that the fewest neighbours hold (Cohen 2003, section 2.4.2)."""

    rarest = True

    def pick(self, choices: int, availability: Availability) -> int:
        return inventory.choice(availability.rarest(choices)[1], self.rng)


class RandomBlock(Picker):
    """Any block, all equally likely."""

    def pick(self, choices: int, availability: Availability) -> int:
        return inventory.choice(choices, self.rng)


class Sequential(Picker):
    """The first block that is missing: a film plays while it loads, but the blocks spread badly."""

    def pick(self, choices: int, availability: Availability) -> int:
        return inventory.lowest(choices)


PICKERS: dict[str, type[Picker]] = {"rarest-first": RarestFirst, "random": RandomBlock, "sequential": Sequential}
