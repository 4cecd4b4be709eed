"""Processor time that the pictures of the live page may use, so that they hardly slow the swarm down.

They get a small share of one processor, and half of all idle time. So pictures come at once while links limit the
swarm, and rarely while processors limit it, however long the run is and however many pages are open.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SHARE = 0.03  # of one processor
OF_IDLE = 0.5
START_S = 0.05  # left at the start
SAVED_S = 1.0  # the most that can be saved up


class Budget:
    """Processor seconds. `clock` tells the time, `processor` the time that this thread used; for `idle` see `Idle`."""

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
        """Pay for the work in this block; a debt is paid back by waiting."""
        began = self._processor()
        yield
        self._left_s -= self._processor() - began


class Idle:
    """Called: the idle seconds of all processors of this machine since the last call; 0 if the system doesn't tell."""

    def __init__(self, path: str = "/proc/stat") -> None:
        self._path = Path(path)
        self._before_s = self._so_far_s()

    def __call__(self) -> float:
        before_s, self._before_s = self._before_s, self._so_far_s()
        return max(0.0, self._before_s - before_s)

    def _so_far_s(self) -> float:
        try:
            return int(self._path.read_text().split(maxsplit=5)[4]) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError, AttributeError):  # no such file, or no such system
            return 0.0
