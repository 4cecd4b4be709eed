"""`NAME.minibit`: what is known of the copy beside it, so that nothing need be read to know what it is.

It has the manifest, and the size, the last change and the inode of each file. A file with the same three is believed to
have the same bytes, as rsync believes it. On the node of the source, it has the same of the source: then a second
push knows the manifest without hashing. A file of that name that this room can't read is as good as none.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from minibit.actors.disk import tree
from minibit.actors.disk.files import Links, entries, unhashed
from minibit.actors.disk.place import Place
from minibit.errors import MinibitError
from minibit.manifest import Manifest, native, spelled

FileMark = tuple[int, int, int]
"""Size in bytes, last change in ns, inode."""


class SourceMark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the source of a copy lies, how its links were taken, and a mark of each file, in the manifest's order."""

    path: str
    links: Links
    files: tuple[FileMark, ...]


class Marked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a copy: its manifest, the inode of the copy itself, a mark of each file, as in the manifest."""

    manifest: Manifest
    inode: int
    files: tuple[FileMark, ...]
    source: SourceMark | None = None

    def touched(self, root: Path) -> list[int]:
        """The files below `root`, by their index, that are not what they were, or not there."""
        return [index for index, seen in enumerate(_marks(self.manifest, root)) if seen != self.files[index]]

    def untouched(self, place: Place) -> bool:
        """Whether the copy at `place` has all that it had, as it was."""
        return not self.touched(place.final) and tree.rest_is_there(self.manifest, place.final)

    def is_of(self, root: Path) -> bool:
        """Whether `root` is the file or folder that was marked, though some of its files may be touched.

        An inode alone says little: a new folder may get that of one that was removed.
        """
        return _inode(root) == self.inode and (not self.files or len(self.touched(root)) < len(self.files))

    def is_at(self, root: Path) -> bool:
        """Whether the copy that was marked lies at `root`, and no file of it was touched."""
        return _inode(root) == self.inode and not self.touched(root)

    def is_source(self, root: Path) -> bool:
        """Whether what lies at `root` was not put there by a push, but pushed from there."""
        with suppress(OSError):
            return self.source is not None and root.samefile(native(self.source.path))
        return False

    def stranger(self, root: Path) -> str | None:
        """Something below `root` that is no part of the copy, or None."""
        if not self.manifest.folder:
            return None
        with suppress(OSError):
            return min({path for path, _ in entries(root)}.difference(tree.wanted(self.manifest)), default=None)
        return None


def read(place: Place) -> Marked | None:
    """What is known of the copy at `place`; None if nothing is."""
    return read_at(place.mark)


def read_at(path: Path) -> Marked | None:
    """What is written at `path`; None if that is nonsense, or nothing."""
    with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        marked = msgspec.json.decode(path.read_bytes(), type=Marked)
        lists = [marked.files] if marked.source is None else [marked.files, marked.source.files]
        if not marked.manifest.fault() and all(len(files) == len(marked.manifest.files) for files in lists):
            return marked
    return None


def obstacle(place: Place, known: Marked | None) -> str | None:
    """Why what lies at `place.final` may not be replaced unasked; None if nothing lies there, or a copy of ours alone.

    `known` is what `read` gave. A copy of ours is the very one that was marked; some of its files may be touched. The
    source of an earlier push is not ours.
    """
    if not os.path.lexists(place.final):
        return None
    if known is None or not known.is_of(place.final) or known.is_source(place.final):
        return f"{place.final} is there already, and no push made it"
    if (stranger := known.stranger(place.final)) is not None:
        return f"{place.final} has {stranger}, which no push put there"
    return None


def of(manifest: Manifest, root: Path) -> Marked:
    """What is known of the copy at `root`, which was just seen to be that of `manifest`."""
    return Marked(manifest, _inode(root), tuple(seen or (0, 0, 0) for seen in _marks(manifest, root)))


def write(place: Place, marked: Marked) -> None:
    """Keep what is known of the copy at `place`; whole or not at all."""
    write_new(place, marked)
    settle(place)


def write_new(place: Place, marked: Marked) -> None:
    """Keep what is known of a copy that is not at `place` yet. A torn one can't be read."""
    descriptor = os.open(place.new_mark, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        left = memoryview(msgspec.json.encode(marked))
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle(place: Place) -> None:
    """What was known of the new copy is known of the copy in its place from now on."""
    place.new_mark.replace(place.mark)
    tree.sync_path(place.final.parent)


def manifest_of_source(
    place: Place, source: Path, *, links: Links = "follow", block_bytes: int | None = None
) -> Manifest | None:
    """The manifest of `source`, if it was remembered beside the copy at `place` and nobody touched the source since.

    None if not, also if it was cut into other blocks than `block_bytes`, where that is given.
    """
    marked = read(place)
    source = Path(os.path.abspath(source))  # noqa: PTH100 - as `scan` has it
    if marked is None or (known := marked.source) is None or known.links != links or native(known.path) != str(source):
        return None
    manifest = marked.manifest
    if block_bytes not in (None, manifest.block_bytes):
        return None
    same = _is_scanned(manifest, source, links) and tuple(_marks(manifest, source)) == known.files
    return manifest if same else None


def remember_source(place: Place, manifest: Manifest, source: Path, *, links: Links = "follow") -> None:
    """Keep beside the copy at `place`, which is of `manifest`, what is known of its source.

    Nothing is kept of a source that changed since it was hashed, and nothing if the disk fails. A source that is the
    copy itself is marked as the copy, too.
    """
    source = Path(os.path.abspath(source))  # noqa: PTH100
    if not _is_scanned(manifest, source, links):
        return
    with suppress(OSError):
        marked = read(place)
        if marked is None or marked.manifest != manifest:
            if _inode(place.final) != _inode(source):
                return
            marked = of(manifest, place.final)
        files = tuple(seen or (0, 0, 0) for seen in _marks(manifest, source))
        known = SourceMark(spelled(str(source)), links, files)
        write(place, msgspec.structs.replace(marked, source=known))


def _is_scanned(manifest: Manifest, source: Path, links: Links) -> bool:
    """Whether a source has the names, sizes, modes and dates that it had when it was hashed."""
    try:
        found, _ = unhashed(source, manifest.block_bytes, manifest.hash, apart=True, links=links)
    except (OSError, MinibitError):
        return False
    return msgspec.structs.replace(found, digests=manifest.digests) == manifest


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _marks(manifest: Manifest, root: Path) -> list[FileMark | None]:
    """The mark of each file as the disk has it now; None for one that isn't there."""
    return [_mark(f"{root}/{native(entry.path)}" if manifest.folder else str(root)) for entry in manifest.files]


def _mark(path: str) -> FileMark | None:
    try:
        seen = os.stat(path)  # noqa: PTH116 - ten thousand of them in a moment
    except OSError:
        return None
    return seen.st_size, seen.st_mtime_ns, seen.st_ino
