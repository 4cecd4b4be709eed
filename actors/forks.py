"""The fork server: a process that has imported Ray and all of a peer, and forks into workers of Ray.

Imports are most of what the start of a worker costs. Here they are paid once, and their memory is shared. The process
has one thread and no connection to Ray, so a fork of it is as good as a new process. What a worker has from Ray comes
from `worker`: its arguments, its environment, its three standard files, its priority.

Two variables Ray reads once, when it is imported. One is the job of a worker: here it gets that later. The other is the
process with which it ends, the raylet: here that is the fork server, which ends with the raylet, and with the driver.
It serves processes of its own user only.
"""

from __future__ import annotations

import gc
import json
import marshal
import os
import runpy
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from importlib import import_module

WORKER = "ray._private.workers.default_worker"  # the program that every worker of Ray runs
NO_JOB = "ffffffff"  # what Ray says to workers that it starts ahead
ROOMS = (WORKER, "minibit.actors.peer", "minibit.actors.tracker")


def main(listening: int, path: list[str]) -> None:
    """Import as the driver would, by its `path`; then fork for each connection to the socket `listening`.

    Standard input is open as long as the driver is there.
    """
    os.environ.update(RAY_JOB_ID=NO_JOB, RAY_RAYLET_PID=str(os.getpid()))
    own_path, sys.path[:] = sys.path[:], path
    for room in ROOMS:
        import_module(room)
    del sys.modules[WORKER]  # it is run as a program, which warns of a module of that name
    sys.path[:] = own_path
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel removes a child once it has ended
    gc.collect()
    gc.freeze()  # a collection would write to all that children share
    with socket.socket(fileno=listening) as listener:
        asking = wait_to_be_forked(listener)
    if asking is not None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with asking:
            sys.argv[1:] = become(asking)
        runpy.run_module(WORKER, run_name="__main__", alter_sys=True)


def wait_to_be_forked(listener: socket.socket) -> socket.socket | None:
    """In each child the connection that it was forked for; None once the driver or the raylet has ended."""
    ends = [0]  # can be read once one of them has ended
    while True:
        if not set(ends).isdisjoint(select.select([listener.fileno(), *ends], [], [])[0]):
            return None
        with suppress(OSError):  # no memory for a fork: the connection closes, and the worker starts as Ray has it
            asking = listener.accept()[0]
            with asking:
                process, user, _ = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
                if user != os.getuid():
                    continue  # sockets without a file are open to all
                if len(ends) == 1:
                    ends.append(os.pidfd_open(parent_of(process)))
                if not os.fork():
                    return asking.dup()


def parent_of(process: int) -> int:
    """The process that started another one."""
    with open(f"/proc/{process}/stat") as file:  # noqa: PTH123  pathlib is an import
        return int(file.read().rpartition(")")[2].split()[1])


def become(asking: socket.socket) -> list[str]:
    """Take the place of the process that asks, and tell it; the arguments of the worker."""
    _, files, _, _ = socket.recv_fds(asking, 1, 3)
    arguments: list[str]
    with asking.makefile("rb") as told:
        arguments, environment, leads, blocked, nice, oom = marshal.loads(told.read())
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    if ray := sys.modules.get("ray._raylet"):
        ray.Config.initialize("")  # it has read the environment of the fork server
    if leads:
        os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    with suppress(OSError):  # only the administrator may take such things back
        os.nice(nice - os.nice(0))
        with open("/proc/self/oom_score_adj", "w") as own:  # noqa: PTH123  pathlib is an import
            own.write(oom)
    asking.sendall(b"\0")
    return arguments


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
