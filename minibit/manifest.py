"""What is shared: the files, the blocks they are cut into, and the digest of every block.

The content is the files one after another, in the order of the manifest, and a block is a slice of
it. A block may span files, and only the last block may be short. Empty content has no block. `fault` finds
nothing wrong with a manifest that was decoded: no path leaves the folder that the content is written to.
This room knows no disk; `minibit.actors.disk.files` makes manifests, `minibit.actors.disk.store` keeps their blocks.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from functools import cached_property
from itertools import accumulate
from typing import Annotated, Any, Literal

import msgspec
from blake3 import blake3

from minibit import inventory
from minibit.errors import LocalError, RemoteError

HashName = Literal["blake3", "sha256"]

DIGEST_BYTES = 32
BLOCK_BYTES_MAX = 64 << 20
BLOCKS_MAX = 1 << 18  # their digests are 8 MiB, and an inventory is 32 KiB for each peer and each of its neighbours
CONTENT_BYTES_MAX = 1 << 62
NAME_BYTES_MAX = 224  # a file name may have 255; the store appends `.minibit-partial` and the like
COMPONENT_BYTES_MAX = 255
PATH_CHARACTERS_MAX = 4_096
DEPTH_MAX = 200  # folders in folders
TIME_NS_MAX = (1 << 63) - 1
AUTO_BLOCKS_MIN = 1_000
AUTO_BLOCK_BYTES = (16 << 10, 16 << 20)


Mode = Annotated[int, msgspec.Meta(ge=0, le=0o777)]


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: its `path` below the content's folder (posix), its size, its permission bits, its last change."""

    path: str
    bytes: Annotated[int, msgspec.Meta(ge=0, le=CONTENT_BYTES_MAX)]
    mode: Mode
    mtime_ns: Annotated[int, msgspec.Meta(ge=-TIME_NS_MAX, le=TIME_NS_MAX)] = 0


class FolderEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One folder: its `path` below the content's folder, "" for that one itself, and its permission bits."""

    path: str
    mode: Mode


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """The content called `name`, a `folder` or one file; `digests` has 32 bytes for each block.

    `folders` has those whose permission bits are known, also empty ones.
    """

    name: str
    folder: bool
    files: tuple[FileEntry, ...]
    block_bytes: Annotated[int, msgspec.Meta(ge=1, le=BLOCK_BYTES_MAX)]
    hash: HashName
    digests: bytes
    folders: tuple[FolderEntry, ...] = ()

    @cached_property
    def _ends(self) -> list[int]:
        """Where each file ends in the content."""
        return list(accumulate(entry.bytes for entry in self.files))

    @cached_property
    def content_bytes(self) -> int:
        return self._ends[-1] if self.files else 0

    @cached_property
    def block_count(self) -> int:
        return -(-self.content_bytes // self.block_bytes)

    @cached_property
    def digest(self) -> str:
        """The name of the swarm; BLAKE3 of the manifest's JSON, whatever hash the blocks have."""
        return f"blake3:{blake3(self.encode()).hexdigest()}"

    def length(self, block: int) -> int:
        """The bytes of `block`; `LocalError` when there is no such block."""
        if not 0 <= block < self.block_count:
            raise LocalError(f"there is no block {block} of {self.name}, which has {self.block_count}")
        return min(self.block_bytes, self.content_bytes - block * self.block_bytes)

    def digest_of(self, block: int) -> bytes:
        """The digest that `block` must have."""
        return self.digests[block * DIGEST_BYTES : (block + 1) * DIGEST_BYTES]

    def matches(self, block: int, data: bytes | bytearray | memoryview) -> bool:
        """Whether these are the bytes of `block`."""
        return len(data) == self.length(block) and block_hash(self.hash, data) == self.digest_of(block)

    def spans(self, block: int, offset: int = 0, length: int | None = None) -> list[tuple[int, int, int]]:
        """Where those bytes of `block` lie: (index of the file, offset in it, bytes), empty files left out."""
        whole = self.length(block)
        if length is None:
            length = whole - offset
        if offset < 0 or length < 0 or offset + length > whole:
            raise LocalError(f"block {block} has {whole} bytes, not {length} from {offset} on")
        start = block * self.block_bytes + offset
        index = bisect_right(self._ends, start)  # the first file that ends beyond `start`
        spans = []
        while length:
            at = start - (self._ends[index] - self.files[index].bytes)
            if count := min(length, self._ends[index] - start):
                spans.append((index, at, count))
            start, length, index = start + count, length - count, index + 1
        return spans

    def inventory_of(self, index: int, at: int = 0, length: int | None = None) -> int:
        """The blocks that have bytes of this part of a file: `length` bytes from `at` on, or all."""
        entry = self.files[index]
        if not (length := entry.bytes - at if length is None else length):
            return inventory.EMPTY
        start = self._ends[index] - entry.bytes + at
        first, last = start // self.block_bytes, (start + length - 1) // self.block_bytes
        return inventory.full(last + 1 - first) << first

    @cached_property
    def folder_paths(self) -> list[str]:
        """The folders below the content's own, each before those in it."""
        paths = {entry.path for entry in self.folders if entry.path}
        for path in [entry.path for entry in self.files] + list(paths):
            while (path := path.rpartition("/")[0]) and path not in paths:
                paths.add(path)
        return sorted(paths)

    def encode(self) -> bytes:
        """The manifest as JSON, always the same bytes for the same manifest."""
        return msgspec.json.encode(self)

    @staticmethod
    def decode(data: bytes | bytearray | memoryview) -> Manifest:
        """The manifest in `data`; `RemoteError` when there is none, or none that can be trusted."""
        try:
            manifest = msgspec.json.decode(data, type=Manifest)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RemoteError(f"not a manifest: {error}") from None
        if fault := manifest.fault():
            raise RemoteError(f"a manifest that can't be trusted: {fault}")
        return manifest

    def fault(self) -> str | None:
        """What is wrong with it, or None; the caller knows which side is to blame."""
        if why := _component_fault(self.name, NAME_BYTES_MAX):
            return f"the name {self.name!r} {why}"
        if not self.folder and [entry.path for entry in self.files] != [self.name]:
            return f"one file that isn't just {self.name!r}"
        if self.folders and not self.folder:
            return "folders beside one file"
        paths: set[str] = set()
        for path in (*(entry.path for entry in self.files), *(entry.path for entry in self.folders if entry.path)):
            if why := _path_fault(path):
                return why
            if path in paths:
                return f"the path {path!r} is there twice"
            paths.add(path)
        if both := {entry.path for entry in self.files}.intersection(self.folder_paths):
            return f"the path {min(both)!r} is a file and a folder"
        if self.content_bytes > CONTENT_BYTES_MAX:
            return f"{self.content_bytes} bytes of content"
        if len(self.digests) != self.block_count * DIGEST_BYTES:
            return f"{len(self.digests)} bytes of digests for {self.block_count} blocks"
        return None


def _path_fault(path: str) -> str | None:
    """Why `path` is no safe path of a file or folder below another."""
    if len(path) > PATH_CHARACTERS_MAX:
        return f"a path of {len(path)} characters"
    parts = path.split("/")
    if len(parts) > DEPTH_MAX:
        return f"the path {'/'.join(parts[:3])}/... is {len(parts)} folders deep, and {DEPTH_MAX} is the most"
    for part in parts:
        if why := _component_fault(part, COMPONENT_BYTES_MAX):
            return f"the path {path!r} {why}"
    return None


def _component_fault(part: str, bytes_max: int) -> str | None:
    """Why `part` is no safe name of a file or folder, here or on another system."""
    if part in ("", ".", ".."):
        return "isn't a plain relative path"
    if "/" in part or "\\" in part or "\0" in part:
        return "holds a slash, a backslash or a NUL"
    if part[1:2] == ":" and part[0].isascii() and part[0].isalpha():
        return "begins with a drive letter"
    try:
        size = len(part.encode())
    except UnicodeEncodeError:  # how Python spells a file name that isn't UTF-8
        return "isn't UTF-8"
    return f"has a name over {bytes_max} bytes" if size > bytes_max else None


def auto_block_bytes(content_bytes: int) -> int:
    """The largest power of two, 16 KiB to 16 MiB, that still cuts the content into 1,000 blocks or more.

    With fewer blocks a swarm spreads slowly, because a peer serves nothing before its first whole one;
    with more it only pays for more messages.
    """
    block_bytes, largest = AUTO_BLOCK_BYTES
    while block_bytes < largest and content_bytes >= 2 * block_bytes * AUTO_BLOCKS_MIN:
        block_bytes *= 2
    return block_bytes


def hasher(name: HashName) -> Any:
    """A hash to be fed with bytes; large ones are hashed without the interpreter's lock."""
    return blake3() if name == "blake3" else hashlib.sha256()


def block_hash(name: HashName, data: bytes | bytearray | memoryview) -> bytes:
    """The 32-byte digest of `data`; large data is hashed without the interpreter's lock."""
    return blake3(data).digest() if name == "blake3" else hashlib.sha256(data).digest()
