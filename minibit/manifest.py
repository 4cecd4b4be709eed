"""What is shared: the files, the blocks they are cut into, and the digest of every block.

The content is the files one after another, in the order of the manifest, and a block is a slice of
it. A block may span files, and only the last block may be short. Empty content has no block. `fault` finds
nothing wrong with a manifest that was decoded: no path leaves the folder that the content is written to.
This room knows no disk; `minibit.actors.disk.files` makes manifests, `minibit.actors.disk.store` keeps their blocks.

In a manifest whose files are `apart`, as that of a push, blocks begin anew at each file, and only files smaller than a
block share one. So a change in one file moves its own blocks and not all behind them. Files that share a block end
it early at some of their names, however many are before them: so one more or less moves few blocks.

A path is text, as JSON is. What isn't UTF-8 in a name on a disk is spelled `\\xff`, and a backslash twice. Only
manifests that are apart have such names: `spelled` and `native` are the two directions.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Annotated, Any, Literal
from zlib import crc32

import msgspec
from blake3 import blake3

from minibit import inventory
from minibit.errors import LocalError, RemoteError

HashName = Literal["blake3", "sha256"]

DIGEST_BYTES = 32
UNKNOWN = bytes(DIGEST_BYTES)  # the digest of a block that is not hashed yet
BLOCK_BYTES_MAX = 64 << 20
BLOCKS_MAX = 1 << 18  # their digests are 8 MiB, and an inventory is 32 KiB for each peer and each of its neighbours
CONTENT_BYTES_MAX = 1 << 62
NAME_BYTES_MAX = 224  # a file name may have 255; the store appends `.minibit-partial` and the like
COMPONENT_BYTES_MAX = 255
PATH_CHARACTERS_MAX = 4_096
DEPTH_MAX = 200  # folders in folders
TIME_NS_MAX = (1 << 63) - 1
AUTO_BLOCK_BYTES = (16 << 10, 16 << 20)
MESSAGES_BYTES = 1 << 20  # beside a block of this size its messages cost little
BLOCK_S = 1 / 16  # a block that takes no longer may be large
FEWEST_BLOCKS, MOST_BLOCKS = 64, 1_000  # so many a swarm needs; more than those make it hardly faster


Mode = Annotated[int, msgspec.Meta(ge=0, le=0o777)]


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: its `path` below the content's folder (posix), its size, its permission bits, its last change."""

    path: str
    bytes: Annotated[int, msgspec.Meta(ge=0, le=CONTENT_BYTES_MAX)]
    mode: Mode
    mtime_ns: Annotated[int, msgspec.Meta(ge=-TIME_NS_MAX, le=TIME_NS_MAX)] = 0


class FolderEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One folder: its `path` below the content's folder, "" for that one itself, its permission bits, its last change.

    None: its last change is of no interest.
    """

    path: str
    mode: Mode
    mtime_ns: Annotated[int, msgspec.Meta(ge=-TIME_NS_MAX, le=TIME_NS_MAX)] | None = None


class TwinEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One more `path` of a file: that whose path is `of`. Its bytes travel once."""

    path: str
    of: str


class LinkEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One symbolic link: its `path`, and the relative path that it leads to, which stays in the content's folder."""

    path: str
    target: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True, omit_defaults=True):
    """The content called `name`, a `folder` or one file; `digests` has 32 bytes for each block, or `UNKNOWN`.

    folders  those whose permission bits are known, also empty ones
    apart    whether blocks begin anew at each file that has a block's bytes or more
    twins    more paths of the files, where they are apart
    links    symbolic links, where files are apart
    """

    name: str
    folder: bool
    files: tuple[FileEntry, ...]
    block_bytes: Annotated[int, msgspec.Meta(ge=1, le=BLOCK_BYTES_MAX)]
    hash: HashName
    digests: bytes
    folders: tuple[FolderEntry, ...] = msgspec.field(default_factory=lambda: ())  # written also if empty
    apart: bool = False
    twins: tuple[TwinEntry, ...] = ()
    links: tuple[LinkEntry, ...] = ()

    @cached_property
    def _ends(self) -> list[int]:
        """Where each file ends in the content."""
        return list(accumulate(entry.bytes for entry in self.files))

    @cached_property
    def content_bytes(self) -> int:
        return self._ends[-1] if self.files else 0

    @cached_property
    def _cuts(self) -> tuple[list[int], list[int]]:
        """Where blocks begin anew, and the end of all: (the block of each such place, its byte in the content)."""
        if not self.apart:
            return [0, -(-self.content_bytes // self.block_bytes)], [0, self.content_bytes]
        blocks, starts = [], []
        block = at = room = 0  # room: what the block that small files share may still take
        for entry in self.files:
            large = entry.bytes >= self.block_bytes
            if entry.bytes and (large or entry.bytes > room or self._ends_a_block(entry)):
                blocks.append(block)
                starts.append(at)
                block += -(-entry.bytes // self.block_bytes)
                room = 0 if large else self.block_bytes
            at += entry.bytes
            room -= 0 if large else entry.bytes
        return [*blocks, block], [*starts, at]

    def _ends_a_block(self, small: FileEntry) -> bool:
        """Whether a small file begins a block though the one before has room: by its name, once in a block's bytes."""
        return crc32(small.path.encode()) * self.block_bytes < small.bytes << 32

    @cached_property
    def block_count(self) -> int:
        return self._cuts[0][-1]

    @property
    def length_max(self) -> int:
        """No block has more bytes."""
        return min(self.block_bytes, self.content_bytes)

    def bytes_of(self, held: int) -> int:
        """The bytes of these blocks (an inventory)."""
        lacking = sum(self.block_bytes - self.length(block) for block in inventory.indices(held & self._short))
        return held.bit_count() * self.block_bytes - lacking

    @cached_property
    def _short(self) -> int:
        """The blocks that are shorter than others."""
        places = [*zip(*self._cuts, strict=True)]
        return inventory.of(block - 1 for (_, at), (block, end) in pairwise(places) if (end - at) % self.block_bytes)

    def _reach(self, block: int) -> tuple[int, int]:
        """Where `block` begins in the content, and where it ends; `LocalError` when there is no such block."""
        if not 0 <= block < self.block_count:
            raise LocalError(f"there is no block {block} of {self.name}, which has {self.block_count}")
        blocks, starts = self._cuts
        cut = bisect_right(blocks, block) - 1
        begin = starts[cut] + (block - blocks[cut]) * self.block_bytes
        return begin, min(begin + self.block_bytes, starts[cut + 1])

    def _block_at(self, at: int) -> int:
        """The block that has this byte of the content."""
        blocks, starts = self._cuts
        cut = bisect_right(starts, at) - 1
        return blocks[cut] + (at - starts[cut]) // self.block_bytes

    @cached_property
    def digest(self) -> str:
        """The name of the swarm; BLAKE3 of the manifest's JSON, whatever hash the blocks have."""
        return f"blake3:{blake3(self.encode()).hexdigest()}"

    @cached_property
    def bytes_digest(self) -> str:
        """The same for all content with the same bytes in the same blocks under the same names."""
        files = [(file.path, file.bytes) for file in self.files]
        named = msgspec.json.encode((files, self.twins, self.links, self.block_bytes, self.hash))
        return f"blake3:{blake3(named + self.digests).hexdigest()}"

    def length(self, block: int) -> int:
        """The bytes of `block`; `LocalError` when there is no such block."""
        begin, end = self._reach(block)
        return end - begin

    def digest_of(self, block: int) -> bytes:
        """The digest that `block` must have."""
        return self.digests[block * DIGEST_BYTES : (block + 1) * DIGEST_BYTES]

    @cached_property
    def known(self) -> int:
        """The blocks whose digests are known (an inventory)."""
        if UNKNOWN not in self.digests:
            return inventory.full(self.block_count)
        return inventory.of(block for block in range(self.block_count) if self.digest_of(block) != UNKNOWN)

    def with_digests(self, first: int, digests: bytes) -> Manifest:
        """The same content, where these are the digests of block `first` and those behind it; all of them are known."""
        if not digests:
            return self
        at = first * DIGEST_BYTES
        found = msgspec.structs.replace(self, digests=self.digests[:at] + digests + self.digests[at + len(digests) :])
        found.__dict__["known"] = self.known | inventory.full(len(digests) // DIGEST_BYTES) << first
        found.__dict__.update({name: self.__dict__[name] for name in _OF_THE_CUT & self.__dict__.keys()})
        return found

    def matches(self, block: int, data: bytes | bytearray | memoryview) -> bool:
        """Whether these are the bytes of `block`."""
        return len(data) == self.length(block) and block_hash(self.hash, data) == self.digest_of(block)

    def spans(self, block: int, offset: int = 0, length: int | None = None) -> list[tuple[int, int, int]]:
        """Where those bytes of `block` lie: (index of the file, offset in it, bytes), empty files left out."""
        begin, end = self._reach(block)
        whole = end - begin
        if length is None:
            length = whole - offset
        if offset < 0 or length < 0 or offset + length > whole:
            raise LocalError(f"block {block} has {whole} bytes, not {length} from {offset} on")
        start = begin + offset
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
        first, last = self._block_at(start), self._block_at(start + length - 1)
        return inventory.full(last + 1 - first) << first

    @property
    def leaves(self) -> list[str]:
        """The paths of all that is no folder."""
        return [entry.path for entries in (self.files, self.twins, self.links) for entry in entries]

    @cached_property
    def folder_paths(self) -> list[str]:
        """The folders below the content's own, each before those in it."""
        paths = {entry.path for entry in self.folders if entry.path}
        for path in (*self.leaves, *paths):
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

    def fault(self, *, portable: bool = False) -> str | None:
        """What is wrong with it, or None; the caller knows which side is to blame.

        `portable`: also names that only some systems can have are wrong, as they always are unless files are apart.
        """
        portable = portable or not self.apart
        if why := _component_fault(self.name, NAME_BYTES_MAX, portable):
            return f"the name {self.name!r} {why}"
        if not self.folder and [entry.path for entry in self.files] != [self.name]:
            return f"one file that isn't just {self.name!r}"
        if (self.folders or self.twins or self.links) and not self.folder:
            return "folders, twins or links beside one file"
        if (self.twins or self.links) and not self.apart:
            return "twins or links of files that are not apart"
        paths: set[str] = set()
        for path in (*self.leaves, *(entry.path for entry in self.folders if entry.path)):
            if why := _path_fault(path, portable):
                return why
            if path in paths:
                return f"the path {path!r} is there twice"
            paths.add(path)
        if both := set(self.leaves).intersection(self.folder_paths):
            return f"the path {min(both)!r} is a file and a folder"
        if strays := {twin.of for twin in self.twins}.difference(entry.path for entry in self.files):
            return f"the twin of {min(strays)!r}, which isn't there"
        if lost := [link.path for link in self.links if not stays_inside(link)]:
            return f"the link {lost[0]!r} leads out of the folder"
        if self.content_bytes > CONTENT_BYTES_MAX:
            return f"{self.content_bytes} bytes of content"
        if len(self.digests) != self.block_count * DIGEST_BYTES:
            return f"{len(self.digests)} bytes of digests for {self.block_count} blocks"
        return None


_OF_THE_CUT = {"_ends", "_cuts", "_short", "content_bytes", "block_count", "folder_paths"}
"""What is worked out once, and does not depend on digests."""

_SPELLED = re.compile(r"\\(\\|x[89a-f][0-9a-f])")


def spelled(name: str) -> str:
    """A name or path of this system as a manifest that is apart spells it."""
    if name.isascii() and "\\" not in name:
        return name
    return name.replace("\\", "\\\\").encode(errors="surrogateescape").decode(errors="backslashreplace")


def native(path: str) -> str:
    """The name or path of this system that a manifest spells `path`."""
    if "\\" not in path:
        return path
    return _SPELLED.sub(lambda found: "\\" if len(found[1]) == 1 else chr(0xDC00 + int(found[1][1:], 16)), path)


def stays_inside(link: LinkEntry) -> bool:
    """Whether a link leads to something in the content's folder, also if it leads to other links of that kind.

    It may go up only at its beginning, where the folders that it goes up are no links: there, `..` is sure.
    """
    parts = link.target.split("/")
    ups = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    inside = ups <= link.path.count("/") and ".." not in parts[ups:] and parts[0] != ""
    return inside and "\0" not in link.target and spelled(native(link.target)) == link.target


def _path_fault(path: str, portable: bool) -> str | None:
    """Why `path` is no safe path of a file or folder below another."""
    if len(path) > PATH_CHARACTERS_MAX:
        return f"a path of {len(path)} characters"
    parts = path.split("/")
    if len(parts) > DEPTH_MAX:
        return f"the path {'/'.join(parts[:3])}/... is {len(parts)} folders deep, and {DEPTH_MAX} is the most"
    for part in parts:
        if why := _component_fault(part, COMPONENT_BYTES_MAX, portable):
            return f"the path {path!r} {why}"
    return None


def _component_fault(part: str, bytes_max: int, portable: bool) -> str | None:
    """Why `part` is no safe name of a file or folder, here or, where it must be `portable`, on another system."""
    if part in ("", ".", ".."):
        return "isn't a plain relative path"
    if "/" in part or "\0" in part or (portable and "\\" in part):
        return "holds a slash, a backslash or a NUL"
    if portable and part[1:2] == ":" and part[0].isascii() and part[0].isalpha():
        return "begins with a drive letter"
    try:
        size = len(native(part).encode(errors="strict" if portable else "surrogateescape"))
    except UnicodeEncodeError:  # how Python spells a file name that isn't UTF-8
        return "isn't UTF-8"
    if not portable and spelled(native(part)) != part:
        return "is spelled in two ways"
    return f"has a name over {bytes_max} bytes" if size > bytes_max else None


def auto_blocks(members_a_processor: float) -> int:
    """How many blocks content should have where so many members of the swarm share a processor.

    More blocks spread faster, but each costs messages: a member with a processor of its own has time for them.
    """
    return max(FEWEST_BLOCKS, int(MOST_BLOCKS / max(1.0, members_a_processor)))


def auto_block_bytes(content_bytes: int, slowest_bps: float | None = None, blocks: int = FEWEST_BLOCKS) -> int:
    """The bytes of a block, a power of two from 16 KiB to 16 MiB, by the size of the content and the least known limit.

    A peer serves nothing before its first whole block, so a swarm spreads faster with more blocks: there are as many
    as `blocks` says. But a block costs messages, as much as a quarter of a MiB of bytes: up to 1,000 have 1 MiB each.
    Where a limit is known, in bytes a second, a block that takes longer than `BLOCK_S` is one of 1,000 at least.
    """
    few, many = _power(content_bytes / blocks), _power(content_bytes / MOST_BLOCKS)
    quick = MESSAGES_BYTES if slowest_bps is None else _power(slowest_bps * BLOCK_S)
    return max(many, min(few, quick, MESSAGES_BYTES))


def _power(most_bytes: float) -> int:
    """The largest automatic size of that much at most."""
    least, largest = AUTO_BLOCK_BYTES
    return min(largest, max(least, 1 << max(1, int(most_bytes)).bit_length() - 1))


def hasher(name: HashName) -> Any:
    """A hash to be fed with bytes; large ones are hashed without the interpreter's lock."""
    return blake3() if name == "blake3" else hashlib.sha256()


def block_hash(name: HashName, data: bytes | bytearray | memoryview) -> bytes:
    """The 32-byte digest of `data`; large data is hashed without the interpreter's lock."""
    return blake3(data).digest() if name == "blake3" else hashlib.sha256(data).digest()
