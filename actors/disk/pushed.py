"""A copy that a push makes: it appears whole or not at all, in place of an older one.

Blocks are written to `place.partial`. `deliver` marks it, once it is whole and on the disk for good; calls it
`place.new`; gives it the name `place.final` in one step; and removes the old copy. A process may be killed at any
moment: `final` is the old copy or the new one, and the next store at this place does what was left to do.

    new_mark fits `final`   it was swapped in: the mark gets its name, and `new` is old and goes
    new_mark fits `new`     it is whole, and only the swap is missing
    neither                 new_mark and `new` go

Local blocks are used first: those of a partial copy, then those of what is at `final`. A copy there is replaced
unasked if it is ours: the mark is of this very file or folder, and there is nothing in it beside the copy.
"""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path
from threading import Event

import msgspec

from minibit import inventory
from minibit.actors.disk import marks, tree
from minibit.actors.disk.blocks import BlockFiles
from minibit.actors.disk.files import entries
from minibit.actors.disk.lock import Claim
from minibit.actors.disk.marks import Marked
from minibit.actors.disk.place import Place
from minibit.actors.disk.store import READING, Store, blamed
from minibit.actors.disk.swap import swap
from minibit.errors import IntegrityError, LocalError
from minibit.manifest import Manifest, native

FOLDER_MODE = 0o500  # what the owner can do with any folder of a copy: read what is in it


class PushedStore(Store):
    """A copy that a push makes.

    had           the whole copy was there: nothing is written, nothing need be fetched
    resumed       blocks of a partial copy were there
    reused_bytes  copied from the older version that was there
    one_step      False if the file system lacks a swap in one step; None before the swap
    """

    def __init__(self, place: Place, manifest: Manifest, claim: Claim) -> None:
        """Use `PushedStore.open`."""
        super().__init__(place, manifest, claim)
        self.had = False
        self.resumed = False
        self.reused_bytes = 0
        self.one_step: bool | None = None
        self._old: Marked | None = None  # what is known of the copy at `final`, if that is of this mark

    @classmethod
    def open(
        cls, place: Place, manifest: Manifest, *, patience_s: float = 0.0, replace: bool = False, full: bool = False
    ) -> PushedStore:
        """A store at `place`, with all blocks that this disk has already.

        With `full`, a copy that is there is read again, also files that nobody touched. `LocalError` when another push
        writes there, after `patience_s`; when other content is in the way, unless it may be replaced; and for a name
        that this system can't have. `DiskFullError` when there is no room; `StoreError` when the disk fails.
        """
        place = Place(Path(place.final).absolute())
        if os.name == "nt" and (fault := manifest.fault(portable=True)):
            raise LocalError(f"{manifest.name} can't be written on this system: {fault}")
        claim = Claim(patience_s, f"another push writes {place.final}: wait for its end, or cancel it")
        store = cls(place, manifest, claim)
        resumed = True
        try:
            place.final.parent.mkdir(parents=True, exist_ok=True)
            resumed = store._take()
            store._open(resumed=resumed, replace=replace, full=full)
        except BaseException as error:
            blame = blamed(error, place.final)  # before there is room again
            store._leave(erase=not resumed and not store.held)
            raise blame from None
        return store

    def _open(self, *, resumed: bool, replace: bool, full: bool) -> None:
        whole = self._recover()
        if os.path.lexists(self.final):
            self._old = marks.read(self.place)
            if (whole is None or whole.manifest != self.manifest) and self._has_it(full):
                self._keep()
                return
            if not replace and (why := marks.obstacle(self.place, self._old)) is not None:
                raise LocalError(f"{why}: move it away, or let it be replaced")
            if self.final.is_mount():
                raise LocalError(f"{self.final} is a disk of its own, and can't be a copy: use a folder in it")
        if whole is not None and whole.manifest == self.manifest:
            self._take_whole()
            return
        if not os.path.lexists(self.place.partial):
            self._begin()
        self._check_room()
        self._prepare()
        self._files.follow()
        if resumed:
            self.held = self._files.right()
            self.resumed = bool(self.held)
        self._reuse(self.place.new, whole)
        self._reuse(self.final, self._old)
        self._forget_new()

    def finish(self) -> Path:
        """Nothing: a pushed copy gets its name by `deliver`."""
        return self.final

    def deliver(self, full: bool, stopped: Event) -> None:
        """Put the complete copy in its place. It may be called in a thread: reads go on meanwhile.

        With `full`, each byte that was written is read again: `IntegrityError` if any is wrong, and then `held` lacks
        its block. `InterruptedError` soon after `stopped` is set. Errors are otherwise those of `open`.
        """
        assert self.complete, "only a complete copy is delivered"
        if self._finished:
            return
        try:
            if self._files.root == self.place.partial:
                self._finish_partial(full, stopped)
            elif full:
                self._verify(stopped)
            self._swap()
        except InterruptedError:
            raise
        except OSError as error:
            raise blamed(error, self.final) from None

    def _finish_partial(self, full: bool, stopped: Event) -> None:
        """Make the partial copy a whole one."""
        partial, manifest = self.place.partial, self.manifest
        self._files.flags = READING  # nothing is written any more, and some modes forbid it
        if full:
            self._verify(stopped)
        tree.add_names(manifest, partial)
        if tree.found(partial, manifest) != tree.wanted(manifest):
            raise self._spoilt()
        tree.dress(manifest, partial, FOLDER_MODE)
        if stopped.is_set():
            raise InterruptedError
        tree.sync(manifest, partial)
        marks.write_new(self.place, marks.of(manifest, partial))
        partial.rename(self.place.new)
        self._files.root = self.place.new

    def _verify(self, stopped: Event) -> None:
        with closing(BlockFiles(self.manifest, self._files.root, READING)) as files:
            right = files.right(stopped=stopped)
        if right != self.held:
            self.held = right
            if self._files.root == self.place.new:
                self.place.new_mark.unlink()
                self.place.new.rename(self.place.partial)
            raise self._spoilt()

    def _swap(self) -> None:
        """Give the new copy its name, then remove the old one."""
        self.one_step = swap(self.place.new, self.final, self.place.partial)
        marks.settle(self.place)
        self._settle()
        self._remove_old()

    def _spoilt(self) -> IntegrityError:
        return IntegrityError(f"the copy for {self.final} is not what was written: start again to get what is wrong")

    def _recover(self) -> Marked | None:
        """Go on where a process was killed; what is known of a whole copy at `new` that was not swapped in yet."""
        place = self.place
        if (known := marks.read_at(place.new_mark)) is not None:
            if known.manifest != self.manifest and not os.path.lexists(place.final) and known.is_at(place.new):
                place.new.rename(place.final)
            if known.is_at(place.final):
                marks.settle(place)
                with suppress(OSError):
                    tree.remove(place.new)
                return None
            if known.is_at(place.new):
                return known
        self._forget_new()
        return None

    def _forget_new(self) -> None:
        self.place.new_mark.unlink(missing_ok=True)
        tree.remove(self.place.new)

    def _remove_old(self) -> None:
        """Remove what is beside the copy; what can't be removed stays."""
        for path in (self.place.new_mark, self.place.new, self.place.partial):
            with suppress(OSError):
                tree.remove(path)

    def _has_it(self, full: bool) -> bool:
        """Whether the copy at `final` is this content. Files that nobody touched are believed, unless `full`."""
        manifest, old = self.manifest, self._old
        touched = list(range(len(manifest.files)))
        if ours := old is not None and _same(old.manifest, manifest):
            assert old is not None
            if not full:
                touched = old.touched(self.final)
            if not touched:
                return tree.rest_is_there(manifest, self.final)
        seen, wanted = tree.found(self.final, manifest) or {}, tree.wanted(manifest)
        if {path: kind for path, kind in seen.items() if not ours or path in wanted} != wanted:
            return False
        doubtful = inventory.EMPTY
        for index in touched:
            doubtful |= manifest.inventory_of(index)
        with closing(BlockFiles(manifest, self.final, READING)) as files, suppress(OSError):
            right = all(files.digest(block) == manifest.digest_of(block) for block in inventory.indices(doubtful))
            return right and not tree.wrong_twins(manifest, self.final)
        return False

    def _keep(self) -> None:
        """Take the copy at `final` as it is, with the modes and dates of the source."""
        self.had = True
        self.held = inventory.full(self.manifest.block_count)
        self._remove_old()
        tree.dress(self.manifest, self.final, FOLDER_MODE)
        known = marks.of(self.manifest, self.final)
        if self._old is not None and _same(self._old.manifest, self.manifest):
            known = msgspec.structs.replace(known, source=self._old.source)
        if known != self._old:
            marks.write(self.place, known)
        self._settle()

    def _take_whole(self) -> None:
        """Take the whole copy at `new`, which a killed process left."""
        self.resumed = True
        self.held = inventory.full(self.manifest.block_count)
        self._files.root, self._files.flags = self.place.new, READING
        self._files.follow()
        tree.remove(self.place.partial)

    def _erase(self) -> None:
        with suppress(OSError):
            tree.remove(self.place.partial)

    def _prepare(self) -> None:
        """Also remove what is left of another version, or of an end in the middle of `deliver`."""
        partial, manifest = self.place.partial, self.manifest
        if manifest.folder != (partial.is_dir() and not partial.is_symlink()):
            tree.remove(partial)
            self._begin()
        if manifest.folder:
            kinds = {native(entry.path): False for entry in manifest.files}
            kinds |= {native(path): True for path in manifest.folder_paths}
            partial.chmod(0o700)
            for path, entry in [*entries(partial)]:
                with suppress(FileNotFoundError):  # it went with its folder
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if is_folder:
                        Path(entry).chmod(0o700)
                    if kinds.get(path) is not is_folder:
                        tree.remove(Path(entry))
            for file in map(self._files.path, range(len(manifest.files))):
                if os.path.lexists(file) and file.lstat().st_nlink > 1:  # what is written to one were in both
                    file.unlink()
        super()._prepare()

    def _reuse(self, root: Path, old: Marked | None) -> None:
        """Copy the blocks that are missing here and that are at `root`: where the manifest of that copy has them.

        If it has other blocks or nothing is known of it: at the same place in a file of the same name.
        """
        manifest, wanted = self.manifest, dict[bytes, list[int]]()
        there = old.manifest if old is not None else manifest
        if (there.block_bytes, there.hash) != (manifest.block_bytes, manifest.hash):
            there = manifest
        for block in inventory.indices(inventory.full(manifest.block_count) & ~self.held):
            wanted.setdefault(manifest.digest_of(block), []).append(block)
        with closing(BlockFiles(there, root, READING)) as files:
            for block in range(there.block_count if wanted and os.path.lexists(root) else 0):
                if blocks := wanted.get(there.digest_of(block)):
                    with suppress(OSError):
                        self._copy(files.read(block), blocks)

    def _copy(self, data: bytes, blocks: list[int]) -> None:
        for block in blocks:
            if not self.held >> block & 1 and self.verify(block, data):
                self.write(block, data)
                self.reused_bytes += len(data)


def _same(one: Manifest, other: Manifest) -> bool:
    """Whether two manifests are of the same content in the same blocks, whatever its modes and dates."""
    blocks = one.apart, one.block_bytes, one.hash, one.digests
    same = blocks == (other.apart, other.block_bytes, other.hash, other.digests)
    return same and one.folder == other.folder and tree.wanted(one) == tree.wanted(other)
