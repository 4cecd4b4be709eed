"""The copy that a push makes: whole or not at all, in one step, with what is there already."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from threading import Event

import pytest

from minibit import inventory
from minibit.actors.disk.blocks import BlockFiles
from minibit.actors.disk.files import scan
from minibit.actors.disk.place import Place
from minibit.actors.disk.pushed import PushedStore
from minibit.actors.disk.source import Source
from minibit.manifest import Manifest

BLOCK_BYTES = 100
LATIN = os.fsdecode(b"caf\xe9")


def tree_of(root: Path, **changed: bytes) -> Path:
    """A folder with files large and small, empty things, odd names, modes and dates; some files changed."""
    rng = Random(5)
    names = [
        "a",
        "b/large",
        "b/small",
        "empty/file",
        "empty/folder/",
        "odd/new\nline",
        "odd/back\\slash",
        f"odd/{LATIN}",
    ]
    sizes = [250, 730, 20, 0, 0, 30, 40, 50]
    for name, size in zip(names, sizes, strict=True):
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(changed.get(path.name, rng.randbytes(size)))
        path.chmod(0o755 if name == "a" else 0o604)
        os.utime(path, ns=(10**18 + size, 10**18 + size))
    for name in ("b", "empty/folder", "empty", "odd", "."):
        (root / name).chmod(0o555 if name == "b" else 0o751)
        os.utime(root / name, ns=(10**17, 10**17))
    return root


def pushable(root: Path, block_bytes: int = BLOCK_BYTES, links: str = "follow") -> Manifest:
    return scan(root, block_bytes, apart=True, links=links)


def fetch(store: PushedStore, origin: Path) -> list[int]:
    """Write what the store lacks, from the source; the blocks."""
    source = Source(origin, store.manifest)
    lacking = [*inventory.indices(inventory.full(store.manifest.block_count) & ~store.held)]
    for block in lacking:
        store.write(block, source.read(block))
    source.close()
    return lacking


def push(origin: Path, place: Place, *, full: bool = False, **given: bool) -> PushedStore:
    """The store of a whole push to one node, which is closed."""
    store = PushedStore.open(place, pushable(origin), **given)
    fetch(store, origin)
    store.deliver(full, Event())
    store.close()
    return store


def shape(root: Path) -> dict[str, object]:
    """All that a copy must have of its source: names, kinds, modes, dates, bytes."""
    found: dict[str, object] = {}
    for path in [root, *root.rglob("*")]:
        seen = path.lstat()
        what = str(path.readlink()) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
        mode, date = (0, 0) if path.is_symlink() else (seen.st_mode & 0o777, seen.st_mtime_ns)
        found[str(path.relative_to(root))] = (mode, date, what)
    return found


def beside(place: Place) -> list[str]:
    return sorted(path.name for path in place.final.parent.iterdir())


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    return tree_of(tmp_path / "origin")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "data" / "model")


# A copy, from the first block to its place


@pytest.mark.parametrize("full", [False, True])
def test_a_copy_is_in_its_place_with_all_that_the_source_has(origin: Path, place: Place, full: bool):
    store = PushedStore.open(place, pushable(origin))
    fetch(store, origin)
    assert store.finish() == place.final
    assert not place.final.exists(), "the core's end of the transfer does nothing on the disk"
    store.deliver(full, Event())
    assert (store.finished, store.had, store.resumed, store.reused_bytes, store.one_step) == (
        True,
        False,
        False,
        0,
        True,
    )
    assert shape(place.final) == shape(origin)
    assert beside(place) == ["model", "model.minibit"]
    assert all(store.verify(block, store.read(block)) for block in range(store.manifest.block_count))
    store.close()


def test_a_single_file_is_pushed_over_another(tmp_path: Path, place: Place):
    for data in (b"first" * 100, b"second" * 100):
        (tmp_path / "film").write_bytes(data)
        store = push(tmp_path / "film", place)
        assert (place.final.read_bytes(), store.one_step) == (data, True)
    assert push(tmp_path / "film", place).had
    assert beside(place) == ["model", "model.minibit"]


def test_what_is_there_is_had_without_reading_a_byte(origin: Path, place: Place, monkeypatch: pytest.MonkeyPatch):
    push(origin, place)
    manifest = pushable(origin)
    monkeypatch.setattr(BlockFiles, "digest", None)
    store = PushedStore.open(place, manifest)
    assert (store.had, store.complete, store.finished) == (True, True, True)
    assert store.read(3) == Source(origin, manifest).read(3)
    store.deliver(False, Event())
    store.close()


def test_a_file_that_was_only_touched_is_hashed_again_and_had(origin: Path, place: Place):
    push(origin, place)
    (place.final / "a").touch()
    store = push(origin, place)
    assert store.had
    assert shape(place.final) == shape(origin)


def test_of_a_damaged_copy_the_wrong_blocks_only_are_fetched(origin: Path, place: Place):
    push(origin, place)
    with (place.final / "b" / "large").open("r+b") as file:
        file.seek(333)
        file.write(b"!?")
    store = PushedStore.open(place, pushable(origin))
    assert not store.had
    assert len(fetch(store, origin)) == 1
    store.deliver(False, Event())
    assert shape(place.final) == shape(origin)
    store.close()
    assert beside(place) == ["model", "model.minibit"]
