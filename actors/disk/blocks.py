"""The files of some content, read and written by block, and what the disk says of them without their being read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event

from minibit import inventory
from minibit.manifest import HashName, Manifest, hasher, native

OPEN_FILES_MAX = 64
PART_BYTES = 1 << 20  # as much of a block is read and hashed at a time, so that it can be stopped soon
ALL = -1  # as an inventory
FOLLOWS = os.open in os.supports_dir_fd


class BlockFiles:
    """The files of `manifest` below `root`, read and written by block. Errors are the system's own `OSError`."""

    def __init__(self, manifest: Manifest, root: Path, flags: int) -> None:
        self.manifest = manifest
        self.root = root
        self.flags = flags
        self._open: dict[int, int] = {}  # index of a file -> descriptor, the one used last at the end
        self._folder: int | None = None  # descriptor of `root`, where files are opened from there

    def path(self, index: int) -> Path:
        return self.root / native(self.manifest.files[index].path) if self.manifest.folder else self.root

    def follow(self) -> None:
        """From now on, find the files also after `root` was given another name by another thread."""
        if not self.manifest.folder:
            self.descriptor(0)  # the only one: it stays open
        elif FOLLOWS:
            self._folder = os.open(self.root, os.O_RDONLY)

    def descriptor(self, index: int) -> int:
        descriptor = self._open.pop(index, None)
        if descriptor is None:
            if len(self._open) >= OPEN_FILES_MAX:
                os.close(self._open.pop(next(iter(self._open))))
            path = self.path(index) if self._folder is None else native(self.manifest.files[index].path)
            descriptor = os.open(path, self.flags, dir_fd=self._folder)
        self._open[index] = descriptor
        return descriptor

    def read(self, block: int, offset: int = 0, length: int | None = None) -> bytes:
        spans = self.manifest.spans(block, offset, length)
        parts = [_pread(self.descriptor(index), count, at) for index, at, count in spans]
        if any(len(part) < count for part, (_, _, count) in zip(parts, spans, strict=True)):
            raise OSError(errno.EIO, "a file is shorter than its manifest says")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def digest(self, block: int, stopped: Event | None = None) -> bytes:
        """The digest of a block as it lies on the disk; `InterruptedError` soon after `stopped` is set."""
        state = hasher(self.manifest.hash)
        for at in range(0, length := self.manifest.length(block), PART_BYTES):
            if stopped is not None and stopped.is_set():
                raise InterruptedError
            state.update(self.read(block, at, min(PART_BYTES, length - at)))
        return bytes(state.digest())

    def write(self, block: int, data: memoryview) -> None:
        for index, at, count in self.manifest.spans(block):
            part, data = data[:count], data[count:]
            while part:  # a disk that gets full may take a part and refuse the rest
                written = _pwrite(self.descriptor(index), part, at)
                part, at = part[written:], at + written

    def right(self, among: int = ALL, stopped: Event | None = None) -> int:
        """The blocks, of those `among`, that hash right as they lie on the disk; a block that can't be read does not.

        A hole reads as zeros. It is not read: its blocks are right if zeros are what the manifest wants there.
        `InterruptedError` soon after `stopped` is set.
        """
        manifest = self.manifest
        among &= inventory.full(manifest.block_count)
        data, right = self._data(), inventory.EMPTY
        for block in inventory.indices(among & data):
            try:
                if self.digest(block, stopped) == manifest.digest_of(block):
                    right |= 1 << block
            except InterruptedError:
                raise
            except OSError:
                pass
        holes = [*inventory.indices(among & ~data)]
        zeros = _zeros({manifest.length(block) for block in holes}, manifest.hash)
        empty = (block for block in holes if zeros[manifest.length(block)] == manifest.digest_of(block))
        return right | inventory.of(empty)

    def _data(self) -> int:
        """The blocks for which the disk has bytes; all others are holes."""
        data = inventory.EMPTY
        for index, entry in enumerate(self.manifest.files):
            with suppress(OSError):
                for begin, end in _extents(self.descriptor(index), entry.bytes):
                    data |= self.manifest.inventory_of(index, begin, end - begin)
        return data

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None


class RightBlocks:
    """Reads `files` that others may change, and gives right bytes only.

    A file that nobody touched is believed. Once it was touched, each block of it that is asked for costs a hash.
    `right` are the blocks that are right to begin with.
    """

    def __init__(self, files: BlockFiles, right: int) -> None:
        self._files = files
        self._right = right
        self._marks = [mark(files.path(index).stat()) for index in range(len(files.manifest.files))]

    def read(self, block: int, offset: int = 0, length: int | None = None) -> bytes | None:
        """Those bytes, or None if the block isn't right any more; `OSError` if it can't be read."""
        files, end = self._files, None if length is None else offset + length
        if self._untouched(block, offset, length) and self._right >> block & 1:
            data = files.read(block, offset, length)
            if self._untouched(block, offset, length):  # also after the read, so that no change slips in between
                return data
        whole = files.read(block)
        if not files.manifest.matches(block, whole):
            return None
        if self._untouched(block):
            self._right |= 1 << block
        return whole[offset:end]

    def _untouched(self, block: int, offset: int = 0, length: int | None = None) -> bool:
        """Whether the files of these bytes are as they were at the last look; if not, their blocks are doubtful.

        Many small files may share a block: not all of them are looked at for each part of it.
        """
        manifest, untouched = self._files.manifest, True
        for index, _, _ in manifest.spans(block, offset, length):
            found = mark(os.fstat(self._files.descriptor(index)))
            if found != self._marks[index]:
                self._marks[index], untouched = found, False
                self._right &= ~manifest.inventory_of(index)
        return untouched


def mark(found: os.stat_result) -> tuple[int, ...]:
    """A mark that differs once a file was changed or replaced; cheaper than a hash."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino


def _zeros(lengths: set[int], hash: HashName) -> dict[int, bytes]:
    """The digest of so many zeros, for each of these lengths; none is hashed twice."""
    state, hashed, digests = hasher(hash), 0, {}
    for length in sorted(lengths):
        while hashed < length:
            part = min(PART_BYTES, length - hashed)
            state.update(bytes(part))
            hashed += part
        digests[length] = bytes(state.digest())
    return digests


def _pread(descriptor: int, count: int, at: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, at)
    os.lseek(descriptor, at, os.SEEK_SET)  # Windows; these files are for one thread at a time
    return os.read(descriptor, count)


def _pwrite(descriptor: int, data: memoryview, at: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, data, at)
    os.lseek(descriptor, at, os.SEEK_SET)
    return os.write(descriptor, data)


def _extents(descriptor: int, file_bytes: int) -> Iterator[tuple[int, int]]:
    """Where the disk has bytes of a file, and not a hole: (begin, end)."""
    at = 0
    while at < file_bytes:
        try:
            begin = os.lseek(descriptor, at, os.SEEK_DATA)
            end = os.lseek(descriptor, begin, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here on
                return
            begin, end = at, file_bytes
        except AttributeError:  # a system without holes, or one that doesn't tell
            begin, end = at, file_bytes
        if begin < file_bytes:
            yield begin, min(end, file_bytes)
        at = end
