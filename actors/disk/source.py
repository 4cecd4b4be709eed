"""The content where it already lies: a seed reads it in place and never writes.

A neighbour never gets the bytes of a file that was changed or replaced: blocks of a file that was touched are hashed
again before they go out. A source is for one thread at a time.
"""

from __future__ import annotations

import os
from pathlib import Path

from minibit import inventory
from minibit.actors.disk.blocks import BlockFiles, RightBlocks
from minibit.errors import SourceError
from minibit.manifest import Manifest


class Source:
    """The files at `path`, which must be those of `manifest`. Blocks are held once their digests are known."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.held = manifest.known
        self.manifest = manifest
        self._files = BlockFiles(manifest, Path(path).absolute(), os.O_RDONLY)
        right = inventory.full(manifest.block_count)
        try:
            for index, entry in enumerate(manifest.files):
                found = self._files.path(index).stat()
                if found.st_size != entry.bytes:
                    raise SourceError(f"{self._files.path(index)} changed before it was shared; start again")
                if found.st_mtime_ns != entry.mtime_ns:
                    right &= ~manifest.inventory_of(index)
            self._blocks = RightBlocks(self._files, right)
        except OSError as error:
            raise SourceError(f"can't share {path}: {error.strerror} ({error.filename})") from None

    def read(self, block: int, offset: int = 0, length: int | None = None) -> bytes:
        """Those bytes of `block`; `SourceError` if it is not what it was, or can't be read."""
        try:
            data = self._blocks.read(block, offset, length)
        except OSError as error:
            raise SourceError(f"can't read {self._where(block)}: {error.strerror}") from None
        if data is None:
            raise SourceError(f"{self._where(block)} changed while it was shared")
        return data

    def learn(self, first: int, digests: bytes) -> None:
        """These are the digests of block `first` and those behind it."""
        before = self.manifest.known
        self.manifest = self._files.manifest = self.manifest.with_digests(first, digests)
        self.held |= self.manifest.known & ~before

    def lose(self, block: int) -> None:
        """Hold `block` no more."""
        self.held &= ~(1 << block)

    def close(self) -> None:
        self._files.close()

    def _where(self, block: int) -> str:
        paths = [str(self._files.path(index)) for index, _, _ in self.manifest.spans(block)]
        return f"block {block} of {paths[0]}" if len(paths) == 1 else f"block {block} of {paths[0]} to {paths[-1]}"
