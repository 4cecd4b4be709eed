"""Where blocks lie: a peer's copy, its resume and its end, and the content that a seed reads in place."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest
from disk import mounted, opened
from hypothesis import given, settings
from hypothesis import strategies as st

from minibit import inventory
from minibit.actors.disk import blocks, files, store
from minibit.actors.disk.blocks import BlockFiles
from minibit.actors.disk.files import make, scan
from minibit.actors.disk.source import Source
from minibit.actors.disk.store import Store
from minibit.errors import DiskFullError, LocalError, SourceError, StoreError
from minibit.manifest import FileEntry, FolderEntry, Manifest, block_hash

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


def partial_of(folder: Path, manifest: Manifest, index: int = 0) -> Path:
    """Where the bytes of a file lie before the copy is finished."""
    partial = folder / f"{manifest.name}.minibit-partial"
    return partial / manifest.files[index].path if manifest.folder else partial


def left(folder: Path, *, folders: bool = False) -> list[str]:
    found = folder.iterdir() if folders else [path for path in folder.rglob("*") if not path.is_dir()]
    return sorted(str(path.relative_to(folder)) for path in found)


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
    kept = opened(tmp_path / "peer", manifest)
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
    assert left(tmp_path / "peer", folders=True) == [manifest.name, f"{manifest.name}.minibit"]


def test_a_block_that_spans_two_files_is_read_back_whole(tmp_path: Path):
    kept = opened(tmp_path, album())
    fill(kept, 2)
    assert len(kept.manifest.spans(2)) == 2
    assert kept.read(2) == block_of(kept.manifest, 2)
    assert kept.read(2, 40, 20) == block_of(kept.manifest, 2)[40:60]
    kept.close()


def test_only_the_bytes_of_a_block_get_the_verdict_right(tmp_path: Path, manifest: Manifest):
    kept = opened(tmp_path, manifest)
    good = block_of(manifest, 3)
    assert kept.verify(3, memoryview(good))
    assert not kept.verify(4, good)
    assert not kept.verify(3, good[:-1])
    assert not kept.verify(3, bytes(100))
    kept.close()


def test_a_view_is_written_without_a_copy_of_its_buffer(tmp_path: Path, manifest: Manifest):
    kept = opened(tmp_path, manifest)
    buffer = bytearray(b"head" + block_of(manifest, 2) + b"tail")
    kept.write(2, memoryview(buffer)[4:-4])
    buffer[:] = bytes(len(buffer))  # the caller's again, at once
    assert kept.read(2) == block_of(manifest, 2)
    kept.close()


def test_what_is_open_is_still_read_after_the_copy_got_its_name(tmp_path: Path, manifest: Manifest):
    kept = opened(tmp_path, manifest)
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
    kept = opened(tmp_path, Manifest("none", not files, entries, 4, "blake3", b""))
    assert kept.complete
    assert kept.finish().exists()
    assert kept.verify_all()
    kept.close()


def test_a_file_that_its_owner_may_not_read_is_still_one_to_verify(tmp_path: Path):
    kept = opened(tmp_path, Manifest("f", False, (FileEntry("f", 0, 0),), 4, "blake3", b""))
    assert kept.finish().stat().st_mode & 0o777 == 0o400
    kept.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=9), st.integers(1, 40), st.integers(0, 9), st.randoms())
def test_blocks_written_in_any_order_and_over_any_files_come_back(sizes, block_bytes, stop_after, rng):
    data = rng.randbytes(sum(sizes))
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "OPEN_FILES_MAX", 2)
        origin, at = Path(place, "origin", "c"), 0
        origin.mkdir(parents=True)
        for index, size in enumerate(sizes):
            (origin / f"{index}").write_bytes(data[at : at + size])
            at += size
        manifest = scan(origin, block_bytes)
        source = Source(origin, manifest)
        kept = opened(Path(place, "peer"), manifest)
        order = list(range(manifest.block_count))
        rng.shuffle(order)
        for count, block in enumerate(order):
            if count == stop_after:
                kept.close()
                kept = opened(Path(place, "peer"), manifest)
                assert kept.held & inventory.of(order[:count]) == inventory.of(order[:count])
                more = inventory.indices(kept.held & ~inventory.of(order[:count]))
                assert not any(any(kept.read(block)) for block in more), "only zeros are right without being written"
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
    monkeypatch.setattr(blocks, "OPEN_FILES_MAX", 4)
    entries = tuple(FileEntry(f"{index:03}", 10, 0o644) for index in range(100))
    manifest = Manifest("many", True, entries, 100, "blake3", film().digests)
    before = open_files()
    kept = opened(tmp_path, manifest)
    fill(kept)
    assert all(kept.read(block) == block_of(manifest, block) for block in range(10))
    assert open_files() <= before + 5
    kept.finish()
    assert kept.verify_all()
    kept.close()
    assert open_files() == before


# Resume: re-hash decides


def test_a_store_that_was_closed_goes_on_where_it_was(tmp_path: Path, manifest: Manifest):
    kept = opened(tmp_path, manifest)
    fill(kept, 1, 5, 9)
    kept.close()
    again = opened(tmp_path, manifest)
    assert again.held == inventory.of([1, 5, 9])
    again.close()


def test_what_a_disk_made_of_a_block_is_found_when_it_is_opened_again(tmp_path: Path, manifest: Manifest):
    kept = opened(tmp_path, manifest)
    fill(kept, 0, 2, 9)
    kept.write(2, bytes(100))
    kept.close()
    again = opened(tmp_path, manifest)
    assert again.held == inventory.of([0, 9])
    fill(again, *range(1, 9))
    again.finish()
    assert again.verify_all()
    again.close()


def test_only_what_the_disk_has_is_read_again_and_holes_are_right_where_zeros_are_wanted(tmp_path: Path, monkeypatch):
    block_bytes = 1 << 16
    data = Random(3).randbytes(6 * block_bytes) + bytes(4 * block_bytes)
    manifest = film(data=data, block_bytes=block_bytes)
    kept = opened(tmp_path, manifest)
    fill(kept, 1, 4, data=data)
    kept.close()
    read = []
    original = BlockFiles.read
    monkeypatch.setattr(BlockFiles, "read", lambda self, block, *rest: read.append(block) or original(self, block))
    again = opened(tmp_path, manifest)
    assert again.held == inventory.of([1, 4, 6, 7, 8, 9])
    assert read == [1, 4]
    again.close()


def test_where_a_system_tells_no_holes_everything_is_read_again(tmp_path: Path, manifest: Manifest, monkeypatch):
    kept = opened(tmp_path, manifest)
    fill(kept, 0, 4, 9)
    kept.close()
    monkeypatch.delattr(os, "SEEK_DATA")
    again = opened(tmp_path, manifest)
    assert again.held == inventory.of([0, 4, 9])
    again.close()


KILLED = """
import json, os, signal, sys
from pathlib import Path
from minibit.actors.disk.place import Place
from minibit.actors.disk.store import Store
from minibit.manifest import Manifest

CHANGES = ("open", "pwrite", "ftruncate", "mkdir", "chmod", "utime", "rename", "replace", "unlink", "close")
manifest = Manifest.decode(Path(sys.argv[1], "manifest").read_bytes())
data = Path(sys.argv[1], "data").read_bytes()
say = os.write


def counted(name):
    real = getattr(os, name)

    def call(*args, **more):
        global left
        left -= 1
        if not left:
            if name == "pwrite":
                real(args[0], args[1][: len(args[1]) // 2], args[2])
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **more)

    return call


def live(folder, pipe):
    for name in CHANGES:
        setattr(os, name, counted(name))
    kept = Store.open(Place(folder / manifest.name), manifest)
    for block in range(manifest.block_count):
        if not kept.held >> block & 1:
            kept.write(block, data[block * 100 : block * 100 + 100])
            say(pipe, bytes([block]))
    kept.finish()
    kept.close()
    os._exit(0)


lives = []
for moment in range(1, 1_000):
    left = moment if sys.argv[2] == "each" else 2 * moment + 3
    folder = Path(sys.argv[1], "peer" if sys.argv[2] == "chain" else f"peer-{moment}")
    heard, pipe = os.pipe()
    if not (pid := os.fork()):
        live(folder, pipe)
    os.close(pipe)
    with os.fdopen(heard, "rb") as written:
        lives.append(list(written.read()))
    if os.waitpid(pid, 0)[1] == 0:
        break
print(json.dumps(lives))
"""


def lives_of(folder: Path, manifest: Manifest, how: str) -> list[list[int]]:
    """Lives of a process that writes a copy, each killed at another change of the disk; the blocks that each wrote.

    `each`: every life has a folder of its own, and is killed one change later. `chain`: all have the same.
    """
    (folder / "manifest").write_bytes(manifest.encode())
    (folder / "data").write_bytes(DATA)
    run = subprocess.run([sys.executable, "-c", KILLED, folder, how], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def test_whenever_a_process_is_killed_no_block_that_it_wrote_is_lost(tmp_path: Path, manifest: Manifest):
    lives = lives_of(tmp_path, manifest, "each")
    assert len(lives) > 20
    for moment, written in enumerate(lives, 1):
        again = opened(tmp_path / f"peer-{moment}", manifest)
        assert again.held & inventory.of(written) == inventory.of(written), f"killed at change {moment}"
        if not again.finished:
            fill(again, *inventory.indices(inventory.full(10) & ~again.held))
        again.finish()
        assert again.verify_all()
        again.close()


def test_however_often_a_process_is_killed_no_block_is_written_twice(tmp_path: Path, manifest: Manifest):
    lives = lives_of(tmp_path, manifest, "chain")
    written = [block for blocks in lives for block in blocks]
    assert len(lives) > 3
    assert len(written) == len(set(written)), lives
    again = opened(tmp_path / "peer", manifest)
    assert again.complete
    assert again.verify_all()
    again.close()


@pytest.mark.parametrize("size", [0, 150, 2_000])
def test_a_partial_of_another_length_is_sized_and_hashed_again(tmp_path: Path, manifest: Manifest, size: int):
    kept = opened(tmp_path, manifest)
    fill(kept, *range(9))
    path = partial_of(tmp_path, manifest)
    kept.close()
    os.truncate(path, size)
    again = opened(tmp_path, manifest)
    assert path.stat().st_size == manifest.files[0].bytes
    lost = {block for block in range(9) for index, at, n in manifest.spans(block) if index == 0 and at + n > size}
    assert again.held == inventory.of(set(range(9)) - lost)
    again.close()


def test_a_file_that_is_missing_from_a_partial_folder_is_made_again(tmp_path: Path):
    kept = opened(tmp_path, album())
    fill(kept)
    kept.close()
    (tmp_path / "album.minibit-partial" / "c" / "d" / "e").unlink()
    again = opened(tmp_path, album())
    assert again.held == inventory.of(range(9))
    fill(again, 9)
    again.finish()
    assert again.verify_all()
    again.close()


def test_the_partial_of_an_older_version_gives_the_blocks_that_are_the_same(tmp_path: Path):
    kept = opened(tmp_path, film(data=DATA[:600] + bytes(500)))
    fill(kept, *range(8), data=DATA[:600] + bytes(500))
    kept.close()
    again = opened(tmp_path, film())
    assert again.held == inventory.of(range(6))
    again.close()


def test_an_end_in_the_middle_of_finishing_is_resumed(tmp_path: Path, manifest: Manifest):
    kept = opened(tmp_path, manifest)
    fill(kept)
    for index in range(len(manifest.files)):
        partial_of(tmp_path, manifest, index).chmod(0o400)
    kept.close()
    again = opened(tmp_path, manifest)
    assert again.complete
    assert partial_of(tmp_path, manifest).stat().st_mode & 0o200
    again.finish()
    again.close()


# What a copy keeps, and what others may see of it


def shape(root: Path) -> dict[str, tuple[int, int | None]]:
    """The modes of all below `root`, and the dates of its files."""
    found = {".": root, **{str(path.relative_to(root)): path for path in root.rglob("*")}}
    return {
        name: (path.stat().st_mode & 0o777, None if path.is_dir() else path.stat().st_mtime_ns)
        for name, path in found.items()
    }


def test_a_copy_keeps_modes_dates_and_empty_folders(tmp_path: Path):
    origin = tmp_path / "tree"
    (origin / "empty" / "inside").mkdir(parents=True)
    (origin / "bin").mkdir()
    (origin / "bin" / "run").write_bytes(DATA[:300])
    (origin / "nothing").touch()
    for path, mode in (("bin/run", 0o755), ("nothing", 0o604), ("bin", 0o750), ("empty", 0o700), (".", 0o711)):
        (origin / path).chmod(mode)
    os.utime(origin / "bin" / "run", ns=(1, 1_234_567_890_123_456_789))
    manifest = scan(origin, 100)
    kept = opened(tmp_path / "peer", manifest)
    fill(kept)
    assert shape(kept.finish()) == shape(origin)
    assert kept.verify_all()
    (kept.final / "empty" / "inside").rmdir()
    assert not kept.verify_all()
    kept.close()


def test_a_folder_that_its_owner_may_not_write_is_copied_as_one_that_can_be_removed(tmp_path: Path):
    manifest = Manifest("c", True, (), 4, "blake3", b"", (FolderEntry("", 0o555), FolderEntry("d", 0o500)))
    kept = opened(tmp_path / "peer", manifest)
    assert shape(kept.finish()) == {".": (0o755, None), "d": (0o700, None)}
    kept.discard()
    assert list(tmp_path.iterdir()) == []


def test_nobody_else_can_look_into_the_folders_that_a_store_makes(tmp_path: Path, manifest: Manifest):
    kept = opened(tmp_path / "run" / "files" / "peer", manifest)
    made = [tmp_path / "run", tmp_path / "run" / "files", tmp_path / "run" / "files" / "peer"]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700] * 3
    modes = {path.stat().st_mode & 0o077 for path in made[-1].rglob("*")}
    assert modes == {0}, "and nobody else can read a partial copy"
    kept.close()


# What is in the folder already


def test_a_right_final_copy_is_taken_as_it_is_and_never_removed(tmp_path: Path, manifest: Manifest):
    kept = opened(tmp_path, manifest)
    fill(kept)
    final = kept.finish()
    kept.close()
    again = opened(tmp_path, manifest)
    assert again.complete
    assert [again.read(block) for block in range(10)] == [block_of(manifest, block) for block in range(10)]
    assert again.finish() == final
    again.discard()
    assert final.exists()
    assert not (tmp_path / f"{manifest.name}.minibit-partial").exists()


def damaged(final: Path, manifest: Manifest, change: str) -> None:
    """Do something to a finished copy that costs one block, the fifth, or more."""
    file = final / "b" / "run" if manifest.folder else final
    file.chmod(0o600)
    match change:
        case "a byte":
            with file.open("r+b") as changed:
                changed.seek(150 if manifest.folder else 400)
                changed.write(b"!?")
        case "shorter":
            os.truncate(file, 150 if manifest.folder else 400)
        case "longer":
            os.truncate(file, 5_000)
        case "gone":
            file.unlink()


@pytest.mark.parametrize(("change", "lost"), [("a byte", 1), ("shorter", 6), ("longer", 0), ("gone", 8)])
def test_a_finished_copy_that_was_damaged_is_partial_again_and_lacks_its_wrong_blocks_only(
    tmp_path: Path, manifest: Manifest, change: str, lost: int
):
    kept = opened(tmp_path, manifest)
    fill(kept)
    final = kept.finish()
    kept.close()
    if change == "gone" and not manifest.folder:
        return  # that copy is not there at all
    damaged(final, manifest, change)
    again = opened(tmp_path, manifest)
    assert not final.exists()
    assert 10 - again.held.bit_count() == lost
    fill(again, *inventory.indices(inventory.full(10) & ~again.held))
    assert again.finish() == final
    assert again.verify_all()
    again.close()
    assert left(tmp_path, folders=True) == [manifest.name, f"{manifest.name}.minibit"]


def test_a_finished_copy_gets_the_modes_and_dates_that_the_source_has_by_now(tmp_path: Path, manifest: Manifest):
    kept = opened(tmp_path, manifest)
    fill(kept)
    final = kept.finish()
    kept.close()
    entries = tuple(FileEntry(entry.path, entry.bytes, 0o700, 10**18) for entry in manifest.files)
    touched = msgspec.structs.replace(manifest, files=entries)
    opened(tmp_path, touched).close()
    files = [final] if final.is_file() else [path for path in final.rglob("*") if path.is_file()]
    assert {(path.stat().st_mode & 0o777, path.stat().st_mtime_ns) for path in files} == {(0o700, 10**18)}
    damaged(final, manifest, "a byte")
    again = opened(tmp_path, manifest)
    assert again.held.bit_count() == 9, "a touched source does not make a copy a stranger's"
    again.close()


def test_a_finished_copy_that_turns_out_to_be_wrong_loses_its_name_at_once(tmp_path: Path, manifest: Manifest):
    kept = opened(tmp_path, manifest)
    fill(kept)
    kept.write(4, bytes(100))  # what another program may do to a partial copy
    final = kept.finish()
    assert not kept.verify_all()
    kept.reopen()
    assert not final.exists()
    kept.close()
    again = opened(tmp_path, manifest)
    assert again.held == inventory.full(10) & ~(1 << 4)
    again.close()


def test_a_finished_copy_that_another_program_changes_gives_no_wrong_byte(tmp_path: Path, manifest: Manifest):
    kept = opened(tmp_path, manifest)
    fill(kept)
    damaged(kept.finish(), manifest, "a byte")
    with pytest.raises(StoreError, match="changed by another program; start again"):
        kept.read(4, 10, 20)
    assert kept.read(5) == block_of(manifest, 5)
    kept.close()


def test_the_finished_copy_of_other_content_is_never_overwritten(tmp_path: Path):
    kept = opened(tmp_path, film(data=DATA[:900] + bytes(100)))
    fill(kept, data=DATA[:900] + bytes(100))
    kept.finish()
    kept.close()
    with pytest.raises(LocalError, match="move it away"):
        opened(tmp_path, film())
    assert (tmp_path / "film").read_bytes() == DATA[:900] + bytes(100)


@pytest.mark.parametrize("change", ["other bytes", "shorter", "other kind"])
def test_a_users_file_of_that_name_is_never_overwritten(tmp_path: Path, change: str):
    final = tmp_path / "film"
    if change == "other kind":
        final.mkdir()
    else:
        final.write_bytes(DATA[:-1] + b"!"[: change == "other bytes"])
    with pytest.raises(LocalError, match="move it away"):
        opened(tmp_path, film())
    assert left(tmp_path) == [] if final.is_dir() else left(tmp_path) == ["film"]
    opened(tmp_path, film("other")).close()  # and the folder is free again


def test_a_name_taken_meanwhile_is_not_overwritten_either(tmp_path: Path, manifest: Manifest):
    kept = opened(tmp_path, manifest)
    fill(kept)
    (tmp_path / manifest.name).write_text("mine")
    with pytest.raises(LocalError, match="move it away"):
        kept.finish()
    kept.discard()
    assert left(tmp_path) == [manifest.name]


def test_a_strangers_file_in_the_partial_folder_is_named_and_left(tmp_path: Path):
    opened(tmp_path, album()).close()
    (tmp_path / "album.minibit-partial" / "b" / "mine").write_text("mine")
    with pytest.raises(LocalError, match="b/mine is no part of album"):
        opened(tmp_path, album())
    assert "album.minibit-partial/b/mine" in left(tmp_path)


@pytest.mark.parametrize("obstacle", ["folder", "link", "pipe"])
def test_a_partial_that_is_no_plain_file_is_refused(tmp_path: Path, obstacle: str):
    (tmp_path / "victim").write_bytes(b"v")
    partial = tmp_path / "film.minibit-partial"
    {"folder": partial.mkdir, "link": lambda: partial.symlink_to("victim"), "pipe": lambda: os.mkfifo(partial)}[
        obstacle
    ]()
    with pytest.raises(LocalError, match="no plain file"):
        opened(tmp_path, film())
    assert (tmp_path / "victim").read_bytes() == b"v"


def test_a_partial_file_where_a_folder_must_be_is_refused(tmp_path: Path):
    (tmp_path / "album.minibit-partial").touch()
    with pytest.raises(LocalError, match="is no folder"):
        opened(tmp_path, album())


def test_two_peers_never_share_a_folder(tmp_path: Path, manifest: Manifest):
    before = open_files()
    kept = opened(tmp_path, manifest)
    with pytest.raises(LocalError, match="another peer uses"):
        opened(tmp_path, manifest)
    kept.close()
    kept.close()
    opened(tmp_path, manifest).close()
    assert open_files() == before


# The finished copy, read again


@pytest.mark.parametrize("change", ["a bit", "longer", "shorter", "more", "less", "link", "gone"])
def test_a_finished_copy_that_was_changed_is_not_verified(tmp_path: Path, change: str):
    kept = opened(tmp_path / "peer", album())
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
    kept = opened(tmp_path / "peer", manifest)
    if stage != "new":
        fill(kept, *([1, 2] if stage == "some" else []))
    if stage == "finished":
        kept.finish()
    kept.discard()
    kept.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("finished", [True, False])
def test_discarding_never_removes_a_strangers_file(tmp_path: Path, finished: bool):
    kept = opened(tmp_path / "peer", album())
    fill(kept)
    root = kept.finish() if finished else tmp_path / "peer" / "album.minibit-partial"
    (root / "b" / "mine").touch()
    (tmp_path / "peer" / "notes").touch()
    kept.discard()
    assert left(tmp_path / "peer") == [f"{root.name}/b/mine", "notes"]


# The disk fails


def test_a_copy_that_can_not_get_its_name_says_why(tmp_path: Path, manifest: Manifest, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    kept = opened(tmp_path, manifest)
    fill(kept)
    with monkeypatch.context() as patch:
        patch.setattr(store.os, "chmod", refused)
        with pytest.raises(StoreError, match=f"{manifest.name}: Operation not permitted"):
            kept.finish()
    assert not kept.finished
    assert kept.finish().exists()  # and once it may, it does
    kept.close()


def test_a_disk_without_inodes_is_said_to_have_none(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    found = pytest.raises(DiskFullError, match=r"no more files can be made .* though its disk has room: remove some")
    with mounted(disk, "size=1m,nr_inodes=3"), found:
        opened(disk / "peer", album())


def test_content_that_has_no_room_is_refused_before_anything_is_written(tiny_disk: Path):
    manifest = film(data=bytes(2 << 20), block_bytes=1 << 18)
    with pytest.raises(DiskFullError, match=r"no room for film in .*: 2 MiB needed, 1 MiB free; make"):
        opened(tiny_disk / "peer", manifest)
    assert list(tiny_disk.iterdir()) == []


@pytest.mark.parametrize("kind", [film, album])
def test_a_disk_that_gets_full_keeps_what_is_held_and_resumes_when_space_returns(tiny_disk: Path, kind):
    block_bytes = 1 << 16
    data = Random(2).randbytes(10 * block_bytes)
    manifest = kind(data=data, block_bytes=block_bytes)
    if manifest.folder:
        entries = tuple(FileEntry(f"{index}", 5 * block_bytes, 0o644) for index in range(2))
        manifest = Manifest("album", True, entries, block_bytes, "blake3", manifest.digests)
    kept = opened(tiny_disk / "peer", manifest)
    fill(kept, 0, 7, data=data)
    (tiny_disk / "hog").write_bytes(bytes(800 << 10))
    with pytest.raises(DiskFullError, match="no room is left"):
        fill(kept, 1, 2, 3, 4, 5, data=data)
    held = kept.held
    assert held & 0b10000001 == 0b10000001
    assert held.bit_count() < 7
    assert all(kept.read(block) == block_of(manifest, block, data) for block in inventory.indices(held))
    kept.close()
    with pytest.raises(DiskFullError, match="needed"):
        opened(tiny_disk / "peer", manifest)
    (tiny_disk / "hog").unlink()
    again = opened(tiny_disk / "peer", manifest)
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

    kept = opened(tmp_path, manifest)
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
    kept = opened(tmp_path, manifest)
    fill(kept)
    assert [kept.read(block) for block in range(10)] == [block_of(manifest, block) for block in range(10)]
    kept.close()


def test_files_cut_under_a_store_are_its_error_and_no_crash(tmp_path: Path, manifest: Manifest):
    kept = opened(tmp_path, manifest)
    fill(kept)
    for index in range(len(manifest.files)):
        os.truncate(partial_of(tmp_path, manifest, index), 0)
    with pytest.raises(StoreError, match="shorter"):
        kept.read(2)
    kept.close()


def test_a_folder_that_can_not_be_made_is_said(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="Not a directory"):
        opened(tmp_path / "file" / "peer", film())


def test_a_failure_while_opening_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def failing(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store.os, "ftruncate", failing)
    before = open_files()
    with pytest.raises(DiskFullError):
        opened(tmp_path / "peer", album())
    assert list(tmp_path.iterdir()) == []
    assert open_files() == before


# The seed


@pytest.fixture
def shared(tmp_path: Path, manifest: Manifest) -> Path:
    kept = opened(tmp_path / "origin", manifest)
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


@pytest.fixture
def scanned(shared: Path) -> Manifest:
    """The manifest of what is shared, with its dates."""
    return scan(shared, 100)


def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what is hashed from now on."""
    sizes: list[int] = []
    matches = Manifest.matches
    monkeypatch.setattr(
        Manifest, "matches", lambda self, block, data: sizes.append(block) or matches(self, block, data)
    )
    return sizes


def test_a_file_that_nobody_touched_is_shared_without_another_hash(shared: Path, scanned: Manifest, monkeypatch):
    source = Source(shared, scanned)
    again = hashed(monkeypatch)
    assert [source.read(block) for block in range(10)] == [block_of(scanned, block) for block in range(10)]
    assert again == []
    source.close()


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("change", ["longer", "touched", "other inode", "another mode"])
def test_a_touched_file_whose_bytes_are_right_is_shared_on_at_a_hash_a_block(
    shared: Path, scanned: Manifest, change: str, opened: bool, monkeypatch: pytest.MonkeyPatch
):
    source = Source(shared, scanned)
    if opened:
        source.read(2)
    file = shared / "b" / "run" if scanned.folder else shared
    match change:
        case "longer":
            with file.open("ab") as end:
                end.write(b"more")
        case "touched":
            os.utime(file, ns=(1, 1))
        case "other inode":
            copy = file.with_name("copy")
            shutil.copy2(file, copy)
            copy.replace(file)
        case "another mode":
            file.chmod(0o600)
    again = hashed(monkeypatch)
    for block in (4, 4, 5):
        assert [source.read(block, at, 50) for at in (0, 50)] == [
            block_of(scanned, block)[at : at + 50] for at in (0, 50)
        ]
    assert again in ([4, 5], []) if opened and change == "other inode" else again == [4, 5]
    source.close()


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("change", ["a byte", "a byte and its date", "shorter", "gone", "other content"])
def test_a_seed_gives_no_byte_of_a_block_that_changed_and_goes_on_with_the_others(
    shared: Path, scanned: Manifest, change: str, opened: bool
):
    source = Source(shared, scanned)
    if opened:
        source.read(4)
    file = shared / "b" / "run" if scanned.folder else shared
    before = file.stat()
    where = 400 if not scanned.folder else 150  # in block 4 of the content
    match change:
        case "a byte" | "a byte and its date":
            with file.open("r+b") as changed:
                changed.seek(where)
                changed.write(b"!?")
            if change != "a byte":
                os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        case "shorter":
            os.truncate(file, where)
        case "gone":
            file.unlink()
        case "other content":
            (shared.parent / "new").write_bytes(bytes(before.st_size))
            (shared.parent / "new").replace(file)
    if opened and change in ("gone", "other content"):
        assert source.read(4) == block_of(scanned, 4)  # the file that was opened is still what it was
    else:
        for _ in range(2):
            with pytest.raises(SourceError, match=r"block 4 of .*(No such file|changed while it was shared|shorter)"):
                source.read(4, 50, 10)
    if "byte" in change:
        assert [source.read(block) for block in (3, 5, 9)] == [block_of(scanned, block) for block in (3, 5, 9)]
    source.close()


def test_content_that_changed_between_hashing_and_sharing_is_found_block_by_block(shared: Path, scanned: Manifest):
    file = shared / "b" / "run" if scanned.folder else shared
    with file.open("r+b") as changed:
        changed.seek(150)
        changed.write(b"!?")
    source = Source(shared, scanned)
    block = 4 if scanned.folder else 1
    with pytest.raises(SourceError, match=f"block {block} of "):
        source.read(block)
    assert source.read(7) == block_of(scanned, 7)
    source.close()


def test_a_seed_of_other_content_or_of_none_is_refused(tmp_path: Path):
    make(tmp_path / "film", 999, seed=1)
    with pytest.raises(SourceError, match="changed"):
        Source(tmp_path / "film", film())
    with pytest.raises(SourceError, match="No such file"):
        Source(tmp_path / "none", film())
