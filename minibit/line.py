"""The line: which neighbours wait for a block, who is next, and how many blocks go out at once.

A block can be passed on only when it is whole, and blocks that share an uplink are all late. So they go out one after
the other, as long as one at a time fills the uplink. Whether it does is tried now and then, for `WINDOW` blocks: if two
at a time bring more, the neighbours are slower than the uplink, and nobody waits until one at a time brings as much. A
block that takes far longer than most, because its neighbour is slow or silent, holds up nobody: it counts no more.

Without the rule `economy` nobody waits: all neighbours that are served share the uplink.
"""

from __future__ import annotations

from math import inf

from minibit import inventory
from minibit.neighbour import Neighbour
from minibit.rules import Rules

WINDOW = 5  # blocks after which a rate is known
MOST_REST = 32  # windows between two trials, if none was worth it
WORTH = 1.25  # so much more must two at once bring; theory says twice as much, or nothing
PATIENCE = 4.0  # a block may take so many times longer than most
PATIENCE_LEAST_S = 0.5
SMOOTHING = 0.3  # weight of the newest block in the mean


class Line:
    """The neighbours of one peer that wait for a block, and those to which one is under way."""

    def __init__(self, rules: Rules) -> None:
        self._economy = rules.economy == "on"
        self.width = 1.0 if self._economy else inf  # blocks at once: 1, 2 for a trial, or any number
        self._waiting: dict[Neighbour, None] = {}  # for its order; some may have nothing in line any more
        self._since: dict[Neighbour, float] = {}  # when the block that is under way to a neighbour was begun
        self._typical_s = rules.request_timeout_s / 4 / PATIENCE  # until it is known how long a block takes
        self._patience_s = max(PATIENCE_LEAST_S, PATIENCE * self._typical_s)
        self._window_at: float | None = None  # when the window began
        self._window_bytes = 0
        self._window_blocks = 0
        self._usual: float | None = None  # the width before the trial that goes on
        self._usual_bps = 0.0
        self._rest = 0  # windows until the next trial
        self._pause = 0  # the same, after the last trial

    @property
    def under_way(self) -> int:
        """The blocks that are under way (an inventory)."""
        return inventory.of(neighbour.sending for neighbour in self._since if neighbour.sending is not None)

    def join(self, neighbour: Neighbour) -> None:
        """It has a PEDIDO in line."""
        self._waiting.setdefault(neighbour)

    def leave(self, neighbour: Neighbour) -> None:
        """The link is gone."""
        self._waiting.pop(neighbour, None)
        self._since.pop(neighbour, None)

    def busy(self, neighbour: Neighbour) -> bool:
        """Whether others wait behind it."""
        return self.width < inf and any(other.wanted for other in self._waiting if other is not neighbour)

    def next(self, now: float) -> Neighbour | None:
        """The neighbour whose turn it is, if a block may be begun now."""
        if not self._waiting or self._is_full(now):
            return None
        for neighbour in list(self._waiting):
            if not neighbour.wanted:
                del self._waiting[neighbour]
            elif neighbour.sending is None:
                return neighbour
        return None

    def begin(self, neighbour: Neighbour, now: float) -> None:
        """Its block is under way now; with another PEDIDO it goes to the end of the line."""
        self._since[neighbour] = now
        del self._waiting[neighbour]
        if neighbour.wanted:
            self._waiting[neighbour] = None

    def end(self, neighbour: Neighbour, sent_bytes: int, now: float) -> None:
        """Its block has left, or (0 bytes) can't be sent."""
        took_s = now - self._since.pop(neighbour, now)
        if sent_bytes and self._economy:
            self._typical_s += SMOOTHING * (min(took_s, self._patience_s) - self._typical_s)
            self._patience_s = max(PATIENCE_LEAST_S, PATIENCE * self._typical_s)
            self._measure(sent_bytes, now)

    def due_s(self, now: float) -> float:
        """When to look again for blocks that take too long; infinite if nobody waits for that."""
        if self.width == inf or not self._anybody_waits():
            return inf
        for since in self._since.values():  # in the order of their times
            if (at_s := since + self._patience_s) > now:
                return at_s
        return inf

    def _anybody_waits(self) -> bool:
        for neighbour in self._waiting:  # noqa: SIM110 - it is asked for every message, and `any` takes twice the time
            if neighbour.wanted:
                return True
        return False

    def _is_full(self, now: float) -> bool:
        """Whether as many blocks are under way as may be, without those that take too long."""
        in_time = len(self._since)
        if in_time < self.width:
            return False
        for since in self._since.values():  # in the order of their times
            if since + self._patience_s > now:
                break
            in_time -= 1
        return in_time >= self.width

    def _measure(self, sent_bytes: int, now: float) -> None:
        """Count a block; at the end of the window, find the width for the next."""
        tells = self._usual is not None or self.width == inf or self._anybody_waits()
        if self._window_at is None or not tells:  # nobody waited: the width was no limit
            self._window_at, self._window_bytes, self._window_blocks = now, 0, 0
            return
        self._window_bytes += sent_bytes
        self._window_blocks += 1
        if self._window_blocks >= WINDOW and now > self._window_at:
            self._judge(self._window_bytes / (now - self._window_at))
            self._window_at, self._window_bytes, self._window_blocks = now, 0, 0

    def _judge(self, bps: float) -> None:
        """A window is over, and so much went out in it."""
        if self._usual is None:
            if self._rest:
                self._rest -= 1
            else:
                self._usual, self._usual_bps = self.width, bps
                self.width = 2 if self.width == 1 else 1
        elif self.width == 2:
            self._settle(inf if bps > WORTH * self._usual_bps else 1)
        else:
            self._settle(1 if WORTH * bps > self._usual_bps else inf)

    def _settle(self, width: float) -> None:
        """The trial is over."""
        self._pause = min(2 * self._pause + 1, MOST_REST) if width == self._usual else 0
        self._rest, self._usual, self.width = self._pause, None, width
