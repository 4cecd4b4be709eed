"""The times at which a state machine wants to be woken, by name."""

from __future__ import annotations

from math import inf


class Timers:
    """At most one time for each name."""

    __slots__ = ("_due", "next")

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self.next: float | None = None  # the earliest time; kept, because it is read after every event

    def set(self, name: str, at_s: float) -> None:
        """Wake for `name` at that time; forget any other time for it."""
        self._due[name] = at_s
        self.next = min(self._due.values())

    def set_earlier(self, name: str, at_s: float) -> None:
        """Wake for `name` at that time, unless it is due earlier."""
        if at_s < self._due.get(name, inf):
            self.set(name, at_s)

    def __contains__(self, name: str) -> bool:
        return name in self._due

    def pop(self, now: float) -> list[str]:
        """Take out the names that are due, in order of time, then of name."""
        due = sorted((at_s, name) for name, at_s in self._due.items() if at_s <= now)
        for _, name in due:
            del self._due[name]
        self.next = min(self._due.values(), default=None)
        return [name for _, name in due]
