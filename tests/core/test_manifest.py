"""The manifest: where blocks lie, what names the swarm, and which manifests are refused."""

from __future__ import annotations

import hashlib
import json
import pickle

import msgspec
import pytest
from blake3 import blake3
from hypothesis import example, given
from hypothesis import strategies as st

from minibit.errors import LocalError, RemoteError
from minibit.manifest import UNKNOWN, FileEntry, Manifest, auto_block_bytes, auto_blocks, block_hash


def manifest_of(sizes: list[int], block_bytes: int, **changes: object) -> Manifest:
    files = tuple(FileEntry(f"sub/{index}", size, 0o644) for index, size in enumerate(sizes))
    fields = {"name": "c", "folder": True, "files": files, "block_bytes": block_bytes, "hash": "blake3"}
    blocks = -(-sum(sizes) // block_bytes)
    return Manifest(**{**fields, "digests": bytes(32 * blocks), **changes})


def hashed(blocks: int) -> Manifest:
    """A manifest with digests of so many blocks."""
    return manifest_of([4 * blocks], 4, digests=b"".join(bytes([block + 1]) * 32 for block in range(blocks)))


def with_paths(*paths: str) -> Manifest:
    return manifest_of([], 4, files=tuple(FileEntry(path, 0, 0o644) for path in paths))


def altered(**changes: object) -> bytes:
    """The JSON of a good manifest of one file of 10 bytes, with these fields changed or left out (None)."""
    good = json.loads(Manifest("a", False, (FileEntry("a", 10, 0o644),), 4, "blake3", bytes(96)).encode())
    return json.dumps({key: value for key, value in (good | changes).items() if value is not None}).encode()


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 17), st.data())
def test_the_spans_of_a_block_are_its_bytes_and_no_empty_file(sizes: list[int], block_bytes: int, data: st.DataObject):
    manifest = manifest_of(sizes, block_bytes)
    where = [(index, at) for index, size in enumerate(sizes) for at in range(size)]
    assert manifest.content_bytes == len(where)
    for block in range(manifest.block_count):
        expected = where[block * block_bytes : (block + 1) * block_bytes]
        assert manifest.length(block) == len(expected)
        offset = data.draw(st.integers(0, len(expected)))
        length = data.draw(st.integers(0, len(expected) - offset))
        for spans, bytes_of in (
            (manifest.spans(block), expected),
            (manifest.spans(block, offset), expected[offset:]),
            (manifest.spans(block, offset, length), expected[offset : offset + length]),
        ):
            assert [(index, at + step) for index, at, count in spans for step in range(count)] == bytes_of
            assert all(count for _, _, count in spans)


def test_a_block_in_one_file_is_one_span():
    assert manifest_of([0, 100, 0, 100], 50).spans(2, 10, 20) == [(3, 10, 20)]


def test_empty_content_has_no_block():
    assert manifest_of([], 4).block_count == manifest_of([0, 0], 4).block_count == 0


@pytest.mark.parametrize("block", [-1, 3])
def test_a_block_that_is_not_there_is_the_callers_mistake(block: int):
    with pytest.raises(LocalError, match="no block"):
        manifest_of([10], 4).spans(block)


@pytest.mark.parametrize(("offset", "length"), [(-1, 2), (3, 2), (0, -1), (5, None)])
def test_bytes_beyond_a_block_are_the_callers_mistake(offset: int, length: int | None):
    with pytest.raises(LocalError):
        manifest_of([10], 4).spans(0, offset, length)


def test_a_manifest_survives_json_and_pickle():
    manifest = manifest_of([3, 0, 9], 5, name="música", digests=bytes(range(96)))
    assert Manifest.decode(manifest.encode()) == pickle.loads(pickle.dumps(manifest)) == manifest
    assert Manifest.decode(manifest.encode()).digest == manifest.digest


def test_the_digest_does_not_depend_on_how_the_json_was_spelled():
    data = altered()
    spelled = json.dumps(dict(reversed(json.loads(data).items())), indent=3).encode()
    assert spelled != data
    assert Manifest.decode(spelled).digest == Manifest.decode(data).digest
    assert Manifest.decode(data).digest.startswith("blake3:")


@pytest.mark.parametrize(
    "change",
    [
        {"block_bytes": 5, "digests": None},
        {"hash": "sha256"},
        {"files": [{"path": "a", "bytes": 10, "mode": 0o600}]},
        {"name": "b", "files": [{"path": "b", "bytes": 10, "mode": 0o644}]},
        {"folder": True},
    ],
)
def test_everything_in_a_manifest_is_part_of_its_digest(change: dict):
    if "block_bytes" in change:
        change = {**change, "digests": json.loads(manifest_of([10], 5).encode())["digests"]}
    assert Manifest.decode(altered(**change)).digest != Manifest.decode(altered()).digest


@pytest.mark.parametrize(
    "path",
    [
        *("/a", "a/", "a//b", "", ".", "./a", "a/.", "..", "../a", "a/../b"),
        *("a\\b", "..\\a", "C:a", "c:/a", "d/e:", "a\0b", "x" * 256, "/".join(["y" * 200] * 30)),
    ],
)
def test_a_path_that_could_leave_the_folder_is_refused(path: str):
    with pytest.raises(RemoteError, match="path"):
        Manifest.decode(with_paths(path).encode())


@pytest.mark.parametrize("path", ["a", "a/b", "...", "a b/.c", "..a", "é/ü", "12:30", "x" * 255])
def test_a_plain_path_is_taken(path: str):
    assert Manifest.decode(with_paths(path).encode()).files[0].path == path


@pytest.mark.parametrize("paths", [("a", "b", "a"), ("a", "a/b"), ("a/b/c", "a/b"), ("a/b/c", "a")])
def test_paths_that_exclude_each_other_are_refused(paths: tuple[str, ...]):
    with pytest.raises(RemoteError, match="path"):
        Manifest.decode(with_paths(*paths).encode())


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\\b", "C:", "a\0", "n" * 225])
def test_a_name_that_is_no_plain_file_name_is_refused(name: str):
    with pytest.raises(RemoteError, match="name"):
        Manifest.decode(altered(name=name, files=[{"path": name, "bytes": 10, "mode": 0}]))


@pytest.mark.parametrize(
    "change",
    [
        {"files": [{"path": "a", "bytes": -1, "mode": 0o644}]},
        {"files": [{"path": "a", "bytes": 1 << 70, "mode": 0o644}]},
        {"files": [{"path": "a", "bytes": 1.5, "mode": 0o644}]},
        {"files": [{"path": "a", "bytes": 10, "mode": 0o1000}]},
        {"files": [{"path": "a", "bytes": 10, "mode": -1}]},
        {"files": [{"path": "a", "bytes": 9, "mode": 0o644}], "block_bytes": 3, "digests": "AAAA"},
        {"files": [{"path": "b", "bytes": 10, "mode": 0o644}]},
        {"files": [{"path": "a", "bytes": 10, "mode": 0o644}, {"path": "b", "bytes": 0, "mode": 0o644}]},
        {"files": []},
        {"files": None},
        {"block_bytes": 0},
        {"block_bytes": (64 << 20) + 1},
        {"hash": "md5"},
        {"digests": ""},
        {"digests": "no base64!"},
        {"folder": 1},
        {"more": 1},
        {"folder": True, "files": [{"path": f"{i}", "bytes": 1 << 62, "mode": 0} for i in range(2)]},
    ],
)
def test_a_manifest_that_is_wrong_anywhere_is_refused(change: dict):
    with pytest.raises(RemoteError):
        Manifest.decode(altered(**change))


@given(st.binary(max_size=60))
@example(b"")
@example(b"{}")
@example(b'{"name":"\xff"}')
@example(b"[" * 100_000)
def test_whatever_is_no_manifest_is_refused(data: bytes):
    with pytest.raises(RemoteError):
        Manifest.decode(data)


def test_digests_can_be_filled_in_later_in_any_order():
    whole = hashed(9)
    unhashed = msgspec.structs.replace(whole, digests=UNKNOWN * 9)
    assert (whole.known, unhashed.known, unhashed.block_count) == (0b111111111, 0, 9)
    part = unhashed.with_digests(4, whole.digests[4 * 32 : 7 * 32])
    assert (part.known, part.digest_of(5)) == (0b001110000, whole.digest_of(5))
    assert part.with_digests(0, b"") is part
    again = part.with_digests(0, whole.digests[: 5 * 32]).with_digests(7, whole.digests[7 * 32 :])
    assert (again, again.digest, again.known) == (whole, whole.digest, whole.known)


def test_no_bytes_match_a_digest_that_is_not_known():
    unhashed = msgspec.structs.replace(hashed(1), digests=UNKNOWN)
    assert not unhashed.matches(0, bytes(unhashed.length(0)))


def test_blocks_are_hashed_by_the_hash_that_the_manifest_names():
    data = memoryview(bytes(range(200)))
    assert block_hash("blake3", data) == blake3(data).digest()
    assert block_hash("sha256", data) == hashlib.sha256(data).digest()
    manifest = manifest_of([200], 200, hash="sha256", digests=block_hash("sha256", data))
    assert manifest.matches(0, data)
    assert not manifest.matches(0, data[:199])
    assert not manifest.matches(0, bytes(200))


@given(st.integers(0, 1 << 45), st.none() | st.floats(1, 1e12), st.sampled_from([64, 256]))
def test_auto_blocks_are_few_but_not_too_few_where_their_limits_allow(
    content_bytes: int, slowest_bps: float | None, blocks: int
):
    block_bytes = auto_block_bytes(content_bytes, slowest_bps, blocks)
    assert block_bytes.bit_count() == 1
    assert 16 << 10 <= block_bytes <= 16 << 20
    if blocks * (16 << 10) <= content_bytes <= 16 << 30:
        assert content_bytes / block_bytes >= blocks
        assert block_bytes <= 1 << 20 or content_bytes / block_bytes >= 1_000
    if slowest_bps is not None and block_bytes > max(16 << 10, slowest_bps / 16):  # slow blocks are many
        assert content_bytes / block_bytes >= 1_000


def test_blocks_are_the_fewer_the_more_members_share_a_processor():
    assert [auto_blocks(members) for members in (0.1, 1, 2, 10, 25.5, 1e9)] == [1_000, 1_000, 500, 100, 64, 64]
