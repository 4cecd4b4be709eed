"""What a copy has beside the bytes of its files: folders, modes, dates, links, more names of one file.

Files are written by block elsewhere. Here, the rest is made, compared with the disk, put on the disk for good, and
removed.
"""

from __future__ import annotations

import ctypes
import filecmp
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from minibit.actors.disk.files import entries
from minibit.manifest import Manifest, native

FSYNC_MAX = 64  # for more files, the whole file system is put on its disk: one wait, and not thousands

Kind = int | str | None
"""What lies at a path: a file of so many bytes, a link that leads there, None for a folder, -1 for anything else."""


def wanted(manifest: Manifest) -> dict[str, Kind]:
    """All that a copy has below its folder, or at its one path, by the path on this system."""
    sizes = {entry.path: entry.bytes for entry in manifest.files}
    kinds: dict[str, Kind] = dict.fromkeys(manifest.folder_paths)
    kinds |= sizes
    kinds |= {twin.path: sizes[twin.of] for twin in manifest.twins}
    kinds |= {link.path: native(link.target) for link in manifest.links}
    return {native(path): kind for path, kind in kinds.items()}


def found(root: Path, manifest: Manifest) -> dict[str, Kind] | None:
    """The same of what the disk has at `root`; None if that can't be read."""
    with suppress(OSError):
        if manifest.folder:
            return {path: _kind(entry.path, entry.stat(follow_symlinks=False)) for path, entry in entries(root)}
        return {native(manifest.name): _kind(str(root), root.lstat())}
    return None


def _kind(path: str, seen: os.stat_result) -> Kind:
    if stat.S_ISREG(seen.st_mode):
        return seen.st_size
    if stat.S_ISLNK(seen.st_mode):
        return os.readlink(path)  # noqa: PTH115 - as it is, not as Path spells it
    return None if stat.S_ISDIR(seen.st_mode) else -1


def rest_is_there(manifest: Manifest, root: Path) -> bool:
    """Whether a copy whose files are all there has its folders, its links and the other names of files."""
    links = manifest.links
    with suppress(OSError):
        return (
            all((root / native(path)).is_dir() for path in manifest.folder_paths)
            and all(_kind(str(path := root / native(link.path)), path.lstat()) == native(link.target) for link in links)
            and all(_seen(root, twin.path) == _seen(root, twin.of) for twin in manifest.twins)
        )
    return False


def _seen(root: Path, path: str) -> tuple[int, int]:
    """The size and the date of a file."""
    seen = (root / native(path)).stat()
    return seen.st_size, seen.st_mtime_ns


def wrong_twins(manifest: Manifest, root: Path) -> list[str]:
    """The other names of files, as on this system, that are files with other bytes; one that is missing is not."""
    wrong = []
    for twin in manifest.twins:
        one, other = root / native(twin.path), root / native(twin.of)
        with suppress(OSError):
            if not one.samefile(other) and not filecmp.cmp(one, other, shallow=False):
                wrong.append(native(twin.path))
    return wrong


def add_names(manifest: Manifest, root: Path) -> None:
    """Make the links, and the other names of files: hard links, or copies where the file system has none."""
    for link in manifest.links:
        path = _free(root / native(link.path))
        path.symlink_to(native(link.target))
    for twin in manifest.twins:
        path, of = _free(root / native(twin.path)), root / native(twin.of)
        try:
            path.hardlink_to(of)
        except OSError:
            shutil.copy2(of, path)


def _free(path: Path) -> Path:
    path.unlink(missing_ok=True)
    return path


def dress(manifest: Manifest, root: Path, folder_mode: int = stat.S_IRWXU) -> None:
    """Give a copy the modes and dates of its source; its owner may read files, and do `folder_mode` with folders."""
    files = {entry.path: entry for entry in manifest.files}
    for path, entry in [*files.items(), *((twin.path, files[twin.of]) for twin in manifest.twins)]:
        at = root / native(path) if manifest.folder else root
        _dress(at, entry.mode | stat.S_IRUSR, entry.mtime_ns)  # its owner must be able to verify it
    for folder in reversed(manifest.folders):  # a folder's date is that of the last change in it
        _dress(root / native(folder.path), folder.mode | folder_mode, folder.mtime_ns)


def _dress(path: Path, mode: int, mtime_ns: int | None) -> None:
    seen = path.stat()
    if stat.S_IMODE(seen.st_mode) != mode:
        path.chmod(mode)
    if mtime_ns not in (None, seen.st_mtime_ns):
        os.utime(path, ns=(mtime_ns, mtime_ns))


def sync(manifest: Manifest, root: Path) -> None:
    """Put the copy on its disk for good: files, then the folders that name them."""
    files = [root / native(entry.path) for entry in manifest.files] if manifest.folder else [root]
    folders = [root / native(path) for path in ("", *manifest.folder_paths)] if manifest.folder else []
    if len(files) + len(folders) > FSYNC_MAX and _sync_disk(root):
        return
    for path in (*files, *reversed(folders)):
        sync_path(path)


def sync_path(path: Path) -> None:
    """Put one file on its disk for good, or the names in one folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_disk(path: Path) -> bool:
    """Put all that the file system of `path` has on its disk; False where the system can't."""
    try:
        syncfs: Any = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if syncfs(descriptor):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(descriptor)
    return True


def remove(path: Path) -> None:
    """Remove what lies there, whatever it is, also from folders that may not be written."""
    if path.is_dir() and not path.is_symlink():
        for folder, _, _ in os.walk(path):
            with suppress(OSError):
                Path(folder).chmod(0o700)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
