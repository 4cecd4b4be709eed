"""Block buffers, shared by all links of a node: only a link in the middle of a block holds one.

A block is received into such a private buffer, verified there, and written to its file only then. So a node needs one
buffer for each neighbour that sends to it at this moment, and keeps `SPARE_BYTES` more at most.
"""

from __future__ import annotations

SPARE_COUNT = 4
SPARE_BYTES = 16 << 20


class BlockPool:
    """Buffers of `block_bytes` each; at most `spare_count` idle ones are kept for the next block, or fewer."""

    def __init__(self, block_bytes: int, spare_count: int = SPARE_COUNT) -> None:
        self.block_bytes = block_bytes
        self.taken_count = 0
        self._spare_count = min(spare_count, max(1, SPARE_BYTES // max(1, block_bytes)))
        self._spare: list[memoryview] = []

    def take(self) -> memoryview:
        """A buffer with anything in it: the one given back last, which the cache is likely to hold still."""
        self.taken_count += 1
        return self._spare.pop() if self._spare else memoryview(bytearray(self.block_bytes))

    def give(self, buffer: memoryview) -> None:
        """Give back what `take` gave."""
        assert self.taken_count > 0
        self.taken_count -= 1
        if len(self._spare) < self._spare_count:
            self._spare.append(buffer)
