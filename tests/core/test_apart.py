"""Manifests whose files are apart: where blocks begin anew, what moves when a file changes, names, twins and links."""

from __future__ import annotations

import os
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibit import inventory
from minibit.errors import RemoteError
from minibit.manifest import FileEntry, FolderEntry, LinkEntry, Manifest, TwinEntry, native, spelled, stays_inside


def apart(sizes: list[int], block_bytes: int, names: list[str] | None = None, **more: object) -> Manifest:
    names = names or [f"{index:04}" for index in range(len(sizes))]
    files = tuple(FileEntry(name, size, 0o644) for name, size in zip(names, sizes, strict=True))
    manifest = Manifest("c", True, files, block_bytes, "blake3", b"", apart=True, **more)
    fields = {name: getattr(manifest, name) for name in manifest.__struct_fields__}
    return Manifest(**{**fields, "digests": bytes(32 * manifest.block_count)})


@given(st.lists(st.integers(0, 60), max_size=14), st.integers(1, 25), st.integers())
def test_the_blocks_of_files_that_are_apart_have_each_byte_once_and_in_order(
    sizes: list[int], block_bytes: int, seed: int
):
    rng = Random(seed)
    manifest = apart(sizes, block_bytes)
    assert manifest.fault() is None
    found = [
        (index, at + step)
        for block in range(manifest.block_count)
        for index, at, count in manifest.spans(block)
        for step in range(count)
    ]
    assert found == [(index, at) for index, size in enumerate(sizes) for at in range(size)]
    lengths = [manifest.length(block) for block in range(manifest.block_count)]
    assert sum(lengths) == manifest.content_bytes
    assert all(0 < length <= manifest.length_max <= block_bytes for length in lengths)
    for block, length in enumerate(lengths):
        files = {index for index, _, _ in manifest.spans(block)}
        assert len(files) == 1 or all(sizes[index] < block_bytes for index in files), "a large file shares no block"
        offset = rng.randint(0, length)
        count = rng.randint(0, length - offset)
        part = [(i, at + step) for i, at, n in manifest.spans(block, offset, count) for step in range(n)]
        assert part == [(i, at + step) for i, at, n in manifest.spans(block) for step in range(n)][offset:][:count]
    for index, size in enumerate(sizes):
        at = rng.randint(0, size)
        count = rng.randint(0, size - at)
        blocks = {
            block
            for block in range(manifest.block_count)
            for file, start, n in manifest.spans(block)
            if count and file == index and start < at + count and at < start + n
        }
        assert manifest.inventory_of(index, at, count) == inventory.of(blocks)
    held = rng.getrandbits(manifest.block_count)
    assert manifest.bytes_of(held) == sum(lengths[block] for block in inventory.indices(held))


@given(st.lists(st.integers(0, 60), max_size=14), st.integers(1, 25), st.integers())
def test_the_bytes_of_some_blocks_of_any_content_are_the_sum_of_theirs(sizes: list[int], block_bytes: int, seed: int):
    blocks = -(-sum(sizes) // block_bytes)
    files = tuple(FileEntry(f"{index}", size, 0o644) for index, size in enumerate(sizes))
    manifest = Manifest("c", True, files, block_bytes, "blake3", bytes(32 * blocks))
    held = Random(seed).getrandbits(blocks)
    assert manifest.bytes_of(held) == sum(manifest.length(block) for block in inventory.indices(held))


def test_blocks_of_small_files_are_not_much_smaller_than_others():
    manifest = apart([1_000] * 10_000, 1 << 16)
    assert manifest.block_count < 2.2 * manifest.content_bytes / manifest.block_bytes


@pytest.mark.parametrize("change", ["added", "removed", "longer"])
def test_one_small_file_more_or_less_moves_few_blocks(change: str):
    sizes = {f"{Random(index).random():.6f}": 50 + index % 900 for index in range(3_000)}
    moved = []
    for number in range(40):
        name = sorted(sizes)[number * 70]
        other = dict(sizes)
        if change == "added":
            other[name + "-"] = 333
        elif change == "removed":
            del other[name]
        else:
            other[name] += 200
        before, after = (_contents(one, 1 << 14) for one in (sizes, other))
        moved.append(len(after - before))
    assert max(moved) <= 12
    assert sum(moved) / len(moved) < 3
    assert len(before) > 90


def _contents(sizes: dict[str, int], block_bytes: int) -> set[tuple[object, ...]]:
    """What is in each block: names, where they begin, how much of them."""
    names = sorted(sizes)
    manifest = apart([sizes[name] for name in names], block_bytes, names)
    return {
        tuple((names[index], sizes[names[index]], at, count) for index, at, count in manifest.spans(block))
        for block in range(manifest.block_count)
    }


def test_a_file_that_has_a_block_s_bytes_begins_and_ends_one():
    manifest = apart([10, 100, 10, 250, 10, 10], 100)
    firsts = [manifest.spans(block)[0][:2] for block in range(manifest.block_count)]
    assert [first for first in firsts if first[0] in (1, 3)] == [(1, 0), (3, 0), (3, 100), (3, 200)]
    assert [manifest.length(block) for block in inventory.indices(manifest.inventory_of(3))] == [100, 100, 50]


def test_a_huge_file_in_tiny_blocks_is_judged_in_a_moment():
    hostile = Manifest("c", True, (FileEntry("a", 1 << 62, 0o644),), 1, "blake3", b"", apart=True)
    assert hostile.fault() == f"0 bytes of digests for {1 << 62} blocks"


def test_what_only_a_push_has_is_not_written_into_other_manifests():
    plain = Manifest("c", True, (), 4, "blake3", b"", (FolderEntry("", 0o755),))
    assert plain.encode() == (
        b'{"name":"c","folder":true,"files":[],"block_bytes":4,"hash":"blake3","digests":"",'
        b'"folders":[{"path":"","mode":493}]}'
    )
    assert b'"folders":[]' in Manifest("c", True, (), 4, "blake3", b"").encode()


def test_a_manifest_with_all_that_a_push_has_survives_json():
    more = {
        "folders": (FolderEntry("", 0o755, -1),),
        "twins": (TwinEntry("twin", "\\\\\\xff\n"),),
        "links": (LinkEntry("in/link", "../\\xfe"),),
    }
    manifest = apart([10, 3], 4, ["C:\\\\", "\\\\\\xff\n"], **more)
    assert manifest.fault() is None
    assert Manifest.decode(manifest.encode()) == manifest


# Names


@given(st.binary(min_size=1, max_size=40))
def test_any_name_of_a_disk_is_spelled_in_one_way_and_found_again(name: bytes):
    name = name.replace(b"/", b"_").replace(b"\0", b"_")
    here = os.fsdecode(name)
    assert native(spelled(here)) == here
    assert spelled(here).encode().decode() == spelled(here)
    assert apart([0], 4, [f"x{spelled(here)}"]).fault() is None


@pytest.mark.parametrize(
    "path",
    ["\\", "a\\b", "\\x2f", "\\x2e\\x2e", "\\x00", "\\xC3", "\\xc3\\xa9", "\\xff/../a", "..", "\\xff" * 256, "a\0"],
)
def test_a_path_that_is_spelled_in_another_way_or_is_unsafe_is_refused(path: str):
    with pytest.raises(RemoteError, match="path"):
        Manifest.decode(apart([0], 4, [path]).encode())


def test_names_that_only_some_systems_have_are_known():
    for name in ("\\xff", "\\\\", "C:x"):
        manifest = apart([0], 4, [name])
        assert manifest.fault() is None
        assert manifest.fault(portable=True)


# Twins and links


@pytest.mark.parametrize(
    "more",
    [
        {"twins": (TwinEntry("0000", "0000"),)},
        {"twins": (TwinEntry("twin", "gone"),)},
        {"twins": (TwinEntry("../twin", "0000"),)},
        {"twins": (TwinEntry("0000/twin", "0000"),)},
        {"links": (LinkEntry("0000", "x"),)},
        {"links": (LinkEntry("/link", "x"),)},
        {"links": (LinkEntry("link", "x"),), "folders": (FolderEntry("link/in", 0o755),)},
        {"links": (LinkEntry("link", ".."),)},
        {"links": (LinkEntry("a/link", "../.."),)},
        {"links": (LinkEntry("link", "/etc"),)},
        {"links": (LinkEntry("link", ""),)},
        {"links": (LinkEntry("link", "\\q"),)},
    ],
    ids=str,
)
def test_twins_and_links_that_leave_the_folder_or_stand_in_the_way_are_refused(more: dict[str, object]):
    with pytest.raises(RemoteError):
        Manifest.decode(apart([1], 4, **more).encode())


def test_only_files_that_are_apart_have_twins_and_links():
    for more in ({"twins": (TwinEntry("b", "a"),)}, {"links": (LinkEntry("b", "a"),)}):
        assert "not apart" in (Manifest("c", True, (FileEntry("a", 0, 0),), 4, "blake3", b"", **more).fault() or "")


@given(st.lists(st.sampled_from(["..", ".", "a", "b", ""]), max_size=6), st.integers(0, 3))
def test_a_link_goes_up_only_at_its_beginning_and_not_above_its_folder(parts: list[str], depth: int):
    link = LinkEntry("/".join(["f"] * depth + ["link"]), "/".join(parts))
    if stays_inside(link):
        ups = [part == ".." for part in parts]
        assert sum(ups) <= depth
        assert not any(later and not sooner for sooner, later in pairwise(ups))
        assert parts[0]
