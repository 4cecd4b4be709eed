"""Virtual time: what is to happen, in order of time, and of being planned where times are equal."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from math import inf
from typing import Any


class Clock:
    """Time in seconds from 0, which jumps from one event to the next."""

    __slots__ = ("_plan", "now", "planned")

    def __init__(self) -> None:
        self.now = 0.0
        self._plan: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self.planned = 0  # how many events, so far

    def at(self, at_s: float, action: Callable[..., object], *args: Any) -> None:
        """Call `action(*args)` at that time; a time that is past means now, after what is planned for now."""
        self.planned += 1
        heapq.heappush(self._plan, (max(at_s, self.now), self.planned, action, args))

    @property
    def next_s(self) -> float:
        """When something happens next; infinite when nothing does."""
        return self._plan[0][0] if self._plan else inf

    def step(self) -> None:
        """Let the next thing happen; something must be planned."""
        self.now, _, action, args = heapq.heappop(self._plan)
        action(*args)
