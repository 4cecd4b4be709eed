"""How a peer behaves to the others: honestly, or in one of the ways a swarm must bear.

A behaviour changes what a peer says and gives, and never what it takes.
"""

from __future__ import annotations

from minibit import inventory


class Honest:
    """Says what it holds and serves by its choker."""

    serves = True
    """Whether it ever serves a neighbour."""
    spoils = False
    """Whether the blocks that it sends are wrong."""
    upload_bps: float | None = None
    """Bytes a second at which it uploads at most, whatever its limit."""

    def claims(self, held: int, block_count: int) -> int:
        """The inventory that it announces."""
        return held


class FreeRider(Honest):
    """Takes and never serves."""

    serves = False


class Liar(Honest):
    """Announces blocks that it lacks, and ignores the PEDIDOs for them."""

    def claims(self, held: int, block_count: int) -> int:
        """Everything."""
        return inventory.full(block_count)


class Corrupter(Honest):
    """Sends wrong bytes."""

    spoils = True


class Slow(Honest):
    """Uploads at a crawl."""

    upload_bps = 32 * 1024.0


BEHAVIOURS: dict[str, type[Honest]] = {
    "honest": Honest,
    "free-rider": FreeRider,
    "liar": Liar,
    "corrupter": Corrupter,
    "slow": Slow,
}
