"""Rate limits: a token bucket, and the gate that shares one bucket among the links of a node.

`Bucket` is pure: time is an argument. Its invariant: over any stretch of `t` seconds it grants at most
`rate * t + burst` bytes. It starts empty, so the bytes granted since the start never exceed `rate * t` either.
`Gate` adds turns: it serves the askers that wait for quota round-robin, a small chunk each, so links that want
all they can get have equal shares. A gate without a limit costs its users one attribute look-up.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from minibit.errors import LocalError

CHUNK_BYTES_MIN = 1 << 10
CHUNK_BYTES_MAX = 64 << 10
CHUNK_S = 0.05  # a chunk is at most the quota of this time, so that low rates flow evenly too
BURST_S = 0.1  # quota of this time may gather while the loop is busy; more would show as goodput over the limit
TICK_S = 0.002  # the shortest timer: event loops round to milliseconds, and zero would spin


class Bucket:
    """A quota of `rate_bps` bytes a second (None: no limit); at most `burst_bytes` of it gather."""

    def __init__(self, rate_bps: float | None, burst_bytes: float) -> None:
        self._check(rate_bps, burst_bytes)
        self.rate_bps = rate_bps
        self.burst_bytes = burst_bytes
        self._level_bytes = 0.0
        self._filled_at: float | None = None

    def change(self, rate_bps: float | None, burst_bytes: float, now: float) -> None:
        """Another rate from `now` on; the quota until now has gathered at the old one."""
        self._check(rate_bps, burst_bytes)
        self._fill(now)
        self.rate_bps = rate_bps
        self.burst_bytes = burst_bytes
        self._level_bytes = min(self._level_bytes, burst_bytes)

    def take(self, want: int, now: float) -> int:
        """Take up to `want` bytes of quota; returns how many were granted, perhaps 0."""
        if self.rate_bps is None:
            return want
        self._fill(now)
        granted = min(want, int(self._level_bytes))
        self._level_bytes -= granted
        return granted

    def wait_s(self, want: int, now: float) -> float:
        """Seconds until `want` bytes (or the burst, if that is less) can be taken at once; perhaps infinite."""
        if self.rate_bps is None:
            return 0.0
        self._fill(now)
        short_bytes = min(want, int(self.burst_bytes)) - self._level_bytes
        if short_bytes <= 0:
            return 0.0
        return short_bytes / self.rate_bps if self.rate_bps else math.inf

    def _fill(self, now: float) -> None:
        if self._filled_at is not None and self.rate_bps is not None and now > self._filled_at:
            gathered_bytes = self._level_bytes + (now - self._filled_at) * self.rate_bps
            self._level_bytes = min(self.burst_bytes, gathered_bytes)
        if self._filled_at is None or now > self._filled_at:
            self._filled_at = now

    @staticmethod
    def _check(rate_bps: float | None, burst_bytes: float) -> None:
        if rate_bps is not None and not 0 <= rate_bps < math.inf:
            raise LocalError(f"a limit of {rate_bps} bytes a second: give a number from 0, or None for no limit")
        if burst_bytes < 1:
            raise LocalError(f"a burst of {burst_bytes} bytes: nothing would ever pass")


Granted = Callable[[int], object]


class Gate:
    """Shares one limit of `rate_bps` bytes a second among its askers, in turns.

    Look at `limited` first: while it is False, there is no need to `ask`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, rate_bps: float | None = None) -> None:
        self._loop = loop
        self._bucket = Bucket(rate_bps, self._burst_bytes(rate_bps))
        self._bucket.take(0, loop.time())  # quota gathers from now on
        self._waiting: dict[Granted, int] = {}  # in the order of their turns
        self._timer: asyncio.TimerHandle | None = None
        self._serving = False
        self.limited = rate_bps is not None

    @property
    def rate_bps(self) -> float | None:
        return self._bucket.rate_bps

    def limit(self, rate_bps: float | None) -> None:
        """Another limit from now on, also for blocks under way; None lifts it."""
        self._bucket.change(rate_bps, self._burst_bytes(rate_bps), self._loop.time())
        self.limited = rate_bps is not None
        self._wake()

    def ask(self, granted: Granted, want: int) -> int:
        """Ask for up to `want` > 0 bytes. Returns the grant; or 0, and then calls `granted` with the grant later.

        `granted` identifies the asker: one that waits already keeps its turn.
        """
        if not self._waiting:
            now, chunk_bytes = self._loop.time(), self._chunk_bytes(want)
            if self._bucket.wait_s(chunk_bytes, now) <= 0:
                return self._bucket.take(chunk_bytes, now)
        self._waiting[granted] = want
        if self._timer is None:
            self._wake()
        return 0

    def forget(self, granted: Granted) -> None:
        """The asker is gone: its turn passes to the next."""
        self._waiting.pop(granted, None)

    def _wake(self) -> None:
        """Give out turns until the quota is used up; then sleep until there is enough for the next."""
        if self._serving:  # an asker that was served just now asks again: the loop in `_serve` comes to it
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._serving = True
        try:
            wait_s = self._serve()
        finally:
            self._serving = False
        if 0 < wait_s < math.inf:
            self._timer = self._loop.call_later(max(wait_s, TICK_S), self._wake)

    def _serve(self) -> float:
        """Give out turns; returns the seconds until the next is due, 0 if no asker waits."""
        while self._waiting:
            granted, want = next(iter(self._waiting.items()))
            now, chunk_bytes = self._loop.time(), self._chunk_bytes(want)
            wait_s = self._bucket.wait_s(chunk_bytes, now)
            if wait_s > 0:
                return wait_s
            del self._waiting[granted]  # before the call: in it the asker may ask for its next turn
            granted(self._bucket.take(chunk_bytes, now))
        return 0.0

    def _chunk_bytes(self, want: int) -> int:
        rate_bps = self._bucket.rate_bps
        if rate_bps is None:
            return want
        return min(want, max(CHUNK_BYTES_MIN, min(CHUNK_BYTES_MAX, int(rate_bps * CHUNK_S))))

    @staticmethod
    def _burst_bytes(rate_bps: float | None) -> float:
        return max(CHUNK_BYTES_MAX, (rate_bps or 0) * BURST_S)
