"""Content without bytes: all that a simulation needs of it is how long each block is."""

from __future__ import annotations


class VirtualContent:
    """Content of `content_bytes` in blocks of `block_bytes`, of which the last may be short."""

    digest = "virtual"

    def __init__(self, name: str, content_bytes: int, block_bytes: int) -> None:
        self.name = name
        self.content_bytes = content_bytes
        self.block_bytes = block_bytes
        self.block_count = -(-content_bytes // block_bytes)

    def length(self, block: int) -> int:
        """The bytes of `block`."""
        return min(self.block_bytes, self.content_bytes - block * self.block_bytes)
