"""Whose turn it is: a swarm and its live page use one ledger and one launcher from two threads, never at once.

Whoever changes them, or reads more than one value of them, has the turn; it may be taken again by who has it. The one
who waits for a swarm keeps the turn from the start to the summary, and gives it away only while it pauses. There is
one turn for a swarm and nobody waits for anything else while it wants that, so nobody can wait for ever. To ask an
actor needs no turn.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, Protocol, TypeVar


class Turn:
    """The turn in one swarm."""

    def __init__(self) -> None:
        self._condition = threading.Condition()

    def pause(self, seconds: float) -> None:
        """Let others have the turn for so long."""
        self._condition.wait(seconds)

    @contextmanager
    def within(self, timeout_s: float) -> Iterator[bool]:
        """Take the turn if it can be had within `timeout_s`; whether it was."""
        mine = self._condition.acquire(timeout=timeout_s)
        try:
            yield mine
        finally:
            if mine:
                self._condition.release()

    def __enter__(self) -> None:
        self._condition.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(RuntimeError):  # a second Ctrl-C ended the pause before the turn was had back
            self._condition.release()


class Shared(Protocol):
    """What two threads use."""

    turn: Turn


S = TypeVar("S", bound=Shared)
P = ParamSpec("P")
T = TypeVar("T")


def in_turn(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Let a method of what is shared have the turn while it runs."""

    @wraps(method)
    def waits(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.turn:
            return method(self, *args, **kwargs)

    return waits
