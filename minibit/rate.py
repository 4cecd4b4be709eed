"""A rate in bytes a second, measured over the recent past.

The window is exponential: bytes that came `window_s` ago count a third (1/e). A block counts when it is
whole, so the window must be longer than a block takes. Here it is two rounds of the choker.
"""

from __future__ import annotations

from math import exp


class Rate:
    """Bytes added with their times, forgotten exponentially."""

    __slots__ = ("_at", "_bytes", "window_s")

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self._bytes = 0.0
        self._at = 0.0

    def add(self, count_bytes: int, now: float) -> None:
        """`count_bytes` more, at `now` (seconds, never going back)."""
        self._bytes = self._bytes * exp((self._at - now) / self.window_s) + count_bytes
        self._at = now

    def bps(self, now: float) -> float:
        """Bytes a second, at `now`."""
        return self._bytes * exp((self._at - now) / self.window_s) / self.window_s if self._bytes else 0.0
