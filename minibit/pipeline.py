"""The PEDIDOs that are open: which block is asked of which neighbour, how many at once, when one is given up.

The picker chooses the block; one of its holders is drawn by chance. The depth follows rate and latency: a
neighbour gets as many PEDIDOs as it answers in the time that one alone takes, and one more, so that it is
never idle and never far ahead. One that has others to serve is not idle anyway: it gets no more than it answers in the
least time that one ever took. Blocks that don't wait in its line can be asked of others. Latency is measured only by
PEDIDOs that had none before them; otherwise the queue that we made ourselves would count as latency. A slow neighbour
gets one PEDIDO at a time: it idles for only a moment between blocks.

Endgame begins when every missing block is in flight. Then a block is also asked of a neighbour that would bring it
much sooner.

Invariant: a block in flight is asked of exactly the neighbours in `requesters[block]`, and each of these
has it in `asked`. Outside endgame there is one; in endgame there are at most `MOST_REQUESTERS`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import chain
from math import ceil, inf
from operator import itemgetter
from random import Random

from minibit import inventory
from minibit.availability import Availability
from minibit.errors import LocalError
from minibit.neighbour import LEAST_DEPTH, Neighbour
from minibit.picker import Picker
from minibit.rules import Rules

MOST_REQUESTERS = 3  # neighbours asked for one block, in endgame
MOST_ASKED = 1 << 20  # neighbours that are asked at once, where blocks are small: no limit
OVERDUE = 4.0  # endgame: ask one more neighbour if it needs this many times less than those that were asked
OVERDUE_LEAST_S = 0.5  # and these need at least so long: on a busy machine every peer pauses now and then
SLOW_S = 0.5  # a neighbour with a longer gap between two blocks is slow
SMOOTHING = 0.3  # weight of the newest gap in the mean


class Pipeline:
    """The blocks in flight of one peer."""

    def __init__(
        self,
        name: str,
        rules: Rules,
        picker: Picker,
        availability: Availability,
        rng: Random,
        most_asked: int = MOST_ASKED,
    ) -> None:
        self._rules = rules
        self._most_asked = most_asked
        self._asked = 0  # neighbours with open PEDIDOs
        self._picker = picker
        self._availability = availability
        self._rng = rng
        self._log = logging.getLogger(f"minibit.{name}")
        self._typical_s: float | None = None  # mean gap over all neighbours
        self.requesters: dict[int, list[Neighbour]] = {}
        self.in_flight = inventory.EMPTY
        self.late = inventory.EMPTY  # asked of any neighbour and given up, ever

    def ask(self, neighbours: Iterable[Neighbour], missing: int, now: float) -> list[tuple[Neighbour, int]]:
        """The PEDIDOs to send now, so that all neighbours that serve us have enough to do."""
        ready = [n for n in neighbours if n.serves_us and self.has_room(n, now)]  # most don't serve us
        fresh = missing & ~self.in_flight
        asks: list[tuple[Neighbour, int]] = []
        while ready and fresh:
            choices = inventory.EMPTY
            for neighbour in ready:
                choices |= neighbour.theirs & ~neighbour.doubted
            choices &= fresh
            if not choices:
                return asks
            block = self._pick(choices, missing)
            holders = [n for n in ready if (n.theirs & ~n.doubted) >> block & 1]
            neighbour = holders[0] if len(holders) == 1 else self._rng.choice(holders)
            asks.append(self._ask(neighbour, block, now))
            fresh ^= 1 << block
            if not self.has_room(neighbour, now):
                ready.remove(neighbour)
            if self._asked >= self._most_asked:
                ready = [n for n in ready if n.asked]
        return asks

    def ask_again(self, neighbours: Iterable[Neighbour], now: float) -> list[tuple[Neighbour, int]]:
        """Endgame: one more PEDIDO for each block that one of `neighbours` would bring much sooner than those asked.

        The blocks that would come last are the first to be asked again: an ESTOQUE calls them off before they are sent.
        If that neighbour has no room just now, it is waited for.
        """
        able = [n for n in neighbours if n.serves_us and self._able(n, now)]  # most don't serve us
        asks: list[tuple[Neighbour, int]] = []
        if not any(map(self._is_free, able)):
            return asks
        for block, wait_s in sorted(self._waits(now).items(), key=itemgetter(1), reverse=True):
            if wait_s < OVERDUE_LEAST_S:
                break
            requesters = self.requesters[block]
            holders = [n for n in able if (n.theirs & ~n.doubted) >> block & 1 and n not in requesters]
            if holders and len(requesters) < MOST_REQUESTERS:
                # one whose pace is known comes before one that only may be as fast
                _, own_s, neighbour = min(
                    ((n.gap_s is None, self._gap_s(n, now) * (len(n.asked) + 1), n) for n in holders),
                    key=itemgetter(0, 1),
                )
                if OVERDUE * own_s <= wait_s and self._is_free(neighbour):
                    asks.append(self._ask(neighbour, block, now))
        return asks

    def next_overdue(self, now: float) -> float:
        """When to look again for blocks that take too long; infinite when none may be asked again."""
        times = [
            max(self._overdue_at(requester) for requester in requesters)
            for requesters in self.requesters.values()
            if len(requesters) < MOST_REQUESTERS
        ]
        # no neighbour with room holds a copy of an overdue block: look again in a while
        return min((due_s if due_s > now else now + OVERDUE_LEAST_S for due_s in times), default=inf)

    def _overdue_at(self, neighbour: Neighbour) -> float:
        return neighbour.came_at + max(OVERDUE_LEAST_S, OVERDUE * self._usual_gap_s(neighbour))

    def _waits(self, now: float) -> dict[int, float]:
        """For each block in flight, in how many seconds it may come from the neighbours that were asked for it."""
        waits: dict[int, float] = {}
        for neighbour in dict.fromkeys(chain.from_iterable(self.requesters.values())):
            gap_s = self._gap_s(neighbour, now)
            for place, block in enumerate(neighbour.asked, 1):
                waits[block] = min(place * gap_s, waits.get(block, inf))
        return waits

    def _gap_s(self, neighbour: Neighbour, now: float) -> float:
        """The time that it needs for a block: as usual, or as long as the block that we wait for takes already."""
        usual_s = self._usual_gap_s(neighbour)
        return max(usual_s, now - neighbour.came_at) if neighbour.asked else usual_s

    def _usual_gap_s(self, neighbour: Neighbour) -> float:
        return neighbour.gap_s or self._typical_s or self._rules.request_timeout_s / 4

    def expects(self, neighbour: Neighbour, block: int, rarer: bool = False) -> bool:
        """Whether `block` was asked of it and may still come; `rarer`: or others were, and it may come instead."""
        return block in neighbour.asked or bool(neighbour.late >> block & 1) or (rarer and bool(neighbour.asked))

    def heard(self, neighbour: Neighbour, now: float) -> None:
        """Bytes of a block came from it."""
        neighbour.heard_at = now

    def arrived(
        self, neighbour: Neighbour, block: int, now: float, *, rarer: bool = False, busy: bool = False
    ) -> float | None:
        """`block` came whole: how many seconds it took, 0 if it was given up before, None if it was not asked for.

        `rarer`: if it was not asked for, it came instead of the first block that was. `busy`: others wait behind us.
        """
        neighbour.heard_at = now
        if (asked_at := neighbour.asked.get(block)) is None:
            was_late = bool(neighbour.late >> block & 1)
            neighbour.late &= ~(1 << block)
            if not (rarer and neighbour.asked):
                if was_late:
                    neighbour.snubbed_until = now
                return 0.0 if was_late else None
            block, asked_at = next(iter(neighbour.asked.items()))
            if was_late:  # or it came late, and not instead
                neighbour.late |= 1 << block
                self.late |= 1 << block
        took_s = now - asked_at
        if block == neighbour.probe:
            neighbour.latency_s = took_s
            neighbour.least_s = min(neighbour.least_s, took_s)
        gap_s = now - max(neighbour.came_at, asked_at)
        neighbour.gap_s = _mean(neighbour.gap_s, gap_s)
        self._typical_s = _mean(self._typical_s, gap_s)
        neighbour.depth = depth(neighbour.gap_s, neighbour.least_s if busy else neighbour.latency_s, busy)
        neighbour.came_at = now
        self.void(neighbour, block)
        return took_s

    def served(self, neighbour: Neighbour, serves_us: bool, now: float) -> None:
        """The neighbour says whether it serves us from now on."""
        neighbour.serves_us = serves_us
        if serves_us:
            neighbour.heard_at = now
        else:
            if neighbour.probe in neighbour.asked:  # nothing came: next time it is asked for other blocks
                self.doubt(neighbour, inventory.of(neighbour.asked))
            self.void_all(neighbour)

    def doubt(self, neighbour: Neighbour, blocks: int) -> None:
        """The neighbour sent these blocks (an inventory) wrong, or not in time."""
        neighbour.doubted |= blocks

    def forgive(self, neighbours: Iterable[Neighbour], missing: int) -> None:
        """A neighbour that holds only doubted blocks of those left to ask may be asked for these again.

        A block in flight stays doubted: endgame asks others for it, and would ask neighbours that lie again and again.
        """
        fresh = missing & ~self.in_flight
        for neighbour in neighbours:
            offered = neighbour.theirs & fresh
            if not offered & ~neighbour.doubted:
                neighbour.doubted &= ~offered

    def void(self, neighbour: Neighbour, block: int) -> None:
        """The PEDIDO for `block` at `neighbour` is open no more."""
        del neighbour.asked[block]
        self._asked -= not neighbour.asked
        requesters = self.requesters[block]
        requesters.remove(neighbour)
        if not requesters:
            del self.requesters[block]
            self.in_flight ^= 1 << block

    def refused(self, neighbour: Neighbour) -> None:
        """The neighbour said that it lacks some blocks that we asked of it: those PEDIDOs are void."""
        for block in [block for block in neighbour.asked if not neighbour.theirs >> block & 1]:
            self.void(neighbour, block)

    def _void_late(self, neighbour: Neighbour, block: int) -> None:
        """The PEDIDO is open no more, but its block may still come."""
        neighbour.late |= 1 << block
        self.late |= 1 << block
        self.void(neighbour, block)

    def void_all(self, neighbour: Neighbour) -> None:
        """The PEDIDOs at `neighbour` are open no more, but their blocks may still come."""
        for block in list(neighbour.asked):
            self._void_late(neighbour, block)

    def call_off(self, block: int, now: float) -> list[Neighbour]:
        """`block` is held, so its other PEDIDOs are void. The neighbours that they were sent to."""
        others = list(self.requesters.get(block, ()))
        for neighbour in others:
            if (waited_s := now - neighbour.came_at) > self._usual_gap_s(neighbour):
                neighbour.gap_s = waited_s  # at least: all that we learn of its pace
            self._void_late(neighbour, block)
        return others

    def give_up(self, neighbours: Iterable[Neighbour], now: float) -> float:
        """Give up the PEDIDOs at silent neighbours, and ask nothing of these for a while; when to look again."""
        timeout_s = self._rules.request_timeout_s
        again_at = inf
        for neighbour in neighbours:
            if self._silent(neighbour, now):
                self.doubt(neighbour, inventory.of(neighbour.asked))
                self.void_all(neighbour)
                neighbour.snubbed_until = now + timeout_s
            if neighbour.asked:
                again_at = min(again_at, self._silent_at(neighbour))
            elif neighbour.snubbed_until > now:
                again_at = min(again_at, neighbour.snubbed_until)
        return again_at

    def check(self, neighbours: Iterable[Neighbour]) -> None:
        """Assert the invariants."""
        asked: dict[int, list[Neighbour]] = {}
        for neighbour in neighbours:
            for block in neighbour.asked:
                asked.setdefault(block, []).append(neighbour)
        assert asked.keys() == self.requesters.keys()
        assert all(set(asked[block]) == set(requesters) for block, requesters in self.requesters.items())
        assert all(len(requesters) <= MOST_REQUESTERS for requesters in asked.values())
        assert inventory.of(asked) == self.in_flight
        asked_count = len({neighbour.peer for requesters in asked.values() for neighbour in requesters})
        assert self._asked == asked_count <= self._most_asked

    def has_room(self, neighbour: Neighbour, now: float) -> bool:
        """Whether one more PEDIDO may go to it: it serves us, has room, and is neither snubbed nor silent."""
        return neighbour.serves_us and self._is_free(neighbour) and self._able(neighbour, now)

    def _able(self, neighbour: Neighbour, now: float) -> bool:
        return neighbour.snubbed_until <= now and not self._silent(neighbour, now)

    def _is_free(self, neighbour: Neighbour) -> bool:
        open_count = len(neighbour.asked)
        if not open_count:
            return self._asked < self._most_asked
        return open_count < neighbour.depth and open_count < self._rules.pipeline

    def _silent(self, neighbour: Neighbour, now: float) -> bool:
        """Whether to give up its PEDIDOs: blocks are asked of it, and no byte came for too long."""
        return bool(neighbour.asked) and self._silent_at(neighbour) <= now

    def _silent_at(self, neighbour: Neighbour) -> float:
        return max(neighbour.heard_at, neighbour.came_at) + self._rules.request_timeout_s

    def _ask(self, neighbour: Neighbour, block: int, now: float) -> tuple[Neighbour, int]:
        if not neighbour.asked:
            self._asked += 1
            neighbour.probe = block
            neighbour.came_at = now
            if not neighbour.late:  # or its silence goes on
                neighbour.heard_at = now
        neighbour.asked[block] = now
        self.requesters.setdefault(block, []).append(neighbour)
        self.in_flight |= 1 << block
        return neighbour, block

    def _pick(self, choices: int, missing: int) -> int:
        name = self._rules.picker
        try:
            block = self._picker.pick(choices, self._availability)
        except Exception as error:  # a strategy of a user's own may raise anything: name it
            raise LocalError(f"picker {name} raised {type(error).__name__}: {error}") from error
        if not isinstance(block, int) or block < 0 or not choices >> block & 1:
            raise LocalError(f"picker {name} chose {block!r}, which is none of the choices that it was given")
        if self._log.isEnabledFor(logging.DEBUG):
            frequencies = [(block, count) for count, block in self._availability.frequencies(missing)]
            rarest = list(inventory.indices(self._availability.rarest(choices)[1]))
            self._log.debug("frequencies %s rarest %s picked %d", frequencies, rarest, block)
        return block


def depth(gap_s: float, latency_s: float | None, busy: bool = False) -> int:
    """How many PEDIDOs keep a neighbour busy: `gap_s` between two of its blocks, `latency_s` for one alone.

    A neighbour that is `busy` anyway should have none in line that it can't begin in that time.
    """
    if gap_s > SLOW_S:
        return 1
    answered = 1.0 if latency_s is None else latency_s / max(gap_s, 1e-9)
    return max(1, min(64, round(min(answered, 64)))) if busy else max(LEAST_DEPTH, ceil(answered) + 1)


def _mean(old: float | None, new: float) -> float:
    return new if old is None else old + SMOOTHING * (new - old)
