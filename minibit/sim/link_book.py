"""The PEDIDOs of a peer at one neighbour, as an observer of their link can tell.

A PEDIDO is open until its block comes, until either side says something that makes it void, or until the neighbour is
silent for the time-out. After the time-out an observer can't tell whether the peer gave it up: a peer that is paused
looks at its clock later. So such PEDIDOs count as perhaps `given_up`, until they are asked again.
"""

from __future__ import annotations

from math import inf

from minibit import inventory
from minibit.messages import Bloqueio, Desbloqueio, Estoque, Message


class LinkBook:
    """The PEDIDOs on one link: those that are `open`, and those that were perhaps `given_up`.

    `serves` and `theirs` are what the neighbour last said: whether it serves the peer, and its inventory.
    """

    def __init__(self) -> None:
        self.serves = False
        self.theirs = inventory.EMPTY
        self.open: dict[int, bool] = {}  # in the order of asking; whether another block may come instead
        self.given_up: set[int] = set()
        self.heard_s = -inf  # when bytes of a block last came
        self._gave_up_s = -inf

    def hear(self, message: Message) -> None:
        """The neighbour said this."""
        match message:
            case Bloqueio():
                self.serves = False
                self.call_off(-1)
            case Desbloqueio():
                self.serves = True
            case Estoque(None, new):
                self.theirs |= inventory.of(new)
            case Estoque(whole, new):
                self.theirs = int(str(whole), 16) | inventory.of(new)
                self.call_off(~self.theirs)

    def ask(self, block: int, rarer: bool, now: float) -> None:
        """A PEDIDO was sent."""
        if self._gave_up_s == now:  # the peer sent it first, and gave it up with the others at the same instant
            self.given_up.add(block)
            return
        if not self.open:
            self.heard_s = now
        self.open[block] = rarer
        self.given_up.discard(block)

    def arrived(self, block: int, now: float) -> None:
        """A block came: the answer to the PEDIDO for it, or else to the first one.

        If any was perhaps given up, nobody can tell which was the first: so what looks like it is perhaps open still.
        """
        self.heard_s = now
        first = next(iter(self.open), None)
        if first is not None and block not in self.open and self.open[first]:
            del self.open[first]
            if self.given_up:
                self.given_up.add(first)
        self.call_off(1 << block)

    def call_off(self, blocks: int) -> None:
        """PEDIDOs for these blocks (an inventory) are void."""
        self.open = {block: rarer for block, rarer in self.open.items() if not blocks >> block & 1}
        self.given_up = {block for block in self.given_up if not blocks >> block & 1}

    def look(self, now: float, timeout_s: float) -> None:
        """Time has passed."""
        if self.open and self.heard_s + timeout_s <= now:
            self._gave_up_s = self.heard_s + timeout_s
            self.given_up.update(self.open)
            self.open.clear()
