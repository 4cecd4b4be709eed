"""What neighbours are told of our inventory, and when.

News is gathered for `announce_s` into one ESTOQUE a neighbour, and the first news after a pause goes at
once. A block that a neighbour holds is no news to it. What is withheld so is told when we want nothing
from it any more: interest has no verb, both ends compute it, and without that it would go on holding a
slot for us.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from minibit import inventory
from minibit.messages import Estoque
from minibit.neighbour import Neighbour


class Announcer:
    """Keeps the inventory of one peer announced."""

    def __init__(self, announce_s: float) -> None:
        self._announce_s = announce_s
        self._told_at = -inf

    def due_s(self, now: float) -> float:
        """When the news that there is at `now` should be told."""
        return max(now, self._told_at + self._announce_s)

    def news(self, neighbours: Iterable[Neighbour], claims: int, now: float) -> list[tuple[Neighbour, Estoque]]:
        """An ESTOQUE for each of the neighbours that needs one; they count as told."""
        self._told_at = now
        found = [(neighbour, _news(neighbour, claims)) for neighbour in neighbours]
        return [(neighbour, estoque) for neighbour, estoque in found if estoque is not None]


def whole(neighbour: Neighbour, claims: int) -> Estoque:
    """The first ESTOQUE on a link, and every one that takes something back."""
    neighbour.told = claims
    return Estoque(whole=inventory.to_hex(claims))


def _news(neighbour: Neighbour, claims: int) -> Estoque | None:
    untold = claims & ~neighbour.told
    wants_nothing = not neighbour.theirs & ~claims
    believed_to_want = neighbour.theirs & ~neighbour.told
    if not (wants_nothing and believed_to_want):
        untold &= ~neighbour.theirs
    if not untold:
        return None
    if untold.bit_count() * 5 > claims.bit_length() // 4:  # an index costs about five digits
        return whole(neighbour, claims)
    neighbour.told |= untold
    return Estoque(new=tuple(inventory.indices(untold)))
