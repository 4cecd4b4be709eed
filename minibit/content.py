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


class SharedContent(Content, Protocol):
    """What the books of a run say of the content besides: a `Manifest`, or content that is only simulated."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def content_bytes(self) -> int:
        """All of it."""

    @property
    def block_bytes(self) -> int:
        """Of every block but the last, which may be shorter."""

    @property
    def digest(self) -> str:
        """The name of the swarm that shares it."""
