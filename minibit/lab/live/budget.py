"""Processor time that the pictures of the live page may use, so that the swarm hardly notices who looks on.

A small share of one processor is always theirs, and besides that half of what nobody else wants. So pictures come at
once while the links are what limits a swarm, and rarely while it is the processors, however long the run is and
however many pages are open.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SHARE = 0.03  # of one processor
OF_IDLE = 0.5
START_S = 0.05  # to begin with
SAVED_S = 1.0  # most that may be saved up


class Budget:
    """Seconds of a processor. `clock` and `processor` say the time, and how much of it was used; `idle` see `Idle`."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        processor: Callable[[], float] = time.thread_time,
        idle: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock
        self._processor = processor
        self._idle = idle or Idle()
        self._left_s = START_S
        self._filled_at = clock()

    @property
    def allows(self) -> bool:
        """Whether more may be done now."""
        now = self._clock()
        self._left_s += SHARE * (now - self._filled_at) + OF_IDLE * self._idle()
        self._left_s = min(SAVED_S, self._left_s)
        self._filled_at = now
        return self._left_s > 0

    @contextmanager
    def paying(self) -> Iterator[None]:
        """What is done in here is paid for; whoever spends more than there is pays it back by waiting."""
        began = self._processor()
        yield
        self._left_s -= self._processor() - began


class Idle:
    """Called, it says for how many seconds the processors of this machine stood still since the last call, all
    together; 0 where the system doesn't tell."""

    def __init__(self, path: str = "/proc/stat") -> None:
        self._path = Path(path)
        self._before_s = self._so_far_s()

    def __call__(self) -> float:
        before_s, self._before_s = self._before_s, self._so_far_s()
        return max(0.0, self._before_s - before_s)

    def _so_far_s(self) -> float:
        try:
            return int(self._path.read_text().split(maxsplit=5)[4]) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return 0.0
