"""Virtual time: planned actions happen in order of their times, and at equal times in the order of being planned.

The plan is a calendar: one page for each stretch of `PAGE_S`, and only the open page is in order. A large swarm plans
a few hundred thousand actions, most of them for much later. With one heap for all of them, or one for a page, every
step would go through memory that no cache holds (R. Brown, "Calendar queues", 1988). Sorting a page goes through it
once.

Invariant: everything on the open page is before everything on the pages to come.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Callable
from math import inf
from typing import Any, Final

PAGE_S: Final = 1 / 128  # less than most latencies; a power of two, so that rounding never gives a wrong page

Entry = tuple[float, int, Callable[..., object], tuple[Any, ...]]
"""Time and number are negative, so that the next action stands at the end of a sorted page."""


class Clock:
    """Time in seconds from 0, which jumps from one event to the next."""

    __slots__ = ("_number", "_numbers", "_open", "_pages", "now", "planned")

    def __init__(self) -> None:
        self.now = 0.0
        self.planned = 0  # count of all actions planned so far
        self._open: list[Entry] = []  # the open page, sorted
        self._number = 0  # the open page's number
        self._pages: dict[int, list[Entry]] = {}  # the pages to come, by number
        self._numbers: list[int] = []  # the numbers of the pages to come, as a heap

    def at(self, at_s: float, action: Callable[..., object], *args: Any) -> None:
        """Call `action(*args)` at `at_s`; a time in the past means now, after all that is planned for now."""
        self.planned += 1
        at_s = max(at_s, self.now)
        number = int(at_s / PAGE_S)
        entry = (-at_s, -self.planned, action, args)
        if number <= self._number:
            insort(self._open, entry)
        elif (page := self._pages.get(number)) is not None:
            page.append(entry)
        else:
            self._pages[number] = [entry]
            heapq.heappush(self._numbers, number)

    @property
    def next_s(self) -> float:
        """The time of the next action; infinite when none is planned."""
        if not self._open and self._numbers:
            self._turn()
        return -self._open[-1][0] if self._open else inf

    def step(self, limit_s: float = inf) -> bool:
        """Do the next action; False if none is planned, or none before or at `limit_s`."""
        if not self._open:
            if not self._numbers:
                return False
            self._turn()
        entry = self._open[-1]
        if (at_s := -entry[0]) > limit_s:
            return False
        self._open.pop()
        self.now = at_s
        entry[2](*entry[3])
        return True

    def _turn(self) -> None:
        """Open the next page."""
        self._number = heapq.heappop(self._numbers)
        self._open = self._pages.pop(self._number)
        self._open.sort()
