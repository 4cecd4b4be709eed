"""Processes that are killed at a certain change of the disk: each that `lives` makes ends one change later."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from minibit.actors.disk import swap

CHANGES = ("ftruncate", "mkdir", "chmod", "utime", "rename", "replace", "unlink", "rmdir", "link", "symlink")
LIVES_MAX = 1_000


def lives(prepare: Callable[[int], None], live: Callable[[int, Callable[[int], None]], None]) -> list[list[int]]:
    """What each process said before it was killed; the last one wasn't.

    `prepare` gets the number of the process, from 1 on, before that is there. `live` is what it does: it gets the
    number, and a function that says a small one.
    """
    heard = []
    for moment in range(1, LIVES_MAX):
        prepare(moment)
        ear, mouth = os.pipe()
        if not (child := os.fork()):
            _live(partial(live, moment), moment, partial(os.write, mouth))
        os.close(mouth)
        with os.fdopen(ear, "rb") as said:
            heard.append(list(said.read()))
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            assert status == 0, f"process {moment} failed"
            return heard
    raise AssertionError("it never came to its end")


def _live(live: Callable[[Callable[[int], None]], None], left: int, write: Callable[[bytes], int]) -> NoReturn:
    try:
        _count(left)
        live(lambda number: write(bytes([number])) and None)
    except BaseException:
        sys.__stderr__.write(traceback.format_exc())
        sys.__stderr__.flush()
        os._exit(1)
    os._exit(0)


def _count(left: int) -> None:
    """From now on, this process is killed before the change of that number."""

    def killed_before(real: Callable[..., Any], half: Callable[..., Any] | None = None) -> Callable[..., Any]:
        def change(*args: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                if half is not None:
                    half(*args)
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **more)

        return change

    write, pwrite, opened = os.write, os.pwrite, os.open
    for name in CHANGES:
        setattr(os, name, killed_before(getattr(os, name)))
    os.pwrite = killed_before(pwrite, lambda to, data, at: pwrite(to, data[: len(data) // 2], at))
    os.write = killed_before(write, lambda to, data: write(to, data[: len(data) // 2]))
    making = killed_before(opened)
    os.open = lambda path, flags, *rest, **more: (making if flags & os.O_CREAT else opened)(path, flags, *rest, **more)
    swap.exchange = killed_before(swap.exchange)
