"""A peer's own copy of the content, written block by block.

Blocks are never mapped into memory. A block is received in a private buffer, verified, then written with
pwrite; a send is a pread. A map of a sparse file on a full disk, or of a file that another program shortens,
kills the process with SIGBUS; and with a map, bytes that fail their hash have already touched the file.

Invariant: `held` names only blocks that were written here after they were verified, or that hashed right in
the partial file when it was opened. The state file only says which blocks to re-hash and proves nothing. So this
room never calls fsync, and a crash costs a re-hash.

Blocks of content in many files share a few open files, so a store is for one thread at a time (`verify` and
`verify_all` are for any).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from minibit import inventory
from minibit.actors.disk.files import BlockFiles, check_room, entries
from minibit.errors import DiskFullError, LocalError, MinibitError, RemoteError, StoreError
from minibit.manifest import Manifest


class _State(msgspec.Struct, frozen=True):
    """The state file: the blocks `held` (written as in an ESTOQUE) of the content with the digest `manifest`."""

    manifest: str
    held: str


class Store:
    """A peer's copy of one content, alone in its folder: `NAME.minibit-partial`, and `NAME` once finished."""

    def __init__(self, folder: Path, manifest: Manifest, *, made_folder: bool, lock: int) -> None:
        """Use `Store.open`."""
        self.manifest = manifest
        self.held = inventory.EMPTY
        self.folder = folder
        self.final = folder / manifest.name
        self._partial = folder / f"{manifest.name}.minibit-partial"
        self._state = folder / f"{manifest.name}.minibit-state"
        self._saved: int | None = None
        self._made_folder = made_folder
        self._ours = True  # False: the final copy was there before us, so we never remove it
        self._finished = False
        self._lock: int | None = lock
        self._files = BlockFiles(manifest, self._partial, os.O_RDWR | os.O_NOFOLLOW)

    @classmethod
    def open(cls, folder: Path, manifest: Manifest) -> Store:
        """A store in `folder`, which is made if need be. Blocks that an earlier store left there are re-hashed.

        `DiskFullError` when the content has no room; `LocalError` when another peer uses the folder, or if the
        store would have to overwrite files there; `StoreError` when the disk fails.
        """
        folder = Path(folder).absolute()
        try:
            made_folder = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            store = cls(folder, manifest, made_folder=made_folder, lock=_locked(folder))
        except OSError as error:
            raise _blame(error, folder) from None
        resumed = os.path.lexists(store._partial)
        try:
            if os.path.lexists(store.final):
                store._adopt()
            else:
                store._check_room()
                listed = store._listed() if store._prepare() else inventory.full(manifest.block_count)
                if resumed:
                    store.held = store._files.right(listed)
        except BaseException as error:
            store._leave(erase=not resumed and not os.path.lexists(store.final))
            if isinstance(error, OSError):
                raise _blame(error, folder) from None
            raise
        return store

    @property
    def complete(self) -> bool:
        return self.held == inventory.full(self.manifest.block_count)

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
            return self._files.read(block, offset, length)
        except OSError as error:
            raise _blame(error, self._files.root) from None

    def save(self) -> bool:
        """Note in the state file what is held; False when that fails, which only costs the next start a re-hash."""
        if self._finished or self._saved == self.held:
            return True
        state = _State(manifest=self.manifest.digest, held=inventory.to_hex(self.held))
        new = self._state.with_name(f"{self._state.name}.new")
        try:
            new.write_bytes(msgspec.json.encode(state))
            new.replace(self._state)
        except OSError:
            _unlink(new)
            return False
        self._saved = self.held
        return True

    def finish(self) -> Path:
        """Give the complete copy its modes and its name; reads go on. `LocalError` when the name is taken."""
        assert self.complete, "only a complete copy is finished"
        if self._finished:
            return self.final
        if os.path.lexists(self.final):
            raise self._in_the_way()
        try:
            for index, entry in enumerate(self.manifest.files):
                self._files.path(index).chmod(entry.mode | stat.S_IRUSR)  # its owner must be able to verify it
            self._partial.replace(self.final)
        except OSError as error:
            raise _blame(error, self.final) from None
        self._settle()
        return self.final

    def verify_all(self) -> bool:
        """Read the finished copy again: True for the same files, sizes and digests, and no other file."""
        expected = {entry.path: (True, entry.bytes) for entry in self.manifest.files}
        try:
            if self.manifest.folder:
                found = {path: entry.stat(follow_symlinks=False) for path, entry in entries(self.final)}
            else:
                found = {self.manifest.name: self.final.lstat()}
        except OSError:
            return False
        if {path: (stat.S_ISREG(one.st_mode), one.st_size) for path, one in found.items()} != expected:
            return False
        everything = inventory.full(self.manifest.block_count)
        with closing(BlockFiles(self.manifest, self.final, os.O_RDONLY | os.O_NOFOLLOW)) as files:
            return files.right(everything) == everything

    def close(self) -> None:
        """Save, and close everything; a later store can resume what is held."""
        if self._lock is not None:
            self.save()
            self._leave(erase=False)

    def discard(self) -> None:
        """Close, and remove what this peer made: its partial or finished copy, its state, its folder if empty."""
        if self._lock is not None:
            self._leave(erase=True)

    def _adopt(self) -> None:
        """Take the copy that has the final name already; `LocalError` if it is other content."""
        if not self.verify_all():
            raise self._in_the_way()
        self.held = inventory.full(self.manifest.block_count)
        self._ours = False
        self._settle()

    def _in_the_way(self) -> LocalError:
        return LocalError(f"{self.final} is there already and is other content: move it away, or use another folder")

    def _settle(self) -> None:
        """Read the blocks under the final name from now on; open descriptors stay good."""
        self._files.root = self.final
        self._files.flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        self._finished = True
        _unlink(self._state)

    def _check_room(self) -> None:
        there = 0
        for index in range(len(self.manifest.files)):
            with suppress(OSError):
                there += self._files.path(index).lstat().st_blocks * 512
        need_bytes = self.manifest.content_bytes - there
        check_room(need_bytes, self.folder, self.manifest.name, "make room there, or use another folder")

    def _prepare(self) -> bool:
        """Make missing partial files and set all sizes; True when all files were there and had their sizes."""
        sizes_kept = True
        if self.manifest.folder:
            if os.path.lexists(self._partial) and not self._partial.is_dir():
                raise LocalError(f"{self._partial} is no folder: remove it, and start again")
            self._partial.mkdir(exist_ok=True)
            if strangers := {path for path, _ in entries(self._partial)} - {e.path for e in self.manifest.files}:
                path = self._partial / min(strangers)
                raise LocalError(f"{path} is no part of {self.manifest.name}: remove {self._partial}, and start again")
        for index, entry in enumerate(self.manifest.files):
            path = self._files.path(index)
            if "/" in entry.path:
                path.parent.mkdir(parents=True, exist_ok=True)
            try:
                found = path.lstat()
            except FileNotFoundError:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
                size = -1
            else:
                if not stat.S_ISREG(found.st_mode):
                    raise LocalError(f"{path} is no plain file: remove {self._partial}, and start again")
                path.chmod(0o600)  # a process killed in the middle of `finish` may have left it read-only
                descriptor = os.open(path, self._files.flags)
                size = found.st_size
            try:
                if size != entry.bytes:
                    os.ftruncate(descriptor, entry.bytes)
                    sizes_kept = False
            finally:
                os.close(descriptor)
        return sizes_kept

    def _listed(self) -> int:
        """The blocks that the state file lists; all of them when it says nothing about this content."""
        with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError, RemoteError):
            state = msgspec.json.decode(self._state.read_bytes(), type=_State)
            if state.manifest == self.manifest.digest:
                return inventory.from_hex(state.held, self.manifest.block_count)
        return inventory.full(self.manifest.block_count)

    def _leave(self, *, erase: bool) -> None:
        self._files.close()
        if erase:
            if self._ours:
                self._erase()
            _unlink(self._state)
            if self._made_folder:
                with suppress(OSError):
                    self.folder.rmdir()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _erase(self) -> None:
        """Remove the files of the manifest, and the folders that this leaves empty; other files always stay."""
        root = self._files.root
        folders = {root}
        for index in range(len(self.manifest.files)):
            path = self._files.path(index)
            _unlink(path)
            folders.update(parent for parent in path.parents if parent.is_relative_to(root))
        for folder in sorted(folders, reverse=True):  # what is inside a folder goes first
            with suppress(OSError):
                folder.rmdir()


def _locked(folder: Path) -> int:
    """An open descriptor that keeps other peers out of `folder` until it is closed, or this process ends."""
    # lock the folder itself and not a file in it: so nothing is left behind, and no name is taken
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LocalError(f"another peer uses {folder}: give each peer a folder of its own") from None
    except OSError:
        pass  # some network file systems can't lock a folder; there, the caller must take care
    return descriptor


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _blame(error: OSError, path: Path) -> MinibitError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(f"no room is left for {path}: {error.strerror}")
    return StoreError(f"can't keep blocks in {path}: {error.strerror}")
