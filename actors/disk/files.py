"""Content on a disk: read and written by block (`BlockFiles`), described by a manifest (`scan`), made up (`make`)."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Event, Thread
from typing import get_args

import msgspec
from blake3 import blake3

from minibit import inventory
from minibit.errors import DiskFullError, LocalError, SourceError
from minibit.manifest import BLOCK_BYTES_MAX, DIGEST_BYTES, FileEntry, HashName, Manifest, auto_block_bytes, hasher
from minibit.units import show_bytes

OPEN_FILES_MAX = 64
HASH_THREADS = min(4, os.cpu_count() or 1)
HASH_RANGE_BYTES = 16 << 20  # a thread takes this much at a time, so a hard disk still reads nearly in order
PART_BYTES = 1 << 20  # and reads this much of it at a time, so that it can be stopped soon
PROGRESS_S = 0.1
STOP_S = 1.0
MADE_CHUNK_BYTES = 1 << 20

Progress = Callable[[int, int], object]
"""Called again and again, in the thread of the caller, with the bytes that are hashed and those of the whole content.
What it raises ends the work at once."""


class BlockFiles:
    """The files of `manifest` below `root`, read and written by block. Errors are the system's own `OSError`."""

    def __init__(self, manifest: Manifest, root: Path, flags: int) -> None:
        self.manifest = manifest
        self.root = root
        self.flags = flags | os.O_CLOEXEC
        self._open: dict[int, int] = {}  # index of a file -> descriptor, the one used last at the end

    def path(self, index: int) -> Path:
        return self.root / self.manifest.files[index].path if self.manifest.folder else self.root

    def descriptor(self, index: int) -> int:
        descriptor = self._open.pop(index, None)
        if descriptor is None:
            if len(self._open) >= OPEN_FILES_MAX:
                os.close(self._open.pop(next(iter(self._open))))
            descriptor = os.open(self.path(index), self.flags)
        self._open[index] = descriptor
        return descriptor

    def read(self, block: int, offset: int = 0, length: int | None = None) -> bytes:
        spans = self.manifest.spans(block, offset, length)
        parts = [os.pread(self.descriptor(index), count, at) for index, at, count in spans]
        if any(len(part) < count for part, (_, _, count) in zip(parts, spans, strict=True)):
            raise OSError(errno.EIO, "a file is shorter than its manifest says")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def digest(self, block: int, stopped: Event) -> bytes:
        """The digest of a block as it lies on the disk; `InterruptedError` soon after `stopped` is set."""
        state = hasher(self.manifest.hash)
        for at in range(0, length := self.manifest.length(block), PART_BYTES):
            if stopped.is_set():
                raise InterruptedError
            state.update(self.read(block, at, min(PART_BYTES, length - at)))
        return bytes(state.digest())

    def write(self, block: int, data: memoryview) -> None:
        for index, at, count in self.manifest.spans(block):
            part, data = data[:count], data[count:]
            while part:  # a disk that gets full may take a part and refuse the rest
                written = os.pwrite(self.descriptor(index), part, at)
                part, at = part[written:], at + written

    def right(self, blocks: int) -> int:
        """Those of `blocks` that hash right as they lie on the disk; a block that can't be read does not."""
        right = inventory.EMPTY
        for block in inventory.indices(blocks):
            with suppress(OSError):
                if self.manifest.matches(block, self.read(block)):
                    right |= 1 << block
        return right

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])


def entries(folder: Path, below: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below `folder` but real folders, each with its path below `folder`."""
    with os.scandir(folder / below) as found:
        for entry in found:
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from entries(folder, path)
            else:
                yield path, entry


def mark(found: os.stat_result) -> tuple[int, int, int]:
    """A mark that differs once a file was changed or replaced; cheaper than a hash."""
    return found.st_size, found.st_mtime_ns, found.st_ino


def check_room(need_bytes: int, folder: Path, what: str, advice: str) -> None:
    """`DiskFullError` if `what` has no room on the disk of `folder`, which need not be there yet."""
    while not folder.exists():
        folder = folder.parent
    free_bytes = shutil.disk_usage(folder).free
    if need_bytes > free_bytes:
        need, free = show_bytes(need_bytes), show_bytes(free_bytes)
        raise DiskFullError(f"no room for {what} in {folder}: {need} needed, {free} free; {advice}")


def check_source(path: str | os.PathLike[str]) -> None:
    """`SourceError` if there is nothing at `path`, before anything is started."""
    if not os.path.lexists(path):
        raise SourceError(f"there is no {path}: give a file or a folder, or leave it out to share made content")


def scan(
    path: Path,
    block_bytes: int | Callable[[int], int] = auto_block_bytes,
    hash: HashName = "blake3",
    progress: Progress = lambda done_bytes, content_bytes: None,
) -> Manifest:
    """The manifest of one file, or of a folder with all the files below it in the order of their paths.

    `block_bytes` may be a function of the content's size in bytes, which is known before anything is hashed. Whatever
    is raised here meanwhile, by `progress` or by Ctrl-C, stops the threads that hash within a fraction of a second.

    A link to a file counts as that file if it stays inside the folder. Folders without a file are left out.
    `SourceError` if something is missing, unreadable or neither file nor folder, for a link to a folder or out
    of the content, for a name that another system can't have, and if the content changes meanwhile.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would take the name of a link's target
    if isinstance(block_bytes, int) and not 1 <= block_bytes <= BLOCK_BYTES_MAX:
        raise LocalError(f"blocks of {block_bytes} bytes: take 1 to {BLOCK_BYTES_MAX}")
    if hash not in get_args(HashName):
        raise LocalError(f"the hash {hash!r}: take one of {', '.join(get_args(HashName))}")
    try:
        before = _listing(path)
        manifest = _unhashed(path, before, block_bytes, hash)
        manifest = msgspec.structs.replace(manifest, digests=_digests(path, manifest, progress))
        after = _listing(path)
    except OSError as error:
        raise SourceError(f"can't share {path}: {error.strerror} ({error.filename or path})") from None
    if {path: mark(one) for path, one in before.items()} != {path: mark(one) for path, one in after.items()}:
        raise SourceError(f"{path} changed while it was hashed; start again when it is at rest")
    return manifest


def _listing(path: Path) -> dict[str, os.stat_result]:
    """The files of the content, in order, each with its entry on the disk."""
    found = path.stat()
    if stat.S_ISREG(found.st_mode):
        return {path.name: found}
    if not stat.S_ISDIR(found.st_mode):
        raise SourceError(f"can't share {path}: it is neither a file nor a folder")
    root = path.resolve()
    files = {}
    for below, entry in entries(path):
        found = entry.stat()
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
            raise SourceError(f"can't share {path}: {below} is a link that leads out of it")
        if not stat.S_ISREG(found.st_mode):
            what = "a link to a folder" if stat.S_ISDIR(found.st_mode) else "no plain file"
            raise SourceError(f"can't share {path}: {below} is {what}")
        files[below] = found
    return dict(sorted(files.items()))


def _unhashed(
    path: Path, listing: dict[str, os.stat_result], block_bytes: int | Callable[[int], int], hash: HashName
) -> Manifest:
    """The manifest with digests of zeros, so that a wrong name is found before everything is hashed."""
    files = tuple(FileEntry(below, found.st_size, found.st_mode & 0o777) for below, found in listing.items())
    if not isinstance(block_bytes, int):
        block_bytes = block_bytes(sum(entry.bytes for entry in files))
    manifest = Manifest(path.name, path.is_dir(), files, block_bytes, hash, b"")
    manifest = msgspec.structs.replace(manifest, digests=bytes(manifest.block_count * DIGEST_BYTES))
    if fault := manifest.fault():
        raise SourceError(f"can't share {path}: {fault}")
    return manifest


def _digests(path: Path, manifest: Manifest, progress: Progress) -> bytes:
    """The digest of every block as it lies on the disk; reading and hashing leave the interpreter's lock."""
    step = max(1, HASH_RANGE_BYTES // manifest.block_bytes)
    firsts = iter(range(0, manifest.block_count, step))
    found: dict[int, bytes] = {}  # by the first block of a range
    errors: list[Exception] = []
    stopped = Event()

    def work() -> None:
        try:
            with closing(BlockFiles(manifest, path, os.O_RDONLY)) as files:
                for first in firsts:
                    blocks = range(first, min(first + step, manifest.block_count))
                    found[first] = b"".join(files.digest(block, stopped) for block in blocks)
        except Exception as error:
            errors.append(error)
            stopped.set()

    threads = [Thread(target=work, daemon=True) for _ in range(HASH_THREADS)]  # daemon: a disk may hang for ever
    try:
        for thread in threads:
            thread.start()
        while threads_alive := [thread for thread in threads if thread.is_alive()]:
            progress(min(len(found) * step * manifest.block_bytes, manifest.content_bytes), manifest.content_bytes)
            threads_alive[0].join(PROGRESS_S)
    finally:
        stopped.set()
        for thread in threads:
            thread.join(STOP_S)
    if errors:
        raise errors[0]
    progress(manifest.content_bytes, manifest.content_bytes)
    return b"".join(found[first] for first in sorted(found))


def make(path: Path, content_bytes: int, seed: int) -> Path:
    """Write made content, the same bytes for the same `seed`: BLAKE3's endless output, which doesn't compress.

    The file appears whole or not at all. `DiskFullError` when it has no room.
    """
    path = Path(path)
    new = path.with_name(f"{path.name}.minibit-new")
    stream = blake3(f"minibit content {seed}".encode())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("wb", buffering=0) as file:
            for at in range(0, content_bytes, MADE_CHUNK_BYTES):
                left = memoryview(stream.digest(length=min(MADE_CHUNK_BYTES, content_bytes - at), seek=at))
                while left:
                    left = left[file.write(left) :]
        new.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"no room for {path} with {content_bytes:,} bytes") from None
        raise SourceError(f"can't make {path}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            new.unlink()
    return path
