"""The life of a peer, as one named value, and the table of how it goes on.

`STEPS` says what becomes of a life when an event comes or an effect is given. What the table lacks changes nothing:
the driver may say Starting to a peer that has just decided to leave. Whether a peer is complete is not part of its
life: a peer may complete while it leaves, and a seed is complete from the start.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from minibit.events import Effect, Event, Joining, Leaving, Left, Starting
from minibit.timers import Timers


class Life(Enum):
    """How far the life of a peer has come."""

    NEW = "new"
    """It is made. It has no address, but others may be linked to it by hand."""
    JOINED = "joined"
    """It has an address and calls the tracker. It serves, and asks for nothing yet."""
    TRADING = "trading"
    """It may send PEDIDOs."""
    LEAVING = "leaving"
    """It asks nothing and serves nobody; blocks that are being sent go out whole."""
    GONE = "gone"
    """It has said goodbye: it hears nothing, and gives no more effects."""


GONE: Final = Life.GONE
LEAVING: Final = Life.LEAVING
TRADING: Final = Life.TRADING
"""For what happens with every event: in Python 3.11, to look up a member of an Enum costs half a microsecond."""

STEPS: dict[tuple[Life, type[Event | Effect]], Life] = {
    (Life.NEW, Joining): Life.JOINED,
    (Life.NEW, Starting): Life.TRADING,
    (Life.JOINED, Starting): Life.TRADING,
    (Life.TRADING, Joining): Life.TRADING,
    (Life.NEW, Leaving): Life.LEAVING,
    (Life.JOINED, Leaving): Life.LEAVING,
    (Life.TRADING, Leaving): Life.LEAVING,
    (Life.LEAVING, Left): Life.GONE,
}


class Lifetime:
    """What a peer shares with its parts: its name, how far its life has come, its timers, and the effects to give.

    Only `Peer` takes the steps. Its parts write into the timers and effects: that costs less than to hand them up.
    """

    __slots__ = ("effects", "name", "stage", "timers")

    def __init__(self, name: str) -> None:
        self.name = name
        self.stage = Life.NEW
        self.timers = Timers()
        self.effects: list[Effect] = []

    def step(self, happening: type[Event | Effect]) -> bool:
        """Go on by the table; whether the table has this step."""
        after = STEPS.get((self.stage, happening))
        if after is not None:
            self.stage = after
        return after is not None

    @property
    def started(self) -> bool:
        """Whether it is past the start: it may ask for blocks, or it leaves or has left."""
        return self.stage not in (Life.NEW, Life.JOINED)
