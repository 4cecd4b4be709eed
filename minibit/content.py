"""What the core knows of the content: how many blocks there are, and how long each is."""

from __future__ import annotations

from typing import Protocol

from minibit.manifest import Manifest


class Content(Protocol):
    """A `Manifest`, or anything else with these three."""

    @property
    def block_count(self) -> int:
        """How many blocks there are."""

    @property
    def length_max(self) -> int:
        """No block has more bytes."""

    def length(self, block: int) -> int:
        """The bytes of `block`."""


class VirtualContent:
    """Content without bytes: `content_bytes` in blocks of `block_bytes`; the last block may be shorter."""

    digest = "virtual"

    def __init__(self, name: str, content_bytes: int, block_bytes: int) -> None:
        self.name = name
        self.content_bytes = content_bytes
        self.block_bytes = block_bytes
        self.block_count = -(-content_bytes // block_bytes)
        self.length_max = min(block_bytes, content_bytes)

    def length(self, block: int) -> int:
        """The bytes of `block`."""
        return min(self.block_bytes, self.content_bytes - block * self.block_bytes)

    def bytes_of(self, held: int) -> int:
        """The bytes of these blocks (an inventory)."""
        last = self.block_count - 1
        short_bytes = self.block_bytes - self.length(last) if last >= 0 and held >> last else 0
        return held.bit_count() * self.block_bytes - short_bytes


SharedContent = Manifest | VirtualContent
"""Content with all that the records of a run say of it: its name, its bytes, the digest that names the swarm."""
