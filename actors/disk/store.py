"""A peer's own copy of the content, written block by block.

Blocks are never mapped into memory. A block is received in a private buffer, verified, then written with
pwrite; a send is a pread. A map of a sparse file on a full disk, or of a file that another program shortens,
kills the process with SIGBUS; and with a map, bytes that fail their hash have already touched the file.

Invariant: `held` names only blocks that were written here after they were verified, or that hashed right in the
partial file when it was opened. Nothing beside the bytes says which blocks are there: whatever the disk has is hashed
when a store is opened. So a process may be killed at any moment, and no block that was written is fetched twice.

A finished copy has `NAME.minibit` beside it, which says that a store made it. Only such a copy may become a partial one
again when it turns out to be wrong; any other file of that name is its owner's.

Blocks of content in many files share a few open files, so a store is for one thread at a time (`verify` and
`verify_all` are for any).
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import closing, suppress
from pathlib import Path

from blake3 import blake3

from minibit import inventory
from minibit.actors.disk.blocks import BlockFiles, RightBlocks
from minibit.actors.disk.files import check_room, entries, existing, no_inode_left
from minibit.errors import DiskFullError, LocalError, MinibitError, StoreError
from minibit.manifest import Manifest

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

OPENED: int = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)  # each is known to some systems
LOCK_AGAIN_S = 0.1
READING = os.O_RDONLY | OPENED
WRITING = os.O_RDWR | OPENED


class Store:
    """A peer's copy of one content, alone in its folder: `NAME.minibit-partial`, and `NAME` once finished."""

    def __init__(self, folder: Path, manifest: Manifest, *, made_folder: bool, lock: int | None) -> None:
        """Use `Store.open`."""
        self.manifest = manifest
        self.held = inventory.EMPTY
        self.folder = folder
        self.final = folder / manifest.name
        self._partial = folder / f"{manifest.name}.minibit-partial"
        self._mark = folder / f"{manifest.name}.minibit"
        self._content = blake3(manifest.digests).hexdigest()  # the same also when the source got other modes or dates
        self._made_folder = made_folder
        self._ours = True  # False: the final copy was there before us, so we never remove it
        self._finished: RightBlocks | None = None
        self._lock = lock
        self._closed = False
        self._files = BlockFiles(manifest, self._partial, WRITING)

    @classmethod
    def open(cls, folder: Path, manifest: Manifest, *, patience_s: float = 0.0) -> Store:
        """A store in `folder`, which is made if need be. Blocks that an earlier store left there are re-hashed.

        `DiskFullError` when the content has no room; `LocalError` when another peer uses the folder, after
        `patience_s`, or if the store would have to overwrite files there; `StoreError` when the disk fails.
        """
        folder = Path(folder).absolute()
        try:
            made_folder = not folder.exists()
            _make_private(folder)
            store = cls(folder, manifest, made_folder=made_folder, lock=_locked(folder, patience_s))
        except OSError as error:
            raise _blame(error, folder) from None
        resumed = os.path.lexists(store._partial)
        try:
            if os.path.lexists(store.final) and store.verify_all():
                store._adopt()
            else:
                if os.path.lexists(store.final):
                    store.reopen()
                    resumed = True
                store._check_room()
                store._prepare()
                if resumed:
                    store.held = store._files.right()
        except BaseException as error:
            blamed = _blame(error, folder) if isinstance(error, OSError) else error  # before there is room again
            store._leave(erase=not resumed and not os.path.lexists(store.final))
            raise blamed from None
        return store

    @property
    def complete(self) -> bool:
        return self.held == inventory.full(self.manifest.block_count)

    @property
    def finished(self) -> bool:
        """Whether it has its final name."""
        return self._finished is not None

    def verify(self, block: int, data: bytes | bytearray | memoryview) -> bool:
        """The verdict on a block that arrived."""
        return self.manifest.matches(block, data)

    def write(self, block: int, data: bytes | bytearray | memoryview) -> None:
        """Keep a block that was verified; `DiskFullError` or `StoreError` when the disk doesn't take it."""
        assert not self._finished, "a finished copy is never written"
        assert len(data) == self.manifest.length(block), "only verified blocks are written"
        try:
            self._files.write(block, memoryview(data))
        except OSError as error:
            raise _blame(error, self._partial) from None
        self.held |= 1 << block

    def read(self, block: int, offset: int = 0, length: int | None = None) -> bytes:
        """Those bytes of a block that is held; `StoreError` when the disk no longer has them."""
        assert self.held >> block & 1, "only held blocks are read"
        try:
            data = (self._finished or self._files).read(block, offset, length)
        except OSError as error:
            raise _blame(error, self._files.root) from None
        if data is None:
            raise StoreError(f"{self.final} was changed by another program; start again to get what is wrong")
        return data

    def finish(self) -> Path:
        """Give the complete copy its modes, dates and name; reads go on. `LocalError` when the name is taken."""
        assert self.complete, "only a complete copy is finished"
        if self._finished:
            return self.final
        if os.path.lexists(self.final):
            raise self._in_the_way()
        try:
            self._dress()
            self._mark.write_text(self._content)
            self._partial.replace(self.final)
        except OSError as error:
            raise _blame(error, self.final) from None
        self._settle()
        return self.final

    def reopen(self) -> None:
        """Make the finished copy, which is wrong, a partial one again, without its wrong blocks once it is opened anew.

        `LocalError` if no store made it, or if there is a partial one beside it.
        """
        if os.path.lexists(self._partial) or not self._made_here():
            raise self._in_the_way()
        self._files.close()
        try:
            self.final.rename(self._partial)
            self._mark.unlink()
        except OSError as error:
            raise _blame(error, self.final) from None
        self._finished = None
        self._files = BlockFiles(self.manifest, self._partial, WRITING)

    def verify_all(self) -> bool:
        """Read the finished copy again: True for the same files and folders, sizes and digests, and no other file."""
        manifest = self.manifest
        expected = {entry.path: entry.bytes for entry in manifest.files} | dict.fromkeys(manifest.folder_paths)
        try:
            if manifest.folder:
                found = {path: _plain_bytes(entry.stat(follow_symlinks=False)) for path, entry in entries(self.final)}
            else:
                found = {manifest.name: _plain_bytes(self.final.lstat())}
        except OSError:
            return False
        if found != expected:
            return False
        with closing(BlockFiles(manifest, self.final, READING)) as files:
            return files.right() == inventory.full(manifest.block_count)

    def close(self) -> None:
        """Close everything; a later store can resume what is held."""
        if not self._closed:
            self._leave(erase=False)

    def discard(self) -> None:
        """Close, and remove what this peer made: its partial or finished copy, its folder if empty."""
        if not self._closed:
            self._leave(erase=True)

    def _adopt(self) -> None:
        """Take the right copy that has the final name already."""
        self.held = inventory.full(self.manifest.block_count)
        self._ours = False
        self._files.root = self.final
        if self._made_here():
            self._dress()  # as the source is now
        self._settle()

    def _dress(self) -> None:
        """Give the copy the modes and dates of the source."""
        for index, entry in enumerate(self.manifest.files):
            path = self._files.path(index)
            path.chmod(entry.mode | stat.S_IRUSR)  # its owner must be able to verify it
            os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
        for folder in reversed(self.manifest.folders):
            self._files.root.joinpath(folder.path).chmod(folder.mode | stat.S_IRWXU)  # and to remove it

    def _made_here(self) -> bool:
        """Whether a store made the copy that has the final name, of these blocks."""
        with suppress(OSError, UnicodeDecodeError):
            return self._mark.read_text() == self._content
        return False

    def _in_the_way(self) -> LocalError:
        return LocalError(f"{self.final} is there already and is other content: move it away, or use another folder")

    def _settle(self) -> None:
        """Read the blocks under the final name from now on; open descriptors stay good."""
        self._files.root = self.final
        self._files.flags = READING
        self._finished = RightBlocks(self._files, self.held)

    def _check_room(self) -> None:
        there = 0
        for index in range(len(self.manifest.files)):
            with suppress(OSError):
                there += self._files.path(index).lstat().st_blocks * 512
        need_bytes = self.manifest.content_bytes - there
        check_room(need_bytes, self.folder, self.manifest.name, "make room there, or use another folder")

    def _prepare(self) -> None:
        """Make folders and files that are missing, and set all sizes. All is its owner's alone until it is finished."""
        manifest = self.manifest
        if manifest.folder:
            if os.path.lexists(self._partial) and not self._partial.is_dir():
                raise LocalError(f"{self._partial} is no folder: remove it, and start again")
            self._partial.mkdir(0o700, exist_ok=True)
            there = {path for path, _ in entries(self._partial)}
            if strangers := there.difference(manifest.folder_paths, (entry.path for entry in manifest.files)):
                path = self._partial / min(strangers)
                raise LocalError(f"{path} is no part of {manifest.name}: remove {self._partial}, and start again")
            for below in manifest.folder_paths:
                self._partial.joinpath(below).mkdir(0o700, exist_ok=True)
        for index, entry in enumerate(manifest.files):
            path = self._files.path(index)
            try:
                found = path.lstat()
            except FileNotFoundError:
                descriptor = os.open(path, WRITING | os.O_CREAT | os.O_EXCL, 0o600)
            else:
                if not stat.S_ISREG(found.st_mode):
                    raise LocalError(f"{path} is no plain file: remove {self._partial}, and start again")
                path.chmod(0o600)  # it was finished before, or a process was killed in the middle of `finish`
                descriptor = os.open(path, self._files.flags)
            try:
                os.ftruncate(descriptor, entry.bytes)
            finally:
                os.close(descriptor)

    def _leave(self, *, erase: bool) -> None:
        self._closed = True
        self._files.close()
        if erase:
            if self._ours:
                self._erase()
            if self._made_folder:
                with suppress(OSError):
                    self.folder.rmdir()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _erase(self) -> None:
        """Remove the files of the manifest, and the folders that this leaves empty; other files always stay."""
        root = self._files.root
        for path in (self._mark, *map(self._files.path, range(len(self.manifest.files)))):
            with suppress(OSError):
                path.unlink()
        for below in reversed(["", *self.manifest.folder_paths]):  # what is inside a folder goes first
            with suppress(OSError):
                (root / below).rmdir()


def _locked(folder: Path, patience_s: float) -> int | None:
    """An open descriptor that keeps other peers out of `folder` until it is closed, or this process ends.

    None on a system without such locks: there, the caller must take care.
    """
    if fcntl is None:
        return None
    # lock the folder itself and not a file in it: so nothing is left behind, and no name is taken
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(LOCK_AGAIN_S)
                continue
            os.close(descriptor)
            raise LocalError(f"another peer uses {folder}: give each peer a folder of its own") from None
        except OSError:
            pass  # some network file systems can't lock a folder
        return descriptor


def _make_private(folder: Path) -> None:
    """Make `folder`, and those above it that are missing, for its owner alone: nobody else may read private content."""
    for path in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        path.mkdir(0o700, exist_ok=True)


def _plain_bytes(found: os.stat_result) -> int | None:
    """The size of a plain file; None for a folder, -1 for anything else."""
    return found.st_size if stat.S_ISREG(found.st_mode) else None if stat.S_ISDIR(found.st_mode) else -1


def _blame(error: OSError, path: Path) -> MinibitError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        with suppress(OSError):
            if error.errno == errno.ENOSPC and no_inode_left(existing(path)):
                return DiskFullError(f"no more files can be made at {path}, though its disk has room: remove some")
        return DiskFullError(f"no room is left for {path}: {error.strerror}")
    return StoreError(f"can't keep blocks in {path}: {error.strerror}")
