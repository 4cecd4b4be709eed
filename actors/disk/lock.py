"""The lock of a copy: on the inode of the copy itself, so nothing is left behind and no name is taken.

A lock goes with the file or folder wherever it is renamed to, and ends with the process, however it ends. A copy goes
from `partial` by `new` to `final`, and each process takes the locks in that order: so two that want one place meet,
whenever they look. On a system or a file system without locks the caller must take care.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from minibit.errors import LocalError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

AGAIN_S = 0.1


class Claim:
    """Locks that are held together. `refusal` is what the `LocalError` says if another holds one after `patience_s`."""

    def __init__(self, patience_s: float, refusal: str) -> None:
        self._until = time.monotonic() + patience_s
        self._refusal = refusal
        self._held: dict[tuple[int, int], int] = {}  # device and inode -> descriptor

    def take(self, path: Path) -> None:
        """Lock what lies at `path`, if anything does that can be locked."""
        while fcntl is not None and (descriptor := _opened(path)) is not None:
            found = os.fstat(descriptor)
            inode = found.st_dev, found.st_ino
            if inode in self._held:  # a second lock of one process would wait for the first
                os.close(descriptor)
                return
            locked = _lock(descriptor)
            if locked and _is(found, path):
                self._held[inode] = descriptor
                return
            os.close(descriptor)  # another has it, or it was moved away meanwhile
            if not locked:
                if time.monotonic() >= self._until:
                    raise LocalError(self._refusal)
                time.sleep(AGAIN_S)

    def close(self) -> None:
        """Let others have it."""
        while self._held:
            os.close(self._held.popitem()[1])


def _opened(path: Path) -> int | None:
    with suppress(OSError):  # nothing is there, or a link, or what we may not read: it can't be a copy of ours
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    return None


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # some network file systems can't
    return True


def _is(found: os.stat_result, path: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(found, path.lstat())
    return False
