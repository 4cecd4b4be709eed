"""The content where it already lies: a seed reads it in place and never writes.

Each read looks afterwards whether its files are still what they were, so that a neighbour never gets the bytes of a
file that was changed or replaced. A source is for one thread at a time.
"""

from __future__ import annotations

import os
from pathlib import Path

from minibit import inventory
from minibit.actors.disk.files import BlockFiles, mark
from minibit.errors import SourceError
from minibit.manifest import Manifest


class Source:
    """The files at `path`, which must be those of `manifest`."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.held = inventory.full(manifest.block_count)
        self._manifest = manifest
        self._files = BlockFiles(manifest, Path(path).absolute(), os.O_RDONLY)
        try:
            found = [self._files.path(index).stat() for index in range(len(manifest.files))]
        except OSError as error:
            raise SourceError(f"can't share {path}: {error.strerror} ({error.filename})") from None
        if [one.st_size for one in found] != [entry.bytes for entry in manifest.files]:
            raise self._changed(path)
        self._marks = [mark(one) for one in found]

    def read(self, block: int, offset: int = 0, length: int | None = None) -> bytes:
        """Those bytes of `block`; `SourceError` when a file that has them was changed."""
        try:
            try:
                return self._files.read(block, offset, length)
            finally:  # after the read, so that no change slips in between
                for index, _, _ in self._manifest.spans(block, offset, length):
                    if mark(os.fstat(self._files.descriptor(index))) != self._marks[index]:
                        raise self._changed(self._files.path(index))
        except OSError as error:
            raise SourceError(f"can't read {error.filename or self._files.root}: {error.strerror}") from None

    def close(self) -> None:
        self._files.close()

    def _changed(self, path: Path) -> SourceError:
        return SourceError(f"{path} changed while it was shared; start again")
