"""Block buffers, shared by all links of a node: only a link in the middle of a block holds one.

A block is received into such a private buffer, verified there, and written to its file only then. So a node needs one
buffer for each neighbour that sends to it at this moment, and keeps `SPARE_BYTES` more at most. Of large blocks only
`RECEIPT_BYTES` are in receipt at once: the other neighbours that send wait, each with its block in the network.
"""

from __future__ import annotations

from collections.abc import Callable

SPARE_COUNT = 4
SPARE_BYTES = 16 << 20
RECEIPT_BYTES = 96 << 20
RECEIPT_COUNT_MIN = 4  # blocks in receipt at once, however large they are

Lent = Callable[[memoryview | None], object]
"""Called with a buffer, once another link gave it back; before, with None each time that somebody else got one."""


class BlockPool:
    """Buffers of `block_bytes` each, `most_count` at a time; at most `spare_count` idle ones are kept, or fewer."""

    def __init__(self, block_bytes: int, spare_count: int = SPARE_COUNT) -> None:
        self.block_bytes = block_bytes
        self.taken_count = 0
        self.most_count = max(RECEIPT_COUNT_MIN, RECEIPT_BYTES // max(1, block_bytes))
        self._spare_count = min(spare_count, max(1, SPARE_BYTES // max(1, block_bytes)))
        self._spare: list[memoryview] = []
        self._waiting: dict[Lent, None] = {}  # for its order

    @property
    def empty(self) -> bool:
        """Whether a link that asks for a buffer must wait for it."""
        return self.taken_count >= self.most_count

    def ask(self, lent: Lent) -> memoryview | None:
        """A buffer with anything in it: the one given back last, which the cache is likely to hold still.

        None if the pool is `empty`: then `lent` is called.
        """
        if self.empty:
            self._waiting[lent] = None
            return None
        self.taken_count += 1
        return self._spare.pop() if self._spare else memoryview(bytearray(self.block_bytes))

    def forget(self, lent: Lent) -> None:
        """Its link waits no more."""
        self._waiting.pop(lent, None)

    def give(self, buffer: memoryview) -> None:
        """Give back a buffer; the link that waits longest gets it."""
        assert self.taken_count > 0
        if self._waiting:
            lent = next(iter(self._waiting))
            del self._waiting[lent]
            lent(buffer)
            for other in self._waiting:
                other(None)
            return
        self.taken_count -= 1
        if len(self._spare) < self._spare_count:
            self._spare.append(buffer)
