"""Times at which a state machine wants to be woken, by name."""

from __future__ import annotations

from math import inf


class Timers:
    """At most one time for each name."""

    __slots__ = ("_due",)

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def set(self, name: str, at_s: float) -> None:
        """Wake for `name` at that time, and not at another."""
        self._due[name] = at_s

    def set_earlier(self, name: str, at_s: float) -> None:
        """Wake for `name` at that time, unless it is due before."""
        if at_s < self._due.get(name, inf):
            self._due[name] = at_s

    def clear(self, name: str) -> None:
        """Don't wake for `name`."""
        self._due.pop(name, None)

    def __contains__(self, name: str) -> bool:
        return name in self._due

    def next(self) -> float | None:
        """The earliest time, or None."""
        return min(self._due.values(), default=None)

    def pop(self, now: float) -> list[str]:
        """The names that are due, in order of time (then of name); they are set no more."""
        due = sorted((at_s, name) for name, at_s in self._due.items() if at_s <= now)
        for _, name in due:
            del self._due[name]
        return [name for _, name in due]
