"""Scratch: the temporary folders of a run on one machine. They go with the run, or else when the next one starts.

    minibit-NAME-1a2b3c4d.scratch/            the copies of the peers, unless they are kept
    minibit-NAME-content-5e6f7a8b.scratch/    made content, on the driver's machine

Each process that uses such a folder holds a shared lock on it, which the system takes back when the process ends,
however it ends. So nothing uses a folder that can be locked for oneself: `sweep` removes it. On a file system without
locks there is no such proof, and nothing is swept.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from minibit.actors.disk.files import no_inode_left
from minibit.errors import DiskFullError, LocalError, MinibitError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

PREFIX, SUFFIX = "minibit-", ".scratch"
REMOVE_S = 5.0  # for the processes that use a folder to end, before it is removed all the same
AGAIN_S = 0.02


def new_name(run: str) -> str:
    """A name that no other run has, not even one of the same name that was cut short."""
    return f"{PREFIX}{run}-{secrets.token_hex(4)}{SUFFIX}"


def place() -> Path:
    """The temporary folder of this machine; `LocalError` when there is none."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        raise LocalError("no temporary folder can be written: set TMPDIR to one that can") from None


def check_apart(source: str | os.PathLike[str]) -> None:
    """`LocalError` if copies would lie in the source, where the next run would take them for content."""
    if place().resolve().is_relative_to(Path(source).resolve()):
        raise LocalError(
            f"the temporary folder {place()} lies in {source}, which is shared: set TMPDIR to one outside it"
        )


class Scratch:
    """A scratch folder that this process uses, from `use` to `leave`."""

    def __init__(self, path: Path, lock: int | None) -> None:
        """Use `use`."""
        self.path = path
        self._lock = lock

    @classmethod
    def use(cls, name: str, mode: int = 0o700) -> Scratch:
        """The folder of that name, which is made if need be; only its owner can look into it, unless `mode` says so."""
        path = place() / name
        try:
            while True:
                with suppress(FileExistsError):
                    path.mkdir(mode)
                with suppress(FileNotFoundError):  # it was swept meanwhile, as below
                    lock = _open(path)
                    if lock is None or _lock(lock, for_all=True) is not True or _is(lock, path):
                        return cls(path, lock)
                    os.close(lock)
        except OSError as error:
            raise _blame(error, path) from None

    def leave(self) -> None:
        """Use it no longer. What is in it stays."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Leave and remove it."""
        self.leave()
        remove(self.path.name)


def remove(name: str) -> None:
    """Remove the folder of that name as soon as no process uses it, and after `REMOVE_S` in any case."""
    path = place() / name
    with suppress(OSError):
        lock = _open(path)
        try:
            deadline = time.monotonic() + REMOVE_S
            while lock is not None and _lock(lock, for_all=False) is False and time.monotonic() < deadline:
                time.sleep(AGAIN_S)
            _erase(path)
        finally:
            if lock is not None:
                os.close(lock)


def sweep() -> list[str]:
    """Remove the folders on this machine that no process uses any more, as after a `kill -9`; their names."""
    swept: list[str] = []
    if fcntl is None:
        return swept
    for path in place().glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(OSError):
            if path.lstat().st_uid == os.geteuid() and (lock := _open(path)) is not None:
                try:
                    if _lock(lock, for_all=False) and _is(lock, path):  # and not made anew after a sweep by another
                        _erase(path)
                        swept.append(path.name)
                finally:
                    os.close(lock)
    return swept


def _open(path: Path) -> int | None:
    """A descriptor of the folder itself, to be locked: so nothing is left behind, and no name is taken."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW) if fcntl is not None else None


def _lock(descriptor: int, *, for_all: bool) -> bool | None:
    """Lock the folder, together with others (then wait for it), or for this process alone (then try).

    False: others use it. None: its file system can't say.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if for_all else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is(descriptor: int, path: Path) -> bool:
    """Whether the folder is there still, under its name."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    return False


def _erase(path: Path) -> None:
    """Remove a folder with all that is in it, also where it was made read-only."""
    for folder, folders, _ in os.walk(path):
        for one in folders:
            with suppress(OSError):
                if not (inner := Path(folder, one)).is_symlink():
                    inner.chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)


def _blame(error: OSError, path: Path) -> MinibitError:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return LocalError(f"can't make {path} ({error.strerror}): set TMPDIR to a folder that can be written")
    what = "no room for another file (it has no inode left)" if no_inode_left(path.parent) else "no room"
    return DiskFullError(f"{path.parent} has {what}: remove files there, or set TMPDIR to a larger disk")
