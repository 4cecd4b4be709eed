"""The neighbours that a peer knows: which to dial, which to admit, which to drop when there is no room.

A peer dials until it has half of its links, and leaves the other half for peers that dial it, so that late
comers find room. Invariant: at most `neighbours` links stand.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from math import inf
from random import Random

from minibit.messages import PeerAddress
from minibit.neighbour import Move, Neighbour, Slot, Standing
from minibit.rules import Rules

REMEMBERED = 8  # addresses remembered, as a multiple of the links
LONGEST_DIAL_S = 20.0  # the world should answer a dial long before
LONGEST_RETRY_S = 60.0
MOST_DOUBLINGS = 16


class Need(Enum):
    """How much a peer needs other neighbours than it has."""

    NONE = "none"
    ALONE = "alone"
    """For more than a round, no neighbour held any block that it misses."""
    HUNGRY = "hungry"
    """For as long as two guests keep their slot, no block came, whatever the neighbours say that they hold."""


class Contacts:
    """The neighbours of one peer, by id, in the order in which it came to know them."""

    def __init__(self, me: str, rules: Rules, rng: Random) -> None:
        self._me = me
        self._rules = rules
        self._rng = rng
        self.known: dict[str, Neighbour] = {}
        self.up: dict[str, Neighbour] = {}  # the neighbours with a standing link
        self.dialling = 0

    def learn(self, addresses: Iterable[PeerAddress]) -> None:
        """Remember where peers are."""
        for address in addresses:
            if address.peer == self._me:
                continue
            if (neighbour := self.known.get(address.peer)) is None:
                if len(self.known) >= REMEMBERED * self._rules.neighbours and (idle := self._idle()):
                    del self.known[self._rng.choice(idle).peer]
                self.known[address.peer] = Neighbour(address, 2 * self._rules.round_s)
            elif neighbour.address != address:  # it came back elsewhere
                neighbour.address = address
                neighbour.failures = 0
                neighbour.sated = False

    def forget(self, neighbour: Neighbour) -> None:
        """Forget a neighbour that left the swarm, unless it sent wrong blocks: it could clear its record by leaving."""
        if not neighbour.strikes and neighbour.standing is not Standing.BANNED:
            self.known.pop(neighbour.peer, None)

    def note(self, neighbour: Neighbour, *, sated: bool) -> None:
        """Remember whether it holds every block."""
        neighbour.sated = sated

    def move(self, neighbour: Neighbour, move: Move, now: float) -> None:
        """Change its standing, and with it `up` and `dialling`."""
        neighbour.since = now
        self.dialling -= neighbour.standing is Standing.DIALLING
        neighbour.move(move)
        self.dialling += neighbour.standing is Standing.DIALLING
        if neighbour.up:
            self.up[neighbour.peer] = neighbour
        else:
            self.up.pop(neighbour.peer, None)

    @property
    def dial_due_s(self) -> float:
        """When the first of the dials that are under way must have been answered; infinite if none is."""
        return min((neighbour.since for neighbour in self._dials()), default=inf) + LONGEST_DIAL_S

    def overdue(self, now: float) -> list[Neighbour]:
        """The neighbours whose dial is still not answered after `LONGEST_DIAL_S`."""
        return [neighbour for neighbour in self._dials() if neighbour.since + LONGEST_DIAL_S <= now]

    def _dials(self) -> list[Neighbour]:
        return [neighbour for neighbour in self.known.values() if neighbour.standing is Standing.DIALLING]

    def failed(self, neighbour: Neighbour, why: str, now: float) -> None:
        """A dial failed or a link ended: don't dial the neighbour for a while.

        The pause doubles until a block goes either way: a link that only begins well may be made and lost for ever.
        """
        blocks = neighbour.blocks_in + neighbour.blocks_out
        if blocks != neighbour.exchanged:
            neighbour.exchanged = blocks
            neighbour.failures = 0
        neighbour.trouble = why
        neighbour.retry_at = now + min(self._rules.retry_s * 2**neighbour.failures, LONGEST_RETRY_S)
        neighbour.failures = min(neighbour.failures + 1, MOST_DOUBLINGS)

    def to_dial(self, now: float, *, one_more: bool = False) -> tuple[list[Neighbour], float | None]:
        """The neighbours to connect to now, and when to look again if links are still short then.

        `one_more`: at least one neighbour, though half of the links stand; the one that was not tried for longest.
        """
        short = (self._rules.neighbours + 1) // 2 - len(self.up) - self.dialling
        count = max(short, 1 - self.dialling) if one_more else short
        if count <= 0:
            return [], None
        idle = self._idle()
        ready = [neighbour for neighbour in idle if neighbour.retry_at <= now]
        if short <= len(ready):
            drawn = self._rng.sample(ready, min(len(ready) if one_more else count, len(ready)))
            return sorted(drawn, key=lambda n: n.retry_at)[:count] if one_more else drawn, None
        return ready, min((neighbour.retry_at for neighbour in idle if neighbour.retry_at > now), default=None)

    def to_serve(self, now: float) -> Neighbour | None:
        """A peer to connect to, because it may want what we hold; None: we know of none."""
        ready = [neighbour for neighbour in self._idle() if neighbour.retry_at <= now and not neighbour.sated]
        return self._rng.choice(ready) if ready else None

    @property
    def crowded(self) -> bool:
        """Whether one of the links must go."""
        return len(self.up) > self._rules.neighbours

    def to_drop(self, newest: Neighbour, held: int, need: Need) -> Neighbour:
        """Which neighbour makes room: one with which nothing is left to exchange; else, if the new link is needed,
        the one that matters least; else the newest itself.

        A block under way to a neighbour is sent to its end, and a block that was asked of it is waited for, unless we
        are hungry. Otherwise two peers that are alone would drive each other out for ever. Who may have something
        for us matters more than who has nothing, or a seed would lose its place before it could serve us.
        """
        others = [neighbour for neighbour in self.up.values() if neighbour is not newest]
        for neighbour in others if held else ():  # two peers that hold nothing will soon have something to exchange
            if neighbour.standing is Standing.SHARING and neighbour.theirs == held:
                return neighbour
        idle = [n for n in others if n.sending is None and (need is Need.HUNGRY or not n.asked)]
        if need is Need.NONE or not idle:
            return newest

        def matters(n: Neighbour) -> tuple[bool, bool, bool, int]:
            may_give = n.standing is not Standing.SHARING or bool(n.theirs & ~held)
            return bool(n.asked), n.slot is not Slot.NONE, may_give, n.blocks_in + n.blocks_out

        return min(idle, key=matters)

    def check(self) -> None:
        """Assert the invariants."""
        for neighbour in self.known.values():
            neighbour.check()
        assert self.up == {peer: neighbour for peer, neighbour in self.known.items() if neighbour.up}
        assert len(self.up) <= self._rules.neighbours

    def _idle(self) -> list[Neighbour]:
        return [neighbour for neighbour in self.known.values() if neighbour.standing is Standing.KNOWN]
