"""What the core knows of the content: how many blocks there are, and how long each is."""

from __future__ import annotations

from typing import Protocol


class Content(Protocol):
    """A `Manifest`, or anything with these two."""

    @property
    def block_count(self) -> int:
        """How many blocks there are."""

    def length(self, block: int) -> int:
        """The bytes of `block`."""
