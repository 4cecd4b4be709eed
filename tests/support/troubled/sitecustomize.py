"""Troubles of one host, in all its Python processes: a file of that name in its TMPDIR is one, as long as it is there.

ahead  the clock is an hour ahead
bare   Minibit is not installed, nor what it needs; what Ray was given to send is found
held   a disk takes so many bytes of each process as the file says, and no more
unread, unnamed
       a disk takes no end to read from a file, or to give one another name
"""

from __future__ import annotations

import os
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from math import inf
from pathlib import Path
from typing import Any

TMPDIR = Path(os.environ.get("TMPDIR", "/nowhere"))
HIDDEN = {"minibit", "msgspec", "blake3", "uvloop"}
SENT = "runtime_resources"  # where Ray puts it

clock, pread, pwrite, rename = time.time, os.pread, os.pwrite, os.rename
taken = 0  # bytes of this process


def troubled(by: str) -> bool:
    return os.path.lexists(TMPDIR / by)


def time_there() -> float:
    return clock() + 3600 * troubled("ahead")


def pread_there(*what: int) -> bytes:
    wait_while("unread")
    return pread(*what)


def pwrite_there(descriptor: int, data: Any, at: int) -> int:
    global taken  # noqa: PLW0603
    while taken + len(data) > room():
        time.sleep(0.05)
    written = pwrite(descriptor, data, at)
    taken += written
    return written


def room() -> float:
    try:
        return int((TMPDIR / "held").read_text() or 0)  # nothing yet: it is being written
    except OSError:
        return inf


def rename_there(*what: Any, **more: Any) -> None:
    wait_while("unnamed")
    rename(*what, **more)


def wait_while(by: str) -> None:
    while troubled(by):
        time.sleep(0.05)


class Bare(MetaPathFinder):
    """Finds nothing that is hidden."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if path is not None or name not in HIDDEN or not troubled("bare"):
            return None
        found = PathFinder.find_spec(name, [one for one in sys.path if SENT in one])
        if found is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found


time.time, os.pread, os.pwrite, os.rename = time_there, pread_there, pwrite_there, rename_there
sys.meta_path.insert(0, Bare())
