"""Where blocks lie: a peer's copy, its resume and its end, and the content that a seed reads in place."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibit import inventory
from minibit.actors.disk import files, store
from minibit.actors.disk.files import make, scan
from minibit.actors.disk.source import Source
from minibit.actors.disk.store import Store
from minibit.errors import DiskFullError, LocalError, SourceError, StoreError
from minibit.manifest import FileEntry, Manifest, block_hash

DATA = Random(1).randbytes(1_000)


def film(name: str = "film", data: bytes = DATA, block_bytes: int = 100) -> Manifest:
    """One file of ten blocks, never on a disk."""
    digests = (block_hash("blake3", data[at : at + block_bytes]) for at in range(0, len(data), block_bytes))
    return Manifest(name, False, (FileEntry(name, len(data), 0o640),), block_bytes, "blake3", b"".join(digests))


def album(name: str = "album", block_bytes: int = 100, data: bytes = DATA) -> Manifest:
    """The same bytes in files of 250, 0, 730, 20 and 0."""
    files = (("a", 250), ("b/empty", 0), ("b/run", 730), ("c/d/e", 20), ("z", 0))
    entries = tuple(FileEntry(path, size, 0o755 if path == "b/run" else 0o600) for path, size in files)
    return Manifest(name, True, entries, block_bytes, "blake3", film(data=data, block_bytes=block_bytes).digests)


def block_of(manifest: Manifest, block: int, data: bytes = DATA) -> bytes:
    return data[block * manifest.block_bytes : (block + 1) * manifest.block_bytes]


def fill(kept: Store, *blocks: int, data: bytes = DATA) -> None:
    for block in blocks or range(kept.manifest.block_count):
        kept.write(block, block_of(kept.manifest, block, data))


def killed(kept: Store) -> None:
    """The end of a process: the system closes what was open, and nothing more is written."""
    kept.save = lambda: False
    kept.close()


def partial_of(folder: Path, manifest: Manifest, index: int = 0) -> Path:
    """Where the bytes of a file lie before the copy is finished."""
    partial = folder / f"{manifest.name}.minibit-partial"
    return partial / manifest.files[index].path if manifest.folder else partial


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte, really full when it is full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture(params=[film, album], ids=["file", "folder"])
def manifest(request: pytest.FixtureRequest) -> Manifest:
    return request.param()


# A copy, from the first block to its name


def test_a_copy_becomes_the_content_once_every_block_is_written(tmp_path: Path, manifest: Manifest):
    kept = Store.open(tmp_path / "peer", manifest)
    assert (kept.held, kept.complete) == (0, False)
    fill(kept)
    assert kept.complete
    final = kept.finish()
    assert final == tmp_path / "peer" / manifest.name
    paths = [final / entry.path if manifest.folder else final for entry in manifest.files]
    assert b"".join(path.read_bytes() for path in paths) == DATA
    assert [path.stat().st_mode & 0o777 for path in paths] == [entry.mode for entry in manifest.files]
    assert kept.verify_all()
    kept.close()
    assert [path.name for path in (tmp_path / "peer").iterdir()] == [manifest.name]


def test_a_block_that_spans_two_files_is_read_back_whole(tmp_path: Path):
    kept = Store.open(tmp_path, album())
    fill(kept, 2)
    assert len(kept.manifest.spans(2)) == 2
    assert kept.read(2) == block_of(kept.manifest, 2)
    assert kept.read(2, 40, 20) == block_of(kept.manifest, 2)[40:60]
    kept.close()


def test_only_the_bytes_of_a_block_get_the_verdict_right(tmp_path: Path, manifest: Manifest):
    kept = Store.open(tmp_path, manifest)
    good = block_of(manifest, 3)
    assert kept.verify(3, memoryview(good))
    assert not kept.verify(4, good)
    assert not kept.verify(3, good[:-1])
    assert not kept.verify(3, bytes(100))
    kept.close()


def test_a_view_is_written_without_a_copy_of_its_buffer(tmp_path: Path, manifest: Manifest):
    kept = Store.open(tmp_path, manifest)
    buffer = bytearray(b"head" + block_of(manifest, 2) + b"tail")
    kept.write(2, memoryview(buffer)[4:-4])
    buffer[:] = bytes(len(buffer))  # the caller's again, at once
    assert kept.read(2) == block_of(manifest, 2)
    kept.close()


def test_what_is_open_is_still_read_after_the_copy_got_its_name(tmp_path: Path, manifest: Manifest):
    kept = Store.open(tmp_path, manifest)
    fill(kept)
    before = [kept.read(block) for block in range(10)]
    kept.finish()
    assert [kept.read(block) for block in range(10)] == before
    kept._files.close()  # and what has to be opened again is found under the new name
    assert [kept.read(block) for block in range(10)] == before
    kept.close()


@pytest.mark.parametrize("files", [("none",), ()], ids=["an empty file", "an empty folder"])
def test_empty_content_is_complete_at_once(tmp_path: Path, files: tuple[str, ...]):
    entries = tuple(FileEntry(path, 0, 0o644) for path in files)
    kept = Store.open(tmp_path, Manifest("none", not files, entries, 4, "blake3", b""))
    assert kept.complete
    assert kept.finish().exists()
    assert kept.verify_all()
    kept.close()


def test_a_file_that_its_owner_may_not_read_is_still_one_to_verify(tmp_path: Path):
    kept = Store.open(tmp_path, Manifest("f", False, (FileEntry("f", 0, 0),), 4, "blake3", b""))
    assert kept.finish().stat().st_mode & 0o777 == 0o400
    kept.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=9), st.integers(1, 40), st.integers(0, 9), st.randoms())
def test_blocks_written_in_any_order_and_over_any_files_come_back(sizes, block_bytes, stop_after, rng):
    data = rng.randbytes(sum(sizes))
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "OPEN_FILES_MAX", 2)
        origin, at = Path(place, "origin", "c"), 0
        origin.mkdir(parents=True)
        for index, size in enumerate(sizes):
            (origin / f"{index}").write_bytes(data[at : at + size])
            at += size
        manifest = scan(origin, block_bytes)
        source = Source(origin, manifest)
        kept = Store.open(Path(place, "peer"), manifest)
        order = list(range(manifest.block_count))
        rng.shuffle(order)
        for count, block in enumerate(order):
            if count == stop_after:
                kept.close()
                kept = Store.open(Path(place, "peer"), manifest)
                assert kept.held == inventory.of(order[:count])
            assert kept.verify(block, source.read(block))
            kept.write(block, source.read(block))
        for block in order:
            assert kept.read(block) == data[block * block_bytes : (block + 1) * block_bytes]
        final = kept.finish()
        assert b"".join((final / f"{index}").read_bytes() for index in range(len(sizes))) == data
        assert kept.verify_all()
        kept.discard()
        source.close()
        assert left(Path(place)) == [f"origin/c/{i}" for i in range(len(sizes))]


def test_many_small_files_need_few_open_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "OPEN_FILES_MAX", 4)
    entries = tuple(FileEntry(f"{index:03}", 10, 0o644) for index in range(100))
    manifest = Manifest("many", True, entries, 100, "blake3", film().digests)
    before = open_files()
    kept = Store.open(tmp_path, manifest)
    fill(kept)
    assert all(kept.read(block) == block_of(manifest, block) for block in range(10))
    assert open_files() <= before + 5
    kept.finish()
    assert kept.verify_all()
    kept.close()
    assert open_files() == before


# Resume: re-hash decides


def test_a_store_that_was_closed_goes_on_where_it_was(tmp_path: Path, manifest: Manifest):
    kept = Store.open(tmp_path, manifest)
    fill(kept, 1, 5, 9)
    kept.close()
    again = Store.open(tmp_path, manifest)
    assert again.held == inventory.of([1, 5, 9])
    again.close()


def test_after_a_kill_the_blocks_that_were_saved_and_are_right_are_kept(tmp_path: Path, manifest: Manifest):
    kept = Store.open(tmp_path, manifest)
    fill(kept, 0, 2, 9)
    assert kept.save()
    kept.write(2, bytes(100))  # what a disk may make of a block
    killed(kept)
    again = Store.open(tmp_path, manifest)
    assert again.held == inventory.of([0, 9])
    fill(again, *range(1, 9))
    again.finish()
    assert again.verify_all()
    again.close()


STATES = {
    "missing": None,
    "empty": b"",
    "cut": b'{"manifest":"blake3:',
    "no text": b"\xff\xfe\x00",
    "of other content": b'{"manifest":"blake3:00","held":"0"}',
    "too long": b"too long",
    "a block beyond the last": b"beyond",
    "no number": b"no number",
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_without_a_good_state_every_block_is_hashed_again(tmp_path: Path, manifest: Manifest, state: bytes | None):
    kept = Store.open(tmp_path, manifest)
    fill(kept, 0, 4, 9)
    killed(kept)
    held = {b"too long": "0" * 5_000, b"beyond": "400", b"no number": "xyz"}.get(state)
    if held is not None:
        state = f'{{"manifest":"{manifest.digest}","held":"{held}"}}'.encode()
    if state is not None:
        (tmp_path / f"{manifest.name}.minibit-state").write_bytes(state)
    again = Store.open(tmp_path, manifest)
    assert again.held == inventory.of([0, 4, 9])
    again.close()


@pytest.mark.parametrize("size", [0, 150, 2_000])
def test_a_partial_of_another_length_is_sized_and_hashed_again(tmp_path: Path, manifest: Manifest, size: int):
    kept = Store.open(tmp_path, manifest)
    kept.save()  # it lists nothing, and isn't believed
    fill(kept, *range(9))
    path = partial_of(tmp_path, manifest)
    killed(kept)
    os.truncate(path, size)
    again = Store.open(tmp_path, manifest)
    assert path.stat().st_size == manifest.files[0].bytes
    lost = {block for block in range(9) for index, at, n in manifest.spans(block) if index == 0 and at + n > size}
    assert again.held == inventory.of(set(range(9)) - lost)
    again.close()


def test_a_file_that_is_missing_from_a_partial_folder_is_made_again(tmp_path: Path):
    kept = Store.open(tmp_path, album())
    fill(kept)
    killed(kept)
    (tmp_path / "album.minibit-partial" / "c" / "d" / "e").unlink()
    again = Store.open(tmp_path, album())
    assert again.held == inventory.of(range(9))
    fill(again, 9)
    again.finish()
    assert again.verify_all()
    again.close()


def test_the_partial_of_an_older_version_gives_the_blocks_that_are_the_same(tmp_path: Path):
    kept = Store.open(tmp_path, film(data=DATA[:600] + bytes(500)))
    fill(kept, *range(8), data=DATA[:600] + bytes(500))
    kept.close()
    again = Store.open(tmp_path, film())
    assert again.held == inventory.of(range(6))
    again.close()


def test_a_state_that_lists_too_much_is_not_believed(tmp_path: Path, manifest: Manifest):
    kept = Store.open(tmp_path, manifest)
    fill(kept, 3)
    kept.held = inventory.full(10)
    kept.close()
    again = Store.open(tmp_path, manifest)
    assert again.held == inventory.of([3])
    again.close()


def test_a_state_that_can_not_be_written_is_done_without(tmp_path: Path, manifest: Manifest):
    state = tmp_path / f"{manifest.name}.minibit-state"
    state.mkdir()
    kept = Store.open(tmp_path, manifest)
    fill(kept, 7)
    assert not kept.save()
    kept.close()
    assert not (tmp_path / f"{state.name}.new").exists()
    again = Store.open(tmp_path, manifest)
    assert again.held == inventory.of([7])
    again.close()


def test_a_read_only_state_is_replaced(tmp_path: Path, manifest: Manifest):
    kept = Store.open(tmp_path, manifest)
    assert kept.save()
    (tmp_path / f"{manifest.name}.minibit-state").chmod(0o400)
    fill(kept, 7)
    assert kept.save()
    kept.close()
    again = Store.open(tmp_path, manifest)
    assert again.held == inventory.of([7])
    again.close()


def test_an_end_in_the_middle_of_finishing_is_resumed(tmp_path: Path, manifest: Manifest):
    kept = Store.open(tmp_path, manifest)
    fill(kept)
    kept.save()
    for index in range(len(manifest.files)):
        partial_of(tmp_path, manifest, index).chmod(0o400)
    killed(kept)
    again = Store.open(tmp_path, manifest)
    assert again.complete
    assert partial_of(tmp_path, manifest).stat().st_mode & 0o200
    again.finish()
    again.close()


# What is in the folder already


def test_a_right_final_copy_is_taken_as_it_is_and_never_removed(tmp_path: Path, manifest: Manifest):
    kept = Store.open(tmp_path, manifest)
    fill(kept)
    final = kept.finish()
    kept.close()
    again = Store.open(tmp_path, manifest)
    assert again.complete
    assert [again.read(block) for block in range(10)] == [block_of(manifest, block) for block in range(10)]
    assert again.finish() == final
    again.discard()
    assert final.exists()
    assert not (tmp_path / f"{manifest.name}.minibit-partial").exists()


@pytest.mark.parametrize("change", ["other bytes", "shorter", "other kind"])
def test_a_users_file_of_that_name_is_never_overwritten(tmp_path: Path, change: str):
    final = tmp_path / "film"
    if change == "other kind":
        final.mkdir()
    else:
        final.write_bytes(DATA[:-1] + b"!"[: change == "other bytes"])
    with pytest.raises(LocalError, match="move it away"):
        Store.open(tmp_path, film())
    assert left(tmp_path) == [] if final.is_dir() else left(tmp_path) == ["film"]
    Store.open(tmp_path, film("other")).close()  # and the folder is free again


def test_a_name_taken_meanwhile_is_not_overwritten_either(tmp_path: Path, manifest: Manifest):
    kept = Store.open(tmp_path, manifest)
    fill(kept)
    (tmp_path / manifest.name).write_text("mine")
    with pytest.raises(LocalError, match="move it away"):
        kept.finish()
    kept.discard()
    assert left(tmp_path) == [manifest.name]


def test_a_strangers_file_in_the_partial_folder_is_named_and_left(tmp_path: Path):
    Store.open(tmp_path, album()).close()
    (tmp_path / "album.minibit-partial" / "b" / "mine").write_text("mine")
    with pytest.raises(LocalError, match="b/mine is no part of album"):
        Store.open(tmp_path, album())
    assert "album.minibit-partial/b/mine" in left(tmp_path)


@pytest.mark.parametrize("obstacle", ["folder", "link", "pipe"])
def test_a_partial_that_is_no_plain_file_is_refused(tmp_path: Path, obstacle: str):
    (tmp_path / "victim").write_bytes(b"v")
    partial = tmp_path / "film.minibit-partial"
    {"folder": partial.mkdir, "link": lambda: partial.symlink_to("victim"), "pipe": lambda: os.mkfifo(partial)}[
        obstacle
    ]()
    with pytest.raises(LocalError, match="no plain file"):
        Store.open(tmp_path, film())
    assert (tmp_path / "victim").read_bytes() == b"v"


def test_a_partial_file_where_a_folder_must_be_is_refused(tmp_path: Path):
    (tmp_path / "album.minibit-partial").touch()
    with pytest.raises(LocalError, match="is no folder"):
        Store.open(tmp_path, album())


def test_two_peers_never_share_a_folder(tmp_path: Path, manifest: Manifest):
    before = open_files()
    kept = Store.open(tmp_path, manifest)
    with pytest.raises(LocalError, match="another peer uses"):
        Store.open(tmp_path, manifest)
    kept.close()
    kept.close()
    Store.open(tmp_path, manifest).close()
    assert open_files() == before


# The finished copy, read again


@pytest.mark.parametrize("change", ["a bit", "longer", "shorter", "more", "less", "link", "gone"])
def test_a_finished_copy_that_was_changed_is_not_verified(tmp_path: Path, change: str):
    kept = Store.open(tmp_path / "peer", album())
    assert not kept.verify_all()  # nothing is finished yet
    fill(kept)
    final = kept.finish()
    match change:
        case "a bit":
            data = bytearray((final / "b" / "run").read_bytes())
            data[500] ^= 1
            (final / "b" / "run").write_bytes(data)
        case "longer":
            os.truncate(final / "z", 1)
        case "shorter":
            os.truncate(final / "a", 249)
        case "more":
            (final / "b" / "extra").touch()
        case "less":
            (final / "z").unlink()
        case "link":
            (final / "a").rename(tmp_path / "a")
            (final / "a").symlink_to(tmp_path / "a")
        case "gone":
            shutil.rmtree(final)
    assert not kept.verify_all()
    kept.close()


@pytest.mark.parametrize("stage", ["new", "some", "finished"])
def test_a_discarded_store_leaves_nothing(tmp_path: Path, manifest: Manifest, stage: str):
    kept = Store.open(tmp_path / "peer", manifest)
    if stage != "new":
        fill(kept, *([1, 2] if stage == "some" else []))
        kept.save()
    if stage == "finished":
        kept.finish()
    kept.discard()
    kept.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("finished", [True, False])
def test_discarding_never_removes_a_strangers_file(tmp_path: Path, finished: bool):
    kept = Store.open(tmp_path / "peer", album())
    fill(kept)
    root = kept.finish() if finished else tmp_path / "peer" / "album.minibit-partial"
    (root / "b" / "mine").touch()
    (tmp_path / "peer" / "notes").touch()
    kept.discard()
    assert left(tmp_path / "peer") == [f"{root.name}/b/mine", "notes"]


# The disk fails


def test_content_that_has_no_room_is_refused_before_anything_is_written(tiny_disk: Path):
    manifest = film(data=bytes(2 << 20), block_bytes=1 << 18)
    with pytest.raises(DiskFullError, match=r"no room for film in .*: 2 MiB needed, 1 MiB free; make"):
        Store.open(tiny_disk / "peer", manifest)
    assert list(tiny_disk.iterdir()) == []


@pytest.mark.parametrize("kind", [film, album])
def test_a_disk_that_gets_full_keeps_what_is_held_and_resumes_when_space_returns(tiny_disk: Path, kind):
    block_bytes = 1 << 16
    data = Random(2).randbytes(10 * block_bytes)
    manifest = kind(data=data, block_bytes=block_bytes)
    if manifest.folder:
        entries = tuple(FileEntry(f"{index}", 5 * block_bytes, 0o644) for index in range(2))
        manifest = Manifest("album", True, entries, block_bytes, "blake3", manifest.digests)
    kept = Store.open(tiny_disk / "peer", manifest)
    fill(kept, 0, 7, data=data)
    (tiny_disk / "hog").write_bytes(bytes(800 << 10))
    with pytest.raises(DiskFullError, match="no room is left"):
        fill(kept, 1, 2, 3, 4, 5, data=data)
    held = kept.held
    assert held & 0b10000001 == 0b10000001
    assert held.bit_count() < 7
    assert all(kept.read(block) == block_of(manifest, block, data) for block in inventory.indices(held))
    killed(kept)
    with pytest.raises(DiskFullError, match="needed"):
        Store.open(tiny_disk / "peer", manifest)
    (tiny_disk / "hog").unlink()
    again = Store.open(tiny_disk / "peer", manifest)
    assert again.held == held
    fill(again, data=data)
    again.finish()
    assert again.verify_all()
    again.close()


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ENOSPC, DiskFullError), (errno.EDQUOT, DiskFullError), (errno.EIO, StoreError)]
)
def test_a_block_that_the_disk_refuses_is_not_held(tmp_path: Path, manifest: Manifest, monkeypatch, code: int, kind):
    def failing(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    kept = Store.open(tmp_path, manifest)
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "pwrite", failing)
        with pytest.raises(kind, match=os.strerror(code)):
            fill(kept, 4)
    assert kept.held == 0
    fill(kept, 4)  # and once the disk works again, so does the store
    assert kept.held == inventory.of([4])
    kept.close()


def test_a_write_that_the_disk_takes_in_parts_is_finished(tmp_path: Path, manifest: Manifest, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(files.os, "pwrite", lambda descriptor, data, at: pwrite(descriptor, data[:7], at))
    kept = Store.open(tmp_path, manifest)
    fill(kept)
    assert [kept.read(block) for block in range(10)] == [block_of(manifest, block) for block in range(10)]
    kept.close()


def test_files_cut_under_a_store_are_its_error_and_no_crash(tmp_path: Path, manifest: Manifest):
    kept = Store.open(tmp_path, manifest)
    fill(kept)
    for index in range(len(manifest.files)):
        os.truncate(partial_of(tmp_path, manifest, index), 0)
    with pytest.raises(StoreError, match="shorter"):
        kept.read(2)
    kept.close()


def test_a_folder_that_can_not_be_made_is_said(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="Not a directory"):
        Store.open(tmp_path / "file" / "peer", film())


def test_a_failure_while_opening_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def failing(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store.os, "ftruncate", failing)
    before = open_files()
    with pytest.raises(DiskFullError):
        Store.open(tmp_path / "peer", album())
    assert list(tmp_path.iterdir()) == []
    assert open_files() == before


# The seed


@pytest.fixture
def shared(tmp_path: Path, manifest: Manifest) -> Path:
    kept = Store.open(tmp_path / "origin", manifest)
    fill(kept)
    path = kept.finish()
    kept.close()
    return path


def test_a_seed_reads_any_bytes_of_any_block_in_place(shared: Path, manifest: Manifest):
    before = open_files()
    source = Source(shared, manifest)
    assert source.held == inventory.full(10)
    assert [source.read(block) for block in range(10)] == [block_of(manifest, block) for block in range(10)]
    assert source.read(2, 45, 10) == block_of(manifest, 2)[45:55]
    source.close()
    assert open_files() == before


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("change", ["shorter", "longer", "touched", "other inode", "gone"])
def test_a_seed_whose_file_changes_says_so(shared: Path, manifest: Manifest, change: str, opened: bool):
    source = Source(shared, manifest)
    if opened:
        source.read(2)
    file = shared / "a" if manifest.folder else shared
    match change:
        case "shorter":
            os.truncate(file, 100)
        case "longer":
            os.truncate(file, 5_000)
        case "touched":
            os.utime(file, ns=(1, 1))
        case _:
            copy = file.with_name("copy")
            shutil.copy2(file, copy)
            file.unlink()
            if change == "other inode":
                copy.rename(file)
    if opened and change in ("other inode", "gone"):
        assert source.read(2) == block_of(manifest, 2)  # the file that was opened is still what it was
    else:
        with pytest.raises(SourceError, match="No such file" if change == "gone" else "changed while it was shared"):
            source.read(2)
    source.close()


def test_a_seed_of_other_content_or_of_none_is_refused(tmp_path: Path):
    make(tmp_path / "film", 999, seed=1)
    with pytest.raises(SourceError, match="changed"):
        Source(tmp_path / "film", film())
    with pytest.raises(SourceError, match="No such file"):
        Source(tmp_path / "none", film())
