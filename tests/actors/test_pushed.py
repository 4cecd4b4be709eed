"""The copy that a push makes: whole or not at all, in one step, with what is there already."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import pytest
from disk import mounted
from killing import lives

from minibit import inventory
from minibit.actors.disk import blocks, marks, pushed, swap, tree
from minibit.actors.disk.blocks import BlockFiles
from minibit.actors.disk.files import scan
from minibit.actors.disk.place import Place
from minibit.actors.disk.pushed import PushedStore
from minibit.actors.disk.source import Source
from minibit.errors import DiskFullError, IntegrityError, LocalError, SourceError
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


def fetch(store: PushedStore, origin: Path, say: Callable[[int], None] = lambda block: None) -> list[int]:
    """Write what the store lacks, from the source; the blocks, each of which is also said."""
    source = Source(origin, store.manifest)
    lacking = [*inventory.indices(inventory.full(store.manifest.block_count) & ~store.held)]
    for block in lacking:
        store.write(block, source.read(block))
        say(block)
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


# Killed at any moment


def version(root: Path, data: bytes) -> Path:
    """A small folder of everything that a push has to make."""
    (root / "in").mkdir(parents=True)
    (root / "a").write_bytes(data + bytes(range(150)))
    (root / "in" / "small").write_bytes(b"always the same")
    (root / "in" / "small").chmod(0o444)
    (root / "in" / "twin").hardlink_to(root / "a")
    (root / "in" / "link").symlink_to("../a")
    (root / data[:3].decode()).touch()
    os.utime(root / "in", ns=(1, 10**18))
    (root / "in").chmod(0o555)
    return root


def elsewhere(function: Callable[[Path, bool], object], folder: Path, one_step: bool) -> Any:
    """What a function of this file gives in a process of its own, where nothing is synced and threads are none."""
    here = Path(__file__)
    program = (
        f"import json, os, sys; sys.path[:0] = {[str(here.parent), str(here.parent.parent / 'support')]!r}\n"
        f"from pathlib import Path; import {here.stem} as tests; os.fsync = lambda descriptor: None\n"
        f"print(json.dumps(tests.{function.__name__}(Path({str(folder)!r}), {one_step})))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def push_aloud(source: Path, place: Place, say: Callable[[int], None] = lambda block: None) -> None:
    """A whole push that says each block that it wrote."""
    store = PushedStore.open(place, pushable(source, links="keep"), replace=True)
    fetch(store, source, say)
    store.deliver(False, Event())
    store.close()


def killed_once_each(folder: Path, one_step: bool) -> list[list[int]]:
    """Pushes of `new` over `old`, each to a place of its own; the blocks that each wrote until it was killed."""
    if not one_step:
        swap.exchange = lambda one, other: False

    def place(moment: int) -> Place:
        return Place(folder / f"node-{moment}" / "model")

    def before(moment: int) -> None:
        if (folder / "old").exists():
            push_aloud(folder / "old", place(moment))

    return lives(before, lambda moment, say: push_aloud(folder / "new", place(moment), say))


def killed_in_turn(folder: Path, one_step: bool) -> list[list[int]]:
    """Pushes of three versions in turn to one place, each killed one change later than the one before."""
    if not one_step:
        swap.exchange = lambda one, other: False
    versions = [folder / name for name in ("old", "new", "film")]
    whole, place = [shape(one) for one in versions], Place(folder / "node" / "model")

    def before(moment: int) -> None:
        there = [shape(place.final)] if os.path.lexists(place.final) else []
        assert all(one in whole for one in there), f"a mixture, after change {moment - 1}"

    return lives(before, lambda moment, say: push_aloud(versions[moment % 3], place, say))


@pytest.mark.parametrize("one_step", [True, False])
@pytest.mark.parametrize("before", ["nothing", "an older one", "a file over a file"])
def test_whenever_a_push_is_killed_the_old_or_the_new_copy_is_there_and_no_block_is_fetched_twice(
    tmp_path: Path, before: str, one_step: bool, monkeypatch: pytest.MonkeyPatch
):
    if before == "a file over a file":
        (tmp_path / "old").write_bytes(b"old" * 99)
        (tmp_path / "new").write_bytes(b"new" * 88)
    else:
        version(tmp_path / "new", b"new" * 30)
        if before != "nothing":
            version(tmp_path / "old", b"old" * 30)
    heard = elsewhere(killed_once_each, tmp_path, one_step)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    whole = {name: shape(tmp_path / name) for name in ("old", "new") if (tmp_path / name).exists()}
    seen = []
    for moment, written in enumerate(heard, 1):
        place = Place(tmp_path / f"node-{moment}" / "model")
        there = shape(place.final) if os.path.lexists(place.final) else None
        assert there is None or there in whole.values(), f"a mixture, at change {moment}"
        seen.append(next((name for name in whole if whole[name] == there), None))
        store = PushedStore.open(place, pushable(tmp_path / "new", links="keep"))
        assert set(fetch(store, tmp_path / "new")).isdisjoint(written), f"fetched twice, at change {moment}"
        store.deliver(False, Event())
        store.close()
        assert shape(place.final) == whole["new"], f"at change {moment}"
        assert beside(place) == ["model", "model.minibit"], f"at change {moment}"
    assert len(seen) > 20
    first = None if before == "nothing" else "old"
    moves = [what for what, after in zip(seen, [*seen[1:], ""], strict=True) if what != after]
    assert moves == ([first, None, "new"] if before == "an older one" and not one_step else [first, "new"])


@pytest.mark.parametrize("one_step", [True, False])
def test_however_many_pushes_are_killed_at_one_place_the_next_one_completes_its_copy(tmp_path: Path, one_step: bool):
    sources = [version(tmp_path / name, name.encode() * 30) for name in ("old", "new")]
    (tmp_path / "film").write_bytes(b"film" * 90)
    assert len(elsewhere(killed_in_turn, tmp_path, one_step)) > 20
    place = Place(tmp_path / "node" / "model")
    for source in (*sources, tmp_path / "film", sources[0]):
        push_aloud(source, place)
        assert shape(place.final) == shape(source)
        assert beside(place) == ["model", "model.minibit"]


def test_a_whole_copy_whose_push_was_killed_before_the_swap_is_used(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch
):
    first, second = (version(tmp_path / name, name.encode() * 30) for name in ("one", "two"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    def push_up_to_the_swap() -> None:
        store = PushedStore.open(place, pushable(first, links="keep"))
        fetch(store, first)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(pushed, "swap", killed)
            store.deliver(False, Event())
        store.close()
        assert beside(place) == ["model.minibit-new", "model.minibit-new-mark"]

    push_up_to_the_swap()
    store = PushedStore.open(place, pushable(first, links="keep"))
    assert (store.complete, store.resumed, store.had) == (True, True, False)
    store.deliver(True, Event())
    store.close()
    assert shape(place.final) == shape(first)
    tree.remove(place.final)
    place.mark.unlink()

    push_up_to_the_swap()
    store = PushedStore.open(place, pushable(second, links="keep"))
    assert shape(place.final) == shape(first), "where nothing has the name, the older version is better than nothing"
    assert store.reused_bytes
    store.close()
    push_aloud(second, place)
    assert shape(place.final) == shape(second)


# What is in the way, and who else is there


def test_content_that_no_push_made_is_refused_unless_it_may_be_replaced(origin: Path, place: Place):
    place.final.mkdir(parents=True)
    (place.final / "notes").write_text("mine")
    with pytest.raises(LocalError, match="model is there already, and no push made it: move it away, or let"):
        PushedStore.open(place, pushable(origin))
    assert beside(place) == ["model"]
    assert push(origin, place, replace=True).one_step
    assert shape(place.final) == shape(origin)
    assert beside(place) == ["model", "model.minibit"]


def test_a_right_copy_that_no_push_made_is_had_once_it_was_read(origin: Path, place: Place):
    tree_of(place.final)
    store = push(origin, place)
    assert store.had
    assert marks.read(place).untouched(place)


@pytest.mark.parametrize("other", ["of other bytes", "with another file", "without a file"])
def test_a_copy_that_is_nearly_right_is_not_had(origin: Path, place: Place, other: str):
    tree_of(place.final, **({"small": b"!" * 20} if other == "of other bytes" else {}))
    if other == "with another file":
        (place.final / "more").touch()
    if other == "without a file":
        (place.final / "empty" / "file").unlink()
    with pytest.raises(LocalError, match="no push made it"):
        PushedStore.open(place, pushable(origin))


def test_what_others_put_into_a_copy_is_not_lost_with_the_next_version(tmp_path: Path, origin: Path, place: Place):
    push(origin, place)
    (place.final / "odd" / "results").write_text("of a week")
    assert push(origin, place).had, "the copy itself is as it was"
    changed = tree_of(tmp_path / "changed", a=b"new")
    with pytest.raises(LocalError, match="model has odd/results, which no push put there"):
        PushedStore.open(place, pushable(changed))
    push(changed, place, replace=True)
    assert shape(place.final) == shape(changed)


def test_a_folder_that_took_the_place_of_a_copy_is_not_ours(tmp_path: Path, origin: Path, place: Place):
    push(origin, place)
    shutil.rmtree(place.final)
    place.final.mkdir()  # it may get the inode of the one that went
    (place.final / "a").write_bytes(b"mine")
    with pytest.raises(LocalError, match="no push made it"):
        PushedStore.open(place, pushable(tree_of(tmp_path / "changed", a=b"new")))


def test_of_two_pushes_to_one_place_the_second_is_refused_until_the_first_has_ended(origin: Path, place: Place):
    manifest = pushable(origin)
    first = PushedStore.open(place, manifest)
    for again in range(2):
        with pytest.raises(LocalError, match=r"another push writes .*model: wait for its end, or cancel it"):
            PushedStore.open(place, manifest)
        if not again:
            fetch(first, origin)
            first.deliver(False, Event())
    first.close()
    second = PushedStore.open(place, manifest)
    assert second.had
    second.close()


def test_pushes_to_neighbours_in_one_folder_do_not_meet(origin: Path, place: Place):
    places = [place, Place(place.final.with_name("other")), Place(place.final.with_name("model.minibit2"))]
    stores = [PushedStore.open(one, pushable(origin)) for one in places]
    for store in stores:
        fetch(store, origin)
        store.deliver(False, Event())
    for store in stores:
        assert shape(store.final) == shape(origin)
        store.close()


def test_whoever_reads_during_a_swap_sees_the_old_copy_or_the_new_one(tmp_path: Path, place: Place):
    versions = [version(tmp_path / name, name.encode() * 30) for name in ("old", "new")]
    wholes = [shape(one)["a"] for one in versions]
    push(versions[0], place)
    seen, stopped = [], Event()

    def read() -> None:
        while not stopped.is_set():
            seen.append((place.final / "a").read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for count in range(20):
            push(versions[(count + 1) % 2], place)
    finally:
        stopped.set()
        reader.join()
    assert set(seen) <= {whole[2] for whole in wholes}


# Blocks that are there already


def hundred(root: Path, **changed: bytes) -> Path:
    """A hundred files, the first ten of some blocks, all others much smaller than one."""
    root.mkdir()
    rng = Random(9)
    for index in range(100):
        data = rng.randbytes(2_500 if index < 10 else 7 + index % 13)
        (root / f"f{index:02}").write_bytes(changed.get(f"f{index:02}", data))
        os.utime(root / f"f{index:02}", ns=(1, 10**18))
    os.utime(root, ns=(1, 10**18))
    return root


@pytest.mark.parametrize(
    ("changed", "most"),
    [({"f03": b"x" * 2_500}, 25), ({"f03": b"x" * 10}, 1), ({"f50": b"longer than it was" * 2}, 3), ({"f40": b""}, 3)],
    ids=["a large one", "a large one is short", "a small one is longer", "a small one is empty"],
)
def test_of_a_version_with_one_other_file_only_its_blocks_are_fetched(
    tmp_path: Path, place: Place, changed: dict[str, bytes], most: int
):
    push(hundred(tmp_path / "old"), place)
    new = hundred(tmp_path / "new", **changed)
    store = PushedStore.open(place, pushable(new))
    fetched = fetch(store, new)
    assert 1 <= len(fetched) <= most < store.manifest.block_count // 4
    assert store.reused_bytes == store.manifest.content_bytes - sum(map(store.manifest.length, fetched))
    store.deliver(True, Event())
    assert shape(place.final) == shape(new)
    store.close()


def test_files_that_got_other_names_are_not_fetched_again(tmp_path: Path, place: Place):
    push(hundred(tmp_path / "old"), place)
    new = hundred(tmp_path / "new")
    (new / "f03").rename(new / "moved")
    assert push(new, place).reused_bytes >= 25 * 100
    assert shape(place.final) == shape(new)


def test_of_content_that_no_push_made_the_blocks_at_the_same_places_are_copied(tmp_path: Path, place: Place):
    place.final.parent.mkdir()
    hundred(place.final, f03=b"old")
    assert push(hundred(tmp_path / "new"), place, replace=True).reused_bytes > 9 * 2_000


def test_two_files_of_other_bytes_where_one_with_two_names_is_wanted_are_no_copy(cache: Path, place: Place):
    shutil.copytree(cache, place.final, symlinks=False)
    part = place.final / "snapshots" / "one" / "part-0"
    part.write_bytes(b"!" * 150)
    with pytest.raises(LocalError, match="no push made it"):
        PushedStore.open(place, pushable(cache))
    shutil.copyfile(cache / "blobs" / "0", part)
    assert push(cache, place).had


def test_modes_and_dates_alone_move_nothing(origin: Path, place: Place):
    push(origin, place)
    (origin / "a").chmod(0o700)
    os.utime(origin / "odd", ns=(5, 5))
    store = push(origin, place)
    assert store.had
    assert shape(place.final) == shape(origin)


def test_a_partial_copy_of_another_version_gives_its_blocks_and_loses_its_other_files(tmp_path: Path, place: Place):
    old = hundred(tmp_path / "old")
    (old / "gone").mkdir()
    (old / "gone" / "file").touch()
    store = PushedStore.open(place, pushable(old))
    fetch(store, old)
    store.close()
    new = hundred(tmp_path / "new", f90=b"changed")
    store = PushedStore.open(place, pushable(new))
    assert (store.had, store.resumed) == (False, True)
    assert len(fetch(store, new)) < 5
    store.deliver(False, Event())
    assert shape(place.final) == shape(new)
    store.close()


def test_a_partial_file_gives_way_to_a_folder_and_the_other_way_round(tmp_path: Path, origin: Path, place: Place):
    (tmp_path / "film").write_bytes(b"film" * 100)
    for source in (origin, tmp_path / "film", origin):
        store = PushedStore.open(place, pushable(source))
        fetch(store, source)
        store.close()
    push(origin, place)
    assert shape(place.final) == shape(origin)


# Links


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A model as Hugging Face keeps it: blobs, and snapshots of relative links to them."""
    root = tmp_path / "models--x"
    (root / "blobs").mkdir(parents=True)
    for index in range(3):
        (root / "blobs" / f"{index}").write_bytes(bytes([index]) * 150)
    for revision in ("one", "two"):
        (root / "snapshots" / revision).mkdir(parents=True)
        for index in range(2):
            (root / "snapshots" / revision / f"part-{index}").symlink_to(f"../../blobs/{index}")
    (root / "snapshots" / "two" / "config").symlink_to("../../blobs/2")
    return root


def test_a_snapshot_of_links_is_pushed_as_the_files_that_they_lead_to(cache: Path, place: Place):
    snapshot = cache / "snapshots" / "two"
    push(snapshot, place)
    assert {path.name: path.read_bytes() for path in place.final.iterdir()} == {
        path.name: path.read_bytes() for path in snapshot.iterdir()
    }
    assert not any(path.is_symlink() for path in place.final.iterdir())
    assert push(snapshot, place).had


def test_what_several_links_lead_to_travels_once_and_takes_its_room_once(cache: Path, place: Place):
    store = push(cache, place)
    assert (store.manifest.content_bytes, len(store.manifest.twins)) == (450, 5)
    paths = [place.final / path for path in ("blobs/0", "snapshots/one/part-0", "snapshots/two/part-0")]
    assert {path.stat().st_ino for path in paths} == {paths[0].stat().st_ino}
    assert (place.final / "snapshots/two/config").read_bytes() == bytes([2]) * 150
    assert marks.read(place).untouched(place)
    assert push(cache, place).had
    paths[1].unlink()
    assert not marks.read(place).untouched(place)
    assert push(cache, place).reused_bytes == 450
    assert marks.read(place).untouched(place)


def test_where_a_file_can_not_have_two_names_it_is_copied(cache: Path, place: Place, monkeypatch: pytest.MonkeyPatch):
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    push(cache, place)
    assert (place.final / "snapshots/one/part-1").read_bytes() == bytes([1]) * 150
    assert push(cache, place).had


def test_links_that_are_kept_stay_links(cache: Path, place: Place):
    manifest = pushable(cache, links="keep")
    store = PushedStore.open(place, manifest)
    fetch(store, cache)
    store.deliver(True, Event())
    store.close()
    assert shape(place.final) == shape(cache)
    assert Manifest.decode(manifest.encode()) == manifest
    store = PushedStore.open(place, manifest)
    assert store.had
    store.close()


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "b/../../outside", "b/.."])
def test_a_link_that_leads_out_of_the_folder_is_not_kept(origin: Path, target: str):
    (origin / "link").symlink_to(target)
    with pytest.raises(SourceError, match=r"can't keep the link link of .*, which leads out of it, to .*: follow"):
        pushable(origin, links="keep")


def test_links_can_be_refused(cache: Path):
    with pytest.raises(SourceError, match=r"snapshots/.* is a link, and links are refused"):
        pushable(cache, links="refuse")
    assert pushable(cache / "blobs", links="refuse").content_bytes == 450


# What is read again, and what is believed


def test_a_byte_that_the_disk_lost_is_found_by_a_full_verification_and_fetched_again(origin: Path, place: Place):
    store = PushedStore.open(place, pushable(origin))
    fetch(store, origin)
    with (place.partial / "b" / "large").open("r+b") as file:
        file.write(b"!")
    with pytest.raises(IntegrityError, match="is not what was written: start again"):
        store.deliver(True, Event())
    assert inventory.full(store.manifest.block_count).bit_count() - store.held.bit_count() == 1
    store.close()
    assert not place.final.exists()
    store = PushedStore.open(place, pushable(origin))
    assert len(fetch(store, origin)) == 1
    store.deliver(True, Event())
    store.close()


def test_a_copy_whose_byte_changed_behind_its_date_is_found_by_a_full_verification(origin: Path, place: Place):
    push(origin, place)
    file = place.final / "a"
    before = file.stat()
    file.write_bytes(b"!" + file.read_bytes()[1:])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert push(origin, place).had, "as rsync believes it"
    store = PushedStore.open(place, pushable(origin), full=True)
    assert (store.had, len(fetch(store, origin))) == (False, 1)
    store.close()


def test_a_delivery_that_is_stopped_ends_soon_and_goes_on_later(origin: Path, place: Place):
    stopped = Event()
    stopped.set()
    for full in (True, False):
        store = PushedStore.open(place, pushable(origin))
        fetch(store, origin)
        with pytest.raises(InterruptedError):
            store.deliver(full, stopped)
        store.close()
        assert not place.final.exists()
    store = PushedStore.open(place, pushable(origin))
    assert store.complete
    store.deliver(True, Event())
    store.close()


def test_blocks_are_read_while_the_copy_is_put_in_its_place(
    origin: Path, place: Place, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(blocks, "OPEN_FILES_MAX", 1)
    store = PushedStore.open(place, pushable(origin))
    fetch(store, origin)
    ended = Event()

    def deliver() -> None:
        store.deliver(True, Event())
        ended.set()

    thread = threading.Thread(target=deliver)
    thread.start()
    rounds = 0
    while not ended.is_set() or not rounds:
        assert all(store.verify(block, store.read(block)) for block in range(store.manifest.block_count))
        rounds += 1
    thread.join()
    store.close()


def test_a_large_block_is_hashed_in_parts_when_a_partial_copy_is_opened(tmp_path: Path, place: Place):
    (tmp_path / "film").write_bytes(Random(1).randbytes(12 << 20))
    manifest = pushable(tmp_path / "film", 12 << 20)
    store = PushedStore.open(place, manifest)
    fetch(store, tmp_path / "film")
    store.close()
    tracemalloc.start()
    store = PushedStore.open(place, manifest)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert store.complete
    assert peak < 4 << 20
    store.close()


def test_ten_thousand_files_are_had_by_their_marks(tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch):
    root = tmp_path / "many"
    for folder in range(100):
        (root / f"{folder:02}").mkdir(parents=True)
        for file in range(100):
            (root / f"{folder:02}" / f"{file:02}").write_bytes(b"%d" % (folder * 100 + file))
    manifest = pushable(root, 16 << 10)
    store = PushedStore.open(place, manifest)
    fetch(store, root)
    store.deliver(False, Event())
    store.close()
    monkeypatch.setattr(BlockFiles, "digest", None)
    began = time.monotonic()
    store = PushedStore.open(place, manifest)
    assert store.had
    assert time.monotonic() - began < 10.0, "it takes a fraction of a second on a quiet machine"
    store.close()


def test_content_without_room_leaves_nothing(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "film").write_bytes(bytes(2 << 20))
    with mounted(disk, "size=1m"), pytest.raises(DiskFullError, match="no room for film"):
        PushedStore.open(Place(disk / "model"), pushable(tmp_path / "film"))
    assert list(disk.iterdir()) == []


def test_a_store_that_is_discarded_takes_its_partial_copy_with_it_and_leaves_the_old_one(tmp_path: Path, place: Place):
    push(version(tmp_path / "old", b"old"), place)
    store = PushedStore.open(place, pushable(version(tmp_path / "new", b"new")))
    store.discard()
    assert beside(place) == ["model", "model.minibit"]
    assert marks.read(place).untouched(place)


def test_a_name_that_the_file_system_can_not_have_is_named(origin: Path, tmp_path: Path):
    with pytest.raises(LocalError, match=r"can't have the name .*nnn\.minibit-partial: File name too long"):
        PushedStore.open(Place(tmp_path / ("n" * 250)), pushable(origin))


def test_a_disk_of_its_own_can_not_be_a_copy(origin: Path, place: Place):
    place.final.mkdir(parents=True)
    with mounted(place.final, "size=1m"), pytest.raises(LocalError, match="is a disk of its own, and can't be a copy"):
        PushedStore.open(place, pushable(origin), replace=True)
