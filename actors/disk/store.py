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
from contextlib import closing, suppress
from pathlib import Path

from blake3 import blake3

from minibit import inventory
from minibit.actors.disk import tree
from minibit.actors.disk.blocks import BlockFiles, RightBlocks
from minibit.actors.disk.files import check_room, entries, existing, no_inode_left
from minibit.actors.disk.lock import Claim
from minibit.actors.disk.place import Place
from minibit.errors import DiskFullError, LocalError, StoreError
from minibit.manifest import Manifest, native

OPENED: int = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)  # each is known to some systems
READING = os.O_RDONLY | OPENED
WRITING = os.O_RDWR | OPENED


class Store:
    """A peer's copy of one content: `place.partial`, and `place.final` once finished."""

    def __init__(self, place: Place, manifest: Manifest, claim: Claim) -> None:
        """Use `Store.open`."""
        self.manifest = manifest
        self.held = inventory.EMPTY
        self.place = place
        self._made_folder = False
        self._ours = True  # False: the final copy was there before us, so we never remove it
        self._finished: RightBlocks | None = None
        self._claim = claim
        self._closed = False
        self._files = BlockFiles(manifest, place.partial, WRITING)

    @classmethod
    def open(cls, place: Place, manifest: Manifest, *, patience_s: float = 0.0) -> Store:
        """A store at `place`, whose folder is made if need be. Blocks that an earlier store left there are re-hashed.

        `DiskFullError` when the content has no room; `LocalError` when another peer uses the place, after
        `patience_s`, or if the store would have to overwrite files there; `StoreError` when the disk fails.
        """
        place = Place(Path(place.final).absolute())
        folder = place.final.parent
        claim = Claim(patience_s, f"another peer uses {place.final}: give each peer a folder of its own")
        store = cls(place, manifest, claim)
        try:
            store._made_folder = not folder.exists()
            _make_private(folder)
            resumed = store._take()
        except BaseException as error:
            blame = blamed(error, folder)  # before there is room again
            store._leave(erase=False)
            raise blame from None
        try:
            if os.path.lexists(place.final) and store.verify_all():
                store._adopt()
            else:
                if os.path.lexists(place.final):
                    store.reopen()
                    resumed = True
                store._check_room()
                store._prepare()
                if resumed:
                    store.held = store._files.right()
        except BaseException as error:
            blame = blamed(error, folder)
            store._leave(erase=not resumed and not os.path.lexists(place.final))
            raise blame from None
        return store

    @property
    def folder(self) -> Path:
        """The folder that the copy lies in."""
        return self.place.final.parent

    @property
    def final(self) -> Path:
        """Where the copy lies once it is finished."""
        return self.place.final

    @property
    def _content(self) -> str:
        """What its mark says: the same also when the source got other modes or dates."""
        return blake3(self.manifest.digests).hexdigest()

    @property
    def complete(self) -> bool:
        return self.held == inventory.full(self.manifest.block_count)

    @property
    def finished(self) -> bool:
        """Whether it has its final name."""
        return self._finished is not None

    def learn(self, first: int, digests: bytes) -> None:
        """These are the digests of block `first` and those behind it, which were not known before."""
        self.manifest = self._files.manifest = self.manifest.with_digests(first, digests)

    def verify(self, block: int, data: bytes | bytearray | memoryview) -> bool:
        """The verdict on a block that arrived; no bytes are right as long as its digest is not known."""
        return self.manifest.matches(block, data)

    def write(self, block: int, data: bytes | bytearray | memoryview) -> None:
        """Keep a block that was verified; `DiskFullError` or `StoreError` when the disk doesn't take it."""
        assert not self._finished, "a finished copy is never written"
        assert len(data) == self.manifest.length(block), "only verified blocks are written"
        try:
            self._files.write(block, memoryview(data))
        except OSError as error:
            raise blamed(error, self.place.partial) from None
        self.held |= 1 << block

    def read(self, block: int, offset: int = 0, length: int | None = None) -> bytes:
        """Those bytes of a block that is held; `StoreError` when the disk no longer has them."""
        assert self.held >> block & 1, "only held blocks are read"
        try:
            data = (self._finished or self._files).read(block, offset, length)
        except OSError as error:
            raise blamed(error, self._files.root) from None
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
            tree.add_names(self.manifest, self.place.partial)
            tree.dress(self.manifest, self.place.partial)
            self.place.mark.write_text(self._content)
            self.place.partial.replace(self.final)
        except OSError as error:
            raise blamed(error, self.final) from None
        self._settle()
        return self.final

    def reopen(self) -> None:
        """Make the finished copy, which is wrong, a partial one again, without its wrong blocks once it is opened anew.

        `LocalError` if no store made it, or if there is a partial one beside it.
        """
        if os.path.lexists(self.place.partial) or not self._made_here():
            raise self._in_the_way()
        self._files.close()
        try:
            self.final.rename(self.place.partial)
            self.place.mark.unlink()
        except OSError as error:
            raise blamed(error, self.final) from None
        self._finished = None
        self._files = BlockFiles(self.manifest, self.place.partial, WRITING)

    def verify_all(self) -> bool:
        """Read the finished copy again: True for the same files and folders, sizes and digests, and no other file."""
        if tree.found(self.final, self.manifest) != tree.wanted(self.manifest):
            return False
        with closing(BlockFiles(self.manifest, self.final, READING)) as files:
            right = files.right() == inventory.full(self.manifest.block_count)
        return right and not tree.wrong_twins(self.manifest, self.final)

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
            tree.dress(self.manifest, self.final)  # as the source is now
        self._settle()

    def _made_here(self) -> bool:
        """Whether a store made the copy that has the final name, of these blocks."""
        with suppress(OSError, UnicodeDecodeError):
            return self.place.mark.read_text() == self._content
        return False

    def _in_the_way(self) -> LocalError:
        return LocalError(f"{self.final} is there already and is other content: move it away, or use another folder")

    def _settle(self) -> None:
        """Read the blocks under the final name from now on; open descriptors stay good."""
        self._files.root = self.final
        self._files.flags = READING
        self._finished = RightBlocks(self._files, self.held)

    def _take(self) -> bool:
        """Lock what is at the place, or else a partial copy that is made there; whether there was a partial one."""
        for path in (self.place.partial, self.place.new, self.final):
            self._claim.take(path)
        resumed = os.path.lexists(self.place.partial)
        if not resumed and not os.path.lexists(self.final):
            self._begin()
        return resumed

    def _begin(self) -> None:
        """Make a partial copy that has nothing yet, and lock it."""
        if self.manifest.folder:
            self.place.partial.mkdir(0o700, exist_ok=True)
        else:
            os.close(os.open(self.place.partial, WRITING | os.O_CREAT, 0o600))
        self._claim.take(self.place.partial)

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
            if os.path.lexists(self.place.partial) and not self.place.partial.is_dir():
                raise LocalError(f"{self.place.partial} is no folder: remove it, and start again")
            there = {path for path, _ in entries(self.place.partial)}
            if strangers := there.difference(tree.wanted(manifest)):
                path = self.place.partial / min(strangers)
                raise LocalError(f"{path} is no part of {manifest.name}: remove {self.place.partial}, and start again")
            for below in manifest.folder_paths:
                self.place.partial.joinpath(native(below)).mkdir(0o700, exist_ok=True)
        for index, entry in enumerate(manifest.files):
            path = self._files.path(index)
            try:
                found = path.lstat()
            except FileNotFoundError:
                descriptor = os.open(path, WRITING | os.O_CREAT | os.O_EXCL, 0o600)
            else:
                if not stat.S_ISREG(found.st_mode):
                    raise LocalError(f"{path} is no plain file: remove {self.place.partial}, and start again")
                path.chmod(0o600)  # it was finished before, or a process was killed in the middle of `finish`
                descriptor = os.open(path, self._files.flags)
            try:
                os.ftruncate(descriptor, entry.bytes)
            finally:
                os.close(descriptor)

    def _leave(self, *, erase: bool) -> None:
        self._closed = True
        self._files.close()
        if erase and self._ours:
            self._erase()
        if self._made_folder:
            with suppress(OSError):
                self.folder.rmdir()
        self._claim.close()

    def _erase(self) -> None:
        """Remove the files of the manifest, and the folders that this leaves empty; other files always stay."""
        root, manifest = self._files.root, self.manifest
        leaves = [root / native(path) for path in manifest.leaves] if manifest.folder else [root]
        for path in (self.place.mark, *leaves):
            with suppress(OSError):
                path.unlink()
        for below in reversed(["", *manifest.folder_paths]):  # what is inside a folder goes first
            with suppress(OSError):
                (root / native(below)).rmdir()


def _make_private(folder: Path) -> None:
    """Make `folder`, and those above it that are missing, for its owner alone: nobody else may read private content."""
    for path in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        path.mkdir(0o700, exist_ok=True)


def blamed(error: BaseException, path: Path) -> BaseException:
    """The error of ours that an error of the system stands for, at `path`; any other error as it is."""
    if not isinstance(error, OSError):
        return error
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        with suppress(OSError):
            if error.errno == errno.ENOSPC and no_inode_left(existing(path)):
                return DiskFullError(f"no more files can be made at {path}, though its disk has room: remove some")
        return DiskFullError(f"no room is left for {path}: {error.strerror}")
    if error.errno in (errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG) and error.filename is not None:
        return LocalError(f"the file system of {path} can't have the name {error.filename}: {error.strerror}")
    return StoreError(f"can't keep blocks in {path}: {error.strerror}")
