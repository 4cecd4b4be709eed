"""The fork server of this process, from which the workers of a cluster that is started here come (`forks`).

It is started early, so that it imports while this process does other things. Without it, all goes as Ray does it: that
is so on systems other than Linux, where a process with Ray in it may not be forked, and with MINIBIT_FORKS=0.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from minibit import actors
from minibit.actors.driver.private import NO_CLUSTERS, in_environment, replaced
from minibit.actors.worker import ADDRESS

BACKLOG = 4096  # connections that wait to be accepted; the system takes fewer
END_S = 1.0  # for the process to be gone, once it is killed
FOLDER = Path(actors.__file__).parent


class ForkServer:
    """The process, and the address at which it is asked."""

    def __init__(self) -> None:
        self.address = f"minibit-{os.getpid()}-{secrets.token_hex(8)}"
        kept = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is for the driver, as Ray has it
        try:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(f"\0{self.address}")
                listener.listen(BACKLOG)
                number = listener.fileno()
                own = ["-s"] if sys.flags.no_user_site else []
                self.process = subprocess.Popen(
                    [sys.executable, "-P", *own, str(FOLDER / "forks.py"), str(number), json.dumps(sys.path)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[number],
                    env={**os.environ, **dict([NO_CLUSTERS])},
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, kept)

    def end(self) -> None:
        """End the process, and with it all workers that it made."""
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.communicate(timeout=END_S)


_servers: list[ForkServer] = []  # one, or none
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_servers.clear)  # it is the parent's


def begin() -> int | None:
    """Start a fork server, if there is none and this system can have one; the number of its process."""
    if sys.platform == "linux" and not _servers and os.environ.get(ADDRESS) != "0":
        _servers.append(ForkServer())
    return _servers[0].process.pid if _servers else None


@atexit.register
def end() -> None:
    """End it, once no cluster has workers that come from it."""
    while _servers:
        _servers.pop().end()


@contextmanager
def forking() -> Iterator[None]:
    """A cluster that is started meanwhile has its workers from the fork server, if there is one."""

    def with_ours(parameters: Callable[..., Any]) -> Callable[..., Any]:
        return partial(parameters, worker_path=str(FOLDER / "worker.py"))

    with ExitStack() as stack:
        for server in _servers:
            stack.enter_context(in_environment(ADDRESS, server.address))
            stack.enter_context(replaced("ray._private.parameter", "RayParams", with_ours))
        yield
