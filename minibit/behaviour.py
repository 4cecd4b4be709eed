"""How a peer behaves to the others: honestly, or in one of the ways that a swarm must survive.

A behaviour changes what a peer announces and sends, never what it accepts.
"""

from __future__ import annotations

from minibit import inventory


class Honest:
    """Announces what it holds, and serves as its choker decides."""

    serves = True
    """Whether it serves neighbours at all."""
    spoils = False
    """Whether the blocks that it sends are wrong."""
    upload_bps: float | None = None
    """Its highest upload rate in bytes a second, whatever its limit; None: no other limit."""

    def claims(self, held: int, block_count: int) -> int:
        """The inventory that it announces."""
        return held


class FreeRider(Honest):
    """Takes blocks and never serves any."""

    serves = False


class Liar(Honest):
    """Announces blocks that it lacks, and ignores the PEDIDOs for them."""

    def claims(self, held: int, block_count: int) -> int:
        """Every block."""
        return inventory.full(block_count)


class Corrupter(Honest):
    """Sends blocks with wrong bytes."""

    spoils = True


class Slow(Honest):
    """Uploads at 32 KiB/s."""

    upload_bps = 32 * 1024.0


BEHAVIOURS: dict[str, type[Honest]] = {
    "honest": Honest,
    "free-rider": FreeRider,
    "liar": Liar,
    "corrupter": Corrupter,
    "slow": Slow,
}
