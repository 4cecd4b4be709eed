"""What Ray starts for each of its workers, on a cluster of ours: it has the fork server (`forks`) make the worker.

Where none answers, it becomes the worker that Ray would have started. It is a script by itself and imports next to
nothing: each import is paid once a worker.
"""

from __future__ import annotations

import marshal
import os
import signal
import socket
import sys

ADDRESS = "MINIBIT_FORKS"  # the variable with the address of the fork server, among sockets that have no file
ANSWER_S = 20.0  # for the fork server, which may still import; Ray waits for a worker for a minute
OOM = "/proc/self/oom_score_adj"  # how soon the kernel ends this process, when memory runs out: Ray says it of workers


def main() -> None:
    """Become a worker of Ray, or end once another process is that worker."""
    address = os.environ.pop(ADDRESS, "")
    usual = all(one.endswith("=0") for one in sys.argv if "runtime-env-hash" in one)
    if not (address and usual and forked(address)):
        from importlib.util import find_spec  # noqa: PLC0415  rarely needed

        found = find_spec("ray._private.workers.default_worker")
        assert found is not None and found.origin is not None
        os.execv(sys.executable, [sys.executable, found.origin, *sys.argv[1:]])


def forked(address: str) -> bool:
    """Whether the fork server has made this worker, with all that this process has from Ray."""
    try:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(ANSWER_S)
            asking.connect(f"\0{address}")
            socket.send_fds(asking, [b"\0"], [0, 1, 2])
            with open(OOM) as file:  # noqa: PTH123  pathlib is an import
                oom = file.read()
            blocked = [int(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, [])]
            leads = os.getpgrp() == os.getpid()  # a group of processes
            asking.sendall(marshal.dumps((sys.argv[1:], dict(os.environ), leads, blocked, os.nice(0), oom)))
            asking.shutdown(socket.SHUT_WR)
            return asking.recv(1) != b""
    except OSError:
        return False


if __name__ == "__main__":
    main()
