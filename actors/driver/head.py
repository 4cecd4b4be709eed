"""The head of the cluster: whether it can be reached, and what is asked of it.

Actors call each other directly, so a swarm goes on without its head for a while. But Ray waits for it, deaf to signals,
wherever it needs to know of nodes, names or new actors, and in the end kills this process without a word. So the head
is asked from other threads, and given up before Ray does.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from math import inf
from threading import Event, Thread
from typing import TypeVar

from minibit.errors import ClusterError

T = TypeVar("T")

LOOK_S = 1.0  # between two looks at the head, and for it to be there
ANSWER_S = 60.0  # for an answer of a head that is there
LIMIT = "RAY_gcs_rpc_server_reconnect_timeout_s"
RAYS_LIMIT_S = 60.0  # unless that says another
EARLY = 0.25  # of the time after which Ray ends this process: then copies are verified, and records are written


def begun(what: Callable[[], T]) -> Future[T]:
    """A call that is made in a thread of its own."""
    answer: Future[T] = Future()

    def call() -> None:
        try:
            answer.set_result(what())
        except BaseException as error:
            answer.set_exception(error)

    Thread(target=call, daemon=True).start()
    return answer


def within(limit_s: float, what: Callable[[], T], check: Callable[[], object] = lambda: None) -> T:
    """What a call comes to that signals can't end, nor anything else; `TimeoutError` after `limit_s`.

    `check` is called again and again, and may raise to end the waiting. The call itself goes on.
    """
    answer = begun(what)
    deadline = time.monotonic() + limit_s
    while not answer.done() and (left_s := deadline - time.monotonic()) > 0:
        with suppress(TimeoutError):
            answer.exception(min(LOOK_S, left_s))
        check()
    return answer.result(0)


class ClusterHead:
    """The head at `address`, from `watch` to `leave`; without an address it is taken to be there."""

    def __init__(self, address: str = "") -> None:
        self._address = address
        self._seen_at = inf
        self._left = Event()
        self._limit_s = RAYS_LIMIT_S
        with suppress(KeyError, ValueError):
            self._limit_s = float(os.environ[LIMIT])

    def watch(self) -> None:
        """Look at it from now on."""
        self._seen_at = time.monotonic()
        Thread(target=self._watch, daemon=True).start()

    def leave(self) -> None:
        """Look at it no longer."""
        self._left.set()

    @property
    def lost_s(self) -> float:
        """Seconds since it could last be reached, if that is more than a look takes; else 0."""
        lost_s = time.monotonic() - self._seen_at
        return lost_s if lost_s > 3 * LOOK_S else 0.0

    @property
    def left_s(self) -> float:
        """Seconds until Ray ends this process, if the head stays lost."""
        return self._limit_s - self.lost_s if self.lost_s else inf

    def gone(self, early: float = EARLY) -> str:
        """Why the head is given up; empty as long as it isn't."""
        if self.left_s > early * self._limit_s:
            return ""
        return f"the head of the cluster, {self._address}, could not be reached for {self.lost_s:.0f} s"

    def check(self, early: float = EARLY) -> None:
        """`ClusterError` if the head is given up."""
        if why := self.gone(early):
            raise ClusterError(f"{why}: start the cluster again")

    def ask(self, what: Callable[[], T], limit_s: float = ANSWER_S) -> T:
        """What a call comes to that needs the head; `ClusterError` if it is lost, or gives no answer."""
        try:
            return within(limit_s, what, self.check)
        except TimeoutError:
            why = f"the head of the cluster, {self._address}, gave no answer within {limit_s:.0f} s"
            raise ClusterError(f"{why}: see `ray status` there") from None

    def _watch(self) -> None:
        host, _, port = self._address.rpartition(":")
        while not self._left.wait(LOOK_S):
            with suppress(OSError):
                socket.create_connection((host.strip("[]"), int(port)), LOOK_S).close()
                self._seen_at = time.monotonic()
