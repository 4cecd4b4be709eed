"""Private names of Ray: what they are used for, and how to get at them.

Each is looked up where it is used. A Ray without it still starts and joins clusters, and loses what is said there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

from minibit.actors.driver.signals import handlers_back, undisturbed

NO_CLUSTERS = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
"""A variable, for the processes that Ray starts, and its value: this system is one that has no clusters."""


def private(module: str, name: str = "") -> Any:
    """A private module of Ray, or a name in it; None if this Ray doesn't have it."""
    try:
        found = import_module(module)
        return getattr(found, name) if name else found
    except (ImportError, AttributeError):
        return None


@contextmanager
def replaced(module: str, name: str, by: Callable[[Any], Any]) -> Iterator[None]:
    """Put `by(what is there)` in the place of a private name of Ray, if this Ray has it."""
    room, found = private(module), private(module, name)
    if found is not None:
        setattr(room, name, by(found))
    try:
        yield
    finally:
        if found is not None:
            setattr(room, name, found)


@contextmanager
def on_loopback() -> Iterator[None]:
    """Ray puts a node on the loopback only where it takes the system for one that has no clusters.

    Without the private name the ports of a cluster that we start are open to the network.
    """
    with in_environment(*NO_CLUSTERS), replaced("ray._private.ray_constants", "ENABLE_RAY_CLUSTER", lambda has: False):
        yield


@contextmanager
def lean() -> Iterator[None]:
    """A cluster that is started meanwhile has no autoscaler, no reader of logs, and nothing in the dashboard's place.

    They would be three processes that import Ray while others wait for them. Without the private names they are there.
    """

    def without(parameters: Callable[..., Any]) -> Callable[..., Any]:
        return partial(parameters, no_monitor=True, include_log_monitor=False)

    with (
        replaced("ray._private.parameter", "RayParams", without),
        replaced("ray._private.services", "start_api_server", lambda start: lambda *args, **options: ("", None)),
    ):
        yield


@contextmanager
def in_environment(variable: str, value: str) -> Iterator[None]:
    """Set a variable for the processes that are started meanwhile."""
    before = os.environ.get(variable)
    os.environ[variable] = value
    try:
        yield
    finally:
        del os.environ[variable]
        if before is not None:
            os.environ[variable] = before


@contextmanager
def signals_kept() -> Iterator[None]:
    """Keep Ray from taking SIGTERM: first in Python, to exit with code 15; then in C++, to abort with a stack.

    While it connects all signals wait: what is raised in the middle can leave it where it neither goes on nor ends.
    Without the private names a signal is ours again only when Ray has started.
    """

    def harmless(connect: Callable[..., Any]) -> Callable[..., Any]:
        def connect_and_let_go(*args: Any, **options: Any) -> Any:
            waiting = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            try:
                with undisturbed():
                    return connect(*args, **options)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, waiting)

        return connect_and_let_go if hasattr(signal, "pthread_sigmask") else connect

    with (
        handlers_back(),
        replaced("ray._private.utils", "set_sigterm_handler", lambda take: lambda handler: None),
        replaced("ray._private.worker", "connect", harmless),
    ):
        yield
