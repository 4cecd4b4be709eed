"""Content on a disk: described by a manifest (`scan`), and made up (`make`)."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Literal, get_args

import msgspec
from blake3 import blake3

from minibit.actors.disk.blocks import BlockFiles, mark
from minibit.errors import DiskFullError, LocalError, SourceError
from minibit.manifest import (
    BLOCK_BYTES_MAX,
    DEPTH_MAX,
    DIGEST_BYTES,
    FileEntry,
    FolderEntry,
    HashName,
    LinkEntry,
    Manifest,
    TwinEntry,
    auto_block_bytes,
    spelled,
    stays_inside,
)
from minibit.units import show_bytes

HASH_THREADS = min(4, os.cpu_count() or 1)
HASH_RANGE_BYTES = 16 << 20  # a thread takes this much at a time, so a hard disk still reads nearly in order
PROGRESS_S = 0.1
STOP_S = 0.5  # for all threads: a disk may hang
MADE_CHUNK_BYTES = 1 << 20
MADE_AT_S = 946_684_800  # its date, always the same, as its bytes are

Links = Literal["follow", "keep", "refuse"]
"""What becomes of a symbolic link: that which it leads to takes its place, it stays a link, or it is an error."""

Marks = dict[str, tuple[int, ...]]
"""The mark of each file, by its path in the manifest."""

Progress = Callable[[int, int], object]
"""Called again and again, in the thread of the caller, with the bytes that are hashed and those of the whole content.
What it raises ends the work at once."""


def entries(folder: Path, *, links: bool = False) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """All that is below `folder`, each with its path below it; `links`: also below links to folders.

    Only as deep as a manifest goes. `SourceError` for a link to a folder that it lies in.
    """
    waiting = [("", frozenset([_identity(folder.stat())]))]
    while waiting:
        below, above = waiting.pop()
        with os.scandir(folder / below) as found:
            for entry in found:
                path = f"{below}/{entry.name}" if below else entry.name
                yield path, entry
                if path.count("/") < DEPTH_MAX and entry.is_dir(follow_symlinks=links):
                    here = _identity(entry.stat())
                    if here in above:
                        raise SourceError(f"can't share {folder}: {path} is a link to a folder that it lies in")
                    waiting.append((path, above | {here}))


def existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that is there."""
    return next(one for one in (path, *path.parents) if one.exists())


def no_inode_left(path: Path) -> bool:
    """Whether the disk of `path`, which is there, can have no more files; not every file system counts them."""
    if not hasattr(os, "statvfs"):
        return False
    disk = os.statvfs(path)
    return bool(disk.f_files) and not disk.f_favail


def check_room(need_bytes: int, folder: Path, what: str, advice: str) -> None:
    """`DiskFullError` if `what` has no room on the disk of `folder`, which need not be there yet."""
    folder = existing(folder)
    free_bytes = shutil.disk_usage(folder).free
    if need_bytes > free_bytes:
        need, free = show_bytes(need_bytes), show_bytes(free_bytes)
        raise DiskFullError(f"no room for {what} in {folder}: {need} needed, {free} free; {advice}")


def check_copies(count: int, content_bytes: int, folder: Path, *, kept: bool) -> None:
    """`DiskFullError` if so many new copies have no room in `folder`.

    Where kept ones are already, each peer looks for itself how much it needs beside what is there.
    """
    if not (kept and folder.exists()):
        larger = "give a folder on a larger disk" if kept else "set TMPDIR to a larger disk"
        check_room(count * content_bytes, folder, f"{count} copies", f"make room, give fewer peers, or {larger}")


def check_source(path: str | os.PathLike[str]) -> None:
    """`SourceError` if there is nothing at `path` that can be shared, before anything is started."""
    if not os.path.lexists(path):
        raise SourceError(f"there is no {path}: give a file or a folder, or leave it out to share made content")
    with explained(path):
        _kind(Path(path))


def scan(
    path: Path,
    block_bytes: int | Callable[[int], int] = auto_block_bytes,
    hash: HashName = "blake3",
    progress: Progress = lambda done_bytes, content_bytes: None,
    *,
    apart: bool = False,
    links: Links = "follow",
) -> Manifest:
    """The manifest of one file, or of a folder with all the files below it in the order of their paths.

    `block_bytes` may be a function of the content's size in bytes, which is known before anything is hashed. Whatever
    is raised here meanwhile, by `progress` or by Ctrl-C, stops the threads that hash within a fraction of a second.

    A link counts as the file or folder that it leads to, wherever that is, unless `links` says otherwise; it is kept
    only if it leads to something in `path`. With `apart`, blocks begin anew at each file, a file with several paths
    travels once, folders have dates, and names may be any that this system has: the manifest of a push. `SourceError`
    if something is missing, unreadable or neither file nor folder, for a link to a folder that it lies in, for a name
    that another system can't have, for a file that has no true size, as in /proc, and if the content changes meanwhile.
    """
    with Scan(path, block_bytes, hash, apart=apart, links=links) as scanning:
        while not scanning.over:
            progress(scanning.hashed_bytes, scanning.manifest.content_bytes)
            scanning.wait(PROGRESS_S)
        progress(scanning.hashed_bytes, scanning.manifest.content_bytes)
        return scanning.end()


class Scan:
    """A scan that goes on in threads, from `with` on until its end, while the caller does something else.

    `manifest` is the one without digests, whatever is hashed by now. Arguments and errors are those of `scan`.
    """

    def __init__(
        self,
        path: Path,
        block_bytes: int | Callable[[int], int] = auto_block_bytes,
        hash: HashName = "blake3",
        *,
        apart: bool = False,
        links: Links = "follow",
    ) -> None:
        self._path = path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would take the name of a link's target
        if isinstance(block_bytes, int) and not 1 <= block_bytes <= BLOCK_BYTES_MAX:
            raise LocalError(f"blocks of {block_bytes} bytes: take 1 to {BLOCK_BYTES_MAX}")
        if hash not in get_args(HashName):
            raise LocalError(f"the hash {hash!r}: take one of {', '.join(get_args(HashName))}")
        assert apart or links != "keep", "only manifests that are apart have links"
        self._links = links
        with explained(path):
            self.manifest, self._marks = unhashed(path, block_bytes, hash, apart=apart, links=links)
            _check_sizes(path, self.manifest)
        self._range_blocks = max(1, HASH_RANGE_BYTES // self.manifest.block_bytes)
        self._firsts = iter(range(0, self.manifest.block_count, self._range_blocks))
        self._found: dict[int, bytes] = {}  # digests by the first block of a range, until those before are there
        self._digests = bytearray()
        self._sizes: list[int] = []  # of the ranges that are hashed
        self._errors: list[Exception] = []
        self._stopped = Event()
        self._threads = [Thread(target=self._hash, daemon=True) for _ in range(HASH_THREADS)]  # a disk may hang

    def __enter__(self) -> Scan:
        try:
            for thread in self._threads:
                thread.start()
        except BaseException:
            self._stopped.set()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self._stopped.set()
        deadline = time.monotonic() + STOP_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def hashed_bytes(self) -> int:
        """How much is hashed by now."""
        return sum(self._sizes)

    @property
    def over(self) -> bool:
        """Whether nothing more is hashed: then there is an `end`."""
        return not any(thread.is_alive() for thread in self._threads)

    def wait(self, limit_s: float) -> None:
        """Wait for the end, for so long at most."""
        alive = next((thread for thread in self._threads if thread.is_alive()), None)
        if alive is not None:
            alive.join(limit_s)

    def end(self) -> Manifest:
        """The whole manifest, once it is over."""
        manifest = self.manifest
        with explained(self._path):
            if self._errors:
                raise self._errors[0]
            seen = unhashed(self._path, manifest.block_bytes, manifest.hash, apart=manifest.apart, links=self._links)
            if seen != (manifest, self._marks):
                raise SourceError(f"{self._path} changed while it was hashed; start again when it is at rest")
        return manifest.with_digests(0, self.digests)

    @property
    def digests(self) -> bytes:
        """Those of the first blocks, as many as are hashed without a gap."""
        while (found := self._found.pop(len(self._digests) // DIGEST_BYTES, None)) is not None:
            self._digests += found
        return bytes(self._digests)

    def _hash(self) -> None:
        """Hash ranges of blocks as they lie on the disk; reading and hashing leave the interpreter's lock."""
        manifest = self.manifest
        try:
            with closing(BlockFiles(manifest, self._path, os.O_RDONLY)) as files:
                for first in self._firsts:
                    blocks = range(first, min(first + self._range_blocks, manifest.block_count))
                    self._found[first] = b"".join(files.digest(block, self._stopped) for block in blocks)
                    self._sizes.append(sum(map(manifest.length, blocks)))
        except Exception as error:
            self._errors.append(error)
            self._stopped.set()


@contextmanager
def explained(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an error of the system into one about the content at `path`."""
    try:
        yield
    except OSError as error:
        raise SourceError(f"can't share {path}: {error.strerror} ({error.filename or path})") from None


def _kind(path: Path) -> os.stat_result:
    """What lies at `path`; `SourceError` if that is neither file nor folder."""
    found = path.stat()
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise SourceError(f"can't share {path}: it is neither a file nor a folder")
    return found


def unhashed(
    path: Path, block_bytes: int | Callable[[int], int], hash: HashName, *, apart: bool = False, links: Links = "follow"
) -> tuple[Manifest, Marks]:
    """The manifest with digests of zeros, so that a wrong name is found before all is hashed; the mark of each file.

    Errors are those of `scan`, and the system's own `OSError`.
    """
    top = _kind(path)
    is_folder = stat.S_ISDIR(top.st_mode)
    files: list[FileEntry] = []
    folders = [_folder("", top, apart)] if is_folder else []
    kept: list[LinkEntry] = []
    marks = {}
    for below, entry in entries(path, links=links == "follow") if is_folder else [(path.name, None)]:
        name = spelled(below) if apart else below
        if entry is not None and links != "follow" and entry.is_symlink():
            kept.append(_kept(path, LinkEntry(name, spelled(os.readlink(entry.path))), links))  # noqa: PTH115
            continue
        found = top if entry is None else entry.stat()
        if stat.S_ISDIR(found.st_mode):
            folders.append(_folder(name, found, apart))
        elif stat.S_ISREG(found.st_mode):
            files.append(FileEntry(name, found.st_size, found.st_mode & 0o777, found.st_mtime_ns))
            marks[name] = mark(found)
        else:
            raise SourceError(f"can't share {path}: {below} is no plain file")
    files.sort(key=lambda file: file.path)
    folders.sort(key=lambda folder: folder.path)
    kept.sort(key=lambda link: link.path)
    twins = _twins(files, marks) if apart else ()
    if twins:
        again = {twin.path for twin in twins}
        files = [file for file in files if file.path not in again]
    if not isinstance(block_bytes, int):
        block_bytes = block_bytes(sum(entry.bytes for entry in files))
    name = spelled(path.name) if apart else path.name
    manifest = Manifest(
        name, is_folder, tuple(files), block_bytes, hash, b"", tuple(folders), apart, twins, tuple(kept)
    )
    manifest = msgspec.structs.replace(manifest, digests=bytes(manifest.block_count * DIGEST_BYTES))
    if fault := manifest.fault():
        raise SourceError(f"can't share {path}: {fault}")
    return manifest, marks


def _folder(name: str, found: os.stat_result, apart: bool) -> FolderEntry:
    return FolderEntry(name, found.st_mode & 0o777, found.st_mtime_ns if apart else None)


def _kept(path: Path, link: LinkEntry, links: Links) -> LinkEntry:
    """A link that stays one; `SourceError` if it may not."""
    if links == "refuse":
        raise SourceError(f"can't share {path}: {link.path} is a link, and links are refused")
    if not stays_inside(link):
        raise SourceError(
            f"can't keep the link {link.path} of {path}, which leads out of it, to {link.target}: follow links instead"
        )
    return link


def _twins(files: list[FileEntry], marks: Marks) -> tuple[TwinEntry, ...]:
    """The files, in order, that are one of those before them under another name."""
    first: dict[tuple[int, ...], str] = {}
    twins = []
    for file in files:
        device, inode = marks[file.path][-2:]
        if file.bytes and inode and (of := first.setdefault((device, inode), file.path)) != file.path:
            twins.append(TwinEntry(file.path, of))
    return tuple(twins)


def _check_sizes(path: Path, manifest: Manifest) -> None:
    """`SourceError` for a file that says it is empty and is not: the system makes its bytes when it is read."""
    files = BlockFiles(manifest, path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with closing(files):
        for index, entry in enumerate(manifest.files):
            if not entry.bytes and os.read(files.descriptor(index), 1):
                raise SourceError(f"can't share {files.path(index)}: it has no size; copy it to a plain file first")


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


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
        os.utime(new, (MADE_AT_S, MADE_AT_S))
        new.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"no room for {path} with {content_bytes:,} bytes") from None
        raise SourceError(f"can't make {path}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            new.unlink()
    return path
