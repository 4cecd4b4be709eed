"""Serving neighbours: which have a slot, what each has asked, which block goes next.

The choker decides from numbers; this room makes the numbers and carries the decision out. One block at a
time is under way to a neighbour. The next is chosen when the network has taken the last byte, and when it is the
neighbour's turn (`minibit.line`). So a neighbour that is choked, or that calls a PEDIDO off, costs at most the block
that is under way.

A seed chooses itself, while it holds blocks that nobody else has: each time another one. What a seed gives twice before
it gave everything once makes the whole swarm wait. A peer that picks the rarest block agrees to it (`Pedido.rarer`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random

from minibit import inventory
from minibit.availability import Availability
from minibit.behaviour import Honest
from minibit.choker import Choker, NeighbourRow, NoChoking, Serving
from minibit.errors import LocalError
from minibit.events import Effect, SendBlock
from minibit.line import Line
from minibit.neighbour import SHARING, UNSERVED, Neighbour, Slot
from minibit.rules import Rules

MOST_WANTED = 256  # PEDIDOs of one neighbour that are remembered

Ask = Callable[[Sequence[NeighbourRow], bool], Serving]
Changes = list[tuple[Neighbour, Slot]]
"""Neighbours whose slot has changed, each with the slot that it had before; those that lost one come first."""


class Uploads:
    """The slots of one peer."""

    def __init__(
        self, rules: Rules, choker: Choker, behaviour: Honest, availability: Availability, rng: Random
    ) -> None:
        self._rules = rules
        self._availability = availability
        self._behaviour = behaviour
        self._rng = rng
        self.choker = choker
        self.line = Line(rules)
        self.slots = None if isinstance(choker, NoChoking) else rules.slots + rules.guests
        self._served: list[Neighbour] = []

    def round(self, up: Iterable[Neighbour], held: int, missing: int, now: float) -> Changes:
        """The choker's round."""
        neighbours = [neighbour for neighbour in up if neighbour.standing is SHARING]
        return self._decide(self.choker.round, neighbours, held, missing, now)

    def fill(self, up: Iterable[Neighbour], held: int, missing: int, now: float) -> Changes:
        """Give free slots at once, if a neighbour waits for one."""
        if len(self._served) == self.slots and all(held & ~neighbour.theirs for neighbour in self._served):
            return []
        neighbours = [neighbour for neighbour in up if neighbour.standing is SHARING]
        if not any(held & ~neighbour.theirs for neighbour in neighbours if neighbour.slot is UNSERVED):
            return []
        return self._decide(self.choker.fill, neighbours, held, missing, now)

    def has_room(self, up: Iterable[Neighbour], held: int) -> bool:
        """Whether fewer neighbours are interested than could be served; where there are no slots: none is."""
        return sum(bool(held & ~neighbour.theirs) for neighbour in up) < (self.slots or 1)

    def forget(self, neighbour: Neighbour) -> None:
        """The link is gone: its slot is free."""
        self.choker.forget(neighbour.peer)
        self.line.leave(neighbour)
        if neighbour in self._served:
            self._served.remove(neighbour)

    def close(self, up: Iterable[Neighbour]) -> Changes:
        """Take every slot; blocks under way go on."""
        return self._put((neighbour, UNSERVED) for neighbour in up)

    def wanted(self, neighbour: Neighbour, block: int, rarer: bool = False) -> None:
        """A PEDIDO that we can answer; a second one for the same block changes nothing."""
        if neighbour.instead is not None and block == neighbour.instead[0]:
            block = neighbour.instead[1]  # it asked before that block was there, and still waits for this one
            neighbour.instead = None
        if block != neighbour.sending and block not in neighbour.wanted and len(neighbour.wanted) < MOST_WANTED:
            neighbour.wanted[block] = rarer
            self.line.join(neighbour)

    def called_off(self, neighbour: Neighbour) -> None:
        """PEDIDOs for blocks that it holds by now are void."""
        for block in [block for block in neighbour.wanted if neighbour.theirs >> block & 1]:
            del neighbour.wanted[block]

    def lost(self, neighbour: Neighbour, block: int, now: float) -> None:
        """`block` can't be sent to it, also if that was begun."""
        neighbour.wanted.pop(block, None)
        if block == neighbour.sending:
            neighbour.sending = None
            self.line.end(neighbour, 0, now)

    def sent(self, neighbour: Neighbour, length_bytes: int, now: float) -> None:
        """The network took the last byte of the block that was under way to it."""
        neighbour.sending = None
        neighbour.blocks_out += 1
        neighbour.took.add(length_bytes, now)
        self.line.end(neighbour, length_bytes, now)

    def advance(self, own: int, now: float) -> list[Effect]:
        """Send the next blocks, as many as may go out now; those of `own` also if others were asked for."""
        effects: list[Effect] = []
        while (neighbour := self.line.next(now)) is not None:
            neighbour.sending = self._take(neighbour, own)
            self.line.begin(neighbour, now)
            busy = self.line.busy(neighbour)
            effects.append(SendBlock(neighbour.peer, neighbour.sending, self._behaviour.spoils, busy))
        return effects

    def _take(self, neighbour: Neighbour, own: int) -> int:
        """The block that it gets: the first that it asked for, or a fresh one, which nobody has or will have soon."""
        asked, rarer = next(iter(neighbour.wanted.items()))
        if rarer and (fresh := own & self._availability.nobody & ~self.line.under_way):
            named = next((block for block in neighbour.wanted if fresh >> block & 1), None)
            if named is None:
                block = inventory.choice(fresh, self._rng)
                neighbour.instead = block, asked
                del neighbour.wanted[asked]
                return block
            asked = named
        del neighbour.wanted[asked]
        return asked

    def _decide(self, ask: Ask, neighbours: list[Neighbour], held: int, missing: int, now: float) -> Changes:
        if not self._behaviour.serves:
            return []
        reachable = (missing or inventory.full(held.bit_length())) & ~self._availability.nobody
        rare = self._availability.rarest(reachable)[1] if reachable else inventory.EMPTY
        rows = [
            NeighbourRow(
                n.peer, bool(held & ~n.theirs), n.gave.bps(now), n.took.bps(now), (n.theirs & rare).bit_count()
            )
            for n in neighbours
        ]
        try:
            serving = ask(rows, not missing)
            slots = dict.fromkeys(serving.guests, Slot.GUEST) | dict.fromkeys(serving.fixed, Slot.FIXED)
        except Exception as error:  # a strategy of a user's own may raise anything: name it
            raise LocalError(f"choker {self._rules.choker} raised {type(error).__name__}: {error}") from error
        if self.slots is not None and len(slots) > self.slots:
            raise LocalError(f"choker {self._rules.choker} gave {len(slots)} slots and has {self.slots}")
        given = [(neighbour, slots.get(neighbour.peer, UNSERVED)) for neighbour in neighbours]
        given.sort(key=lambda each: each[1] is not UNSERVED)  # first take slots, then give them
        return self._put(given)

    def _put(self, given: Iterable[tuple[Neighbour, Slot]]) -> Changes:
        changes = []
        for neighbour, slot in given:
            before, neighbour.slot = neighbour.slot, slot
            if slot is not before:
                changes.append((neighbour, before))
                if slot is UNSERVED:
                    self._served.remove(neighbour)
                    neighbour.wanted.clear()
                elif before is UNSERVED:
                    self._served.append(neighbour)
        return changes

    def check(self, up: Iterable[Neighbour], held: int) -> None:
        """Assert that no neighbour waits while a slot is free, or held by one that wants nothing."""
        served = [neighbour for neighbour in up if neighbour.slot is not UNSERVED]
        assert self.slots is None or len(served) <= self.slots
        if self._behaviour.serves and (len(served) != self.slots or not all(held & ~n.theirs for n in served)):
            waiting = [n.peer for n in up if n.standing is SHARING and n.slot is UNSERVED and held & ~n.theirs]
            assert not waiting, f"{waiting} wait for a slot"
