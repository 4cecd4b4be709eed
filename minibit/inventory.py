"""An inventory is a Python int: bit i is set when block i is held.

So a whole inventory is one small immutable value, and what a neighbour has that we lack is
`theirs & ~ours`: one operation, whatever the number of blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from string import hexdigits
from typing import Final

from minibit.errors import RemoteError

EMPTY: Final = 0


def full(block_count: int) -> int:
    """The inventory of a peer that holds every block."""
    return (1 << block_count) - 1


def of(blocks: Iterable[int]) -> int:
    """The inventory of exactly `blocks`."""
    inventory = EMPTY
    for block in blocks:
        inventory |= 1 << block
    return inventory


def indices(inventory: int) -> Iterator[int]:
    """The blocks held, in ascending order."""
    while inventory:
        lowest = inventory & -inventory
        yield lowest.bit_length() - 1
        inventory ^= lowest


def lowest(inventory: int) -> int:
    """The first block held; the inventory must not be empty."""
    return (inventory & -inventory).bit_length() - 1


def choice(inventory: int, rng: Random) -> int:
    """One of the blocks held, all equally likely; the inventory must not be empty."""
    rank = rng.randrange(inventory.bit_count())
    base = 0
    width = inventory.bit_length()
    while width > 1:  # halve until only the block of that rank is left
        half = width >> 1
        low = inventory & ((1 << half) - 1)
        below = low.bit_count()
        if rank < below:
            inventory, width = low, half
        else:
            inventory, width = inventory >> half, width - half
            rank -= below
            base += half
    return base


def to_hex(inventory: int) -> str:
    """The text that an ESTOQUE carries."""
    return format(inventory, "x")


def from_hex(text: str, block_count: int) -> int:
    """The inventory that an ESTOQUE carries; `RemoteError` when `text` is no inventory of `block_count` blocks."""
    if not 0 < len(text) <= block_count // 4 + 1:
        raise RemoteError(f"an inventory of {len(text)} digits for {block_count} blocks")
    if text.strip(hexdigits):  # int() alone takes signs, blanks, underscores and a prefix
        raise RemoteError("an inventory that is not hexadecimal")
    inventory = int(text, 16)
    if inventory >> block_count:
        raise RemoteError(f"an inventory with a block beyond the last of {block_count}")
    return inventory
