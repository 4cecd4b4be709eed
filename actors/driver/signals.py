"""The handlers of the signals that end a process, while others end or take signals of their own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""The signals that end a process, as far as this system has them."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let the signals that would end this process wait, while it ends others. An ignored one stays ignored.

    The first of them is handled at the end. It is not sent again, for whatever counts signals has counted it.
    """
    signals: list[int] = []
    with handlers_back() as before:
        on_signal(signals.append)
        yield
    for number in signals[:1]:
        handle = before[number]
        handle(number, None) if callable(handle) else signal.raise_signal(number)


def on_signal(what: Callable[[int], object]) -> None:
    """Do that on each signal that would end this process. An ignored one stays ignored."""
    for number in ENDING:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            with suppress(ValueError):  # outside the main thread no signal comes
                signal.signal(number, lambda number, frame: what(number))


@contextmanager
def handlers_back() -> Iterator[dict[int, Any]]:
    """The handlers of signals as they are, which come back at the end; none outside the main thread."""
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in ENDING if in_main}
    before = {number: handler for number, handler in before.items() if handler is not None}  # None: not from Python
    try:
        yield before
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
