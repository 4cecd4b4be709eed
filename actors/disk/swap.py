"""A whole copy takes the place of another one in one step: a reader sees the old one or the new one.

`renameat2` with RENAME_EXCHANGE (Linux 3.15) swaps two names. Where the system or the file system lacks it, a folder
takes the place of another in three renames, and between the first two of them nothing has the name.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

HERE = -100  # AT_FDCWD: paths are as this process sees them
EXCHANGE = 2  # RENAME_EXCHANGE
LACKING = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}


def swap(new: Path, final: Path, aside: Path) -> bool:
    """Give the copy `new` the name `final`; what had that name is called `new` afterwards, if it wasn't a file too.

    True if it was one step. If not, the old one was called `aside` for a moment. `OSError` when it can't be done.
    """
    if not os.path.lexists(final):
        new.rename(final)
        return True
    if not _is_folder(new) and not _is_folder(final):
        new.replace(final)
        return True
    if exchange(new, final):
        return True
    final.rename(aside)
    new.rename(final)
    aside.rename(new)
    return False


def exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step; False where that can't be done."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):  # another system, or an old C library
        return False
    if renameat2(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0:
        return True
    if (code := ctypes.get_errno()) in LACKING:
        return False
    raise OSError(code, os.strerror(code), str(one))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
