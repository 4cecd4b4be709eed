"""A re-entrant lock around the ledger and the launcher, which a swarm and its live page use from several threads.

Hold it to change them, or to read more than one value. `OwnSwarm.wait` holds it from start to summary, and releases it
only while it pauses. There is one turn for a swarm, and a thread that wants it holds nothing else, so there is no
deadlock. To ask an actor needs no turn.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Turn(threading.Condition):
    """The turn of one swarm: a lock that its holder can take again, and give up waiting for.

    `wait` lets other threads have the turn for so many seconds, however often it was taken.
    """

    @contextmanager
    def within(self, timeout_s: float) -> Iterator[bool]:
        """Take the turn if it is free within `timeout_s`; whether it was."""
        mine = self.acquire(timeout=timeout_s)
        try:
            yield mine
        finally:
            if mine:
                self.release()

    def __exit__(self, *raised: object) -> None:
        with suppress(RuntimeError):  # a second Ctrl-C ended the pause before the turn was taken back
            self.release()
