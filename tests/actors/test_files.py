"""Content: what `scan` sees of a disk, and what `make` writes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from minibit.actors.disk import blocks, files
from minibit.actors.disk.files import check_room, check_source, make, scan
from minibit.errors import DiskFullError, LocalError, SourceError
from minibit.manifest import DEPTH_MAX, Manifest, block_hash


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "album"
    (root / "b" / "deep").mkdir(parents=True)
    (root / "z.txt").write_bytes(b"zzzzz")
    (root / "b" / "deep" / "run.sh").write_bytes(b"#!")
    (root / "b" / "deep" / "run.sh").chmod(0o755)
    (root / "b" / "empty").touch()
    (root / "a").write_bytes(b"0123456789")
    (root / "z.txt").chmod(0o600)
    return root


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


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def changes_while_hashed(monkeypatch: pytest.MonkeyPatch, change) -> None:
    def changing(scanning: files.Scan) -> Manifest:
        change()
        return original(scanning)

    original = files.Scan.end
    monkeypatch.setattr(files.Scan, "end", changing)


@pytest.mark.parametrize("name", ["blake3", "sha256"])
def test_a_file_is_cut_into_blocks_and_each_is_hashed(tmp_path: Path, name):
    data = bytes(range(256)) * 4
    (tmp_path / "f.bin").write_bytes(data)
    manifest = scan(tmp_path / "f.bin", block_bytes=100, hash=name)
    assert (manifest.name, manifest.folder, manifest.content_bytes, manifest.block_count) == ("f.bin", False, 1024, 11)
    assert manifest.digests == b"".join(block_hash(name, data[at : at + 100]) for at in range(0, 1024, 100))
    assert Manifest.decode(manifest.encode()) == manifest


def test_many_ranges_hashed_by_threads_come_back_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "HASH_RANGE_BYTES", 30)
    data = make(tmp_path / "f", 5_000, seed=1).read_bytes()
    expected = b"".join(block_hash("blake3", data[at : at + 10]) for at in range(0, 5_000, 10))
    assert scan(tmp_path / "f", block_bytes=10).digests == expected


def test_the_progress_of_hashing_is_told_to_its_caller_from_nothing_to_all(tmp_path: Path, monkeypatch):
    pread, begun = os.pread, threading.Event()
    told: list[tuple[int, int]] = []

    def waiting(descriptor: int, count: int, at: int) -> bytes:
        begun.wait()
        return pread(descriptor, count, at)

    def progress(done_bytes: int, content_bytes: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        told.append((done_bytes, content_bytes))
        begun.set()

    monkeypatch.setattr(files, "HASH_RANGE_BYTES", 100)
    monkeypatch.setattr(files.os, "pread", waiting)
    manifest = scan(make(tmp_path / "f", 1_050, seed=1), 100, progress=progress)
    assert manifest == scan(tmp_path / "f", 100)
    assert (told[0], told[-1]) == ((0, 1_050), (1_050, 1_050))
    assert told == sorted(told)


def test_a_scan_in_the_background_tells_the_digests_without_a_gap_from_the_first_on(tmp_path: Path, monkeypatch):
    class Held(blocks.BlockFiles):
        def digest(self, block: int, stopped: threading.Event | None = None) -> bytes:
            reached.add(block)
            free[block].wait()
            return super().digest(block, stopped)

    film = make(tmp_path / "f", 400, seed=1)
    whole, reached, free = scan(film, 100), set[int](), [threading.Event() for _ in range(4)]
    monkeypatch.setattr(files, "HASH_RANGE_BYTES", 100)
    monkeypatch.setattr(files, "HASH_THREADS", 2)
    monkeypatch.setattr(files, "BlockFiles", Held)
    with files.Scan(film, 100) as scanning:
        assert (scanning.manifest.known, scanning.digests, scanning.over) == (0, b"", False)
        free[1].set()
        while 2 not in reached:
            scanning.wait(0.01)
        assert (scanning.digests, scanning.hashed_bytes) == (b"", 100)
        free[0].set()
        while 3 not in reached:
            scanning.wait(0.01)
        assert scanning.digests == whole.digests[:64]
        for event in free:
            event.set()
        while not scanning.over:
            scanning.wait(0.01)
        assert (scanning.digests, scanning.end()) == (whole.digests, whole)


@pytest.mark.parametrize("block_bytes", [1, 1 << 20, 64 << 20])
@pytest.mark.parametrize("error", [KeyboardInterrupt, LocalError])
def test_hashing_stops_at_once_when_its_caller_has_enough(tmp_path: Path, monkeypatch, block_bytes: int, error):
    reads, raised_at = [], []
    threads = threading.active_count()
    pread = os.pread

    def counting(descriptor: int, count: int, at: int) -> bytes:
        reads.append(count)
        return pread(descriptor, count, at)

    def enough(done_bytes: int, content_bytes: int) -> None:
        raised_at.append(len(reads))
        raise error

    monkeypatch.setattr(files.os, "pread", counting)
    with (tmp_path / "f").open("wb") as file:
        file.truncate(min(block_bytes * 100_000, 1 << 40))  # a hole: nobody could hash so much within this test
    with pytest.raises(error):
        scan(tmp_path / "f", block_bytes, progress=enough)
    ended_at = len(reads)
    assert ended_at - raised_at[0] < 1_000, "a thread ends the read that it is in, and hardly more"
    assert threading.active_count() == threads
    assert max(reads, default=0) <= blocks.PART_BYTES


def test_a_folder_is_all_its_files_in_order_with_their_modes(folder: Path):
    manifest = scan(folder, block_bytes=4)
    assert [(entry.path, entry.bytes) for entry in manifest.files] == [
        ("a", 10),
        ("b/deep/run.sh", 2),
        ("b/empty", 0),
        ("z.txt", 5),
    ]
    assert (manifest.files[1].mode, manifest.files[3].mode) == (0o755, 0o600)
    assert manifest.digest_of(2) == block_hash("blake3", b"89#!")
    assert Manifest.decode(manifest.encode()) == manifest


def test_more_files_than_are_kept_open_are_scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blocks, "OPEN_FILES_MAX", 3)
    for index in range(20):
        (tmp_path / f"{index:02}").write_bytes(bytes([index]))
    before = open_files()
    assert scan(tmp_path, block_bytes=50).digests == block_hash("blake3", bytes(range(20)))
    assert open_files() == before


def test_an_empty_file_is_content_without_a_block(tmp_path: Path):
    (tmp_path / "nothing").touch()
    manifest = scan(tmp_path / "nothing")
    assert (manifest.content_bytes, manifest.block_count, manifest.digests) == (0, 0, b"")
    assert Manifest.decode(manifest.encode()) == manifest


def test_a_relative_path_with_dots_still_has_a_name(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder / "b")
    assert scan(Path("..")).name == "album"


def test_links_to_files_and_folders_anywhere_count_as_what_they_lead_to(folder: Path, tmp_path: Path):
    """A snapshot of a model hub is a folder of links into a store of blobs beside it."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "4f2a").write_bytes(b"weights")
    (folder / "model").symlink_to("../blobs/4f2a")
    (folder / "same").symlink_to("b/deep/run.sh")
    (folder / "beside").symlink_to(tmp_path / "blobs")
    manifest = scan(folder)
    assert {entry.path: (entry.bytes, entry.mode & 0o700) for entry in manifest.files}.items() >= {
        "model": (7, 0o600),
        "same": (2, 0o700),
        "beside/4f2a": (7, 0o600),
    }.items()
    assert "beside" in {entry.path for entry in manifest.folders}


def test_a_link_as_the_content_keeps_its_own_name(folder: Path, tmp_path: Path):
    (tmp_path / "alias").symlink_to(folder)
    assert scan(tmp_path / "alias").name == "alias"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (".", "bad is a link to a folder that it lies in"),
        ("b/up", "is a link to a folder that it lies in"),
        ("gone", "No such file"),
        ("bad", "(?i)too many levels"),
    ],
)
def test_a_link_that_leads_nowhere_or_back_is_refused(folder: Path, target: str, why: str):
    if target == "b/up":
        (folder / "b" / "up").symlink_to("..")
    (folder / "bad").symlink_to(target)
    with pytest.raises(SourceError, match=why):
        scan(folder)


def test_empty_folders_and_the_modes_of_all_folders_are_in_the_manifest(folder: Path):
    (folder / "empty" / "inside").mkdir(parents=True)
    for path, mode in ((".", 0o750), ("b", 0o700), ("b/deep", 0o755), ("empty", 0o711), ("empty/inside", 0o755)):
        (folder / path).chmod(mode)
    found = {entry.path: entry.mode for entry in scan(folder).folders}
    assert found == {"": 0o750, "b": 0o700, "b/deep": 0o755, "empty": 0o711, "empty/inside": 0o755}


def test_a_folder_as_deep_as_a_manifest_takes_is_shared_and_a_deeper_one_is_refused_in_one_line(tmp_path: Path):
    root = tmp_path / "deep"
    here = root
    for _ in range(DEPTH_MAX - 1):
        here = here / "d"
    here.mkdir(parents=True)
    (here / "file").write_bytes(b"found")
    assert scan(root).content_bytes == 5
    descriptor = os.open(here, os.O_RDONLY)
    for _ in range(900):  # deeper than Python calls itself
        os.mkdir("d", dir_fd=descriptor)
        above, descriptor = descriptor, os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(above)
    os.close(descriptor)
    with pytest.raises(SourceError, match=r"the path d/d/d/\.\.\. is 201 folders deep, and 200 is the most"):
        scan(root)
    subprocess.run(["rm", "-rf", root], check=True)  # pytest can't


@pytest.mark.parametrize("path", ["/proc/self/environ", "/proc/version"])
def test_a_file_whose_bytes_the_system_makes_as_they_are_read_is_refused(path: str, tmp_path: Path):
    if not Path(path).exists():
        pytest.skip("there is no /proc here")
    with pytest.raises(SourceError, match="it has no size; copy it to a plain file first"):
        scan(Path(path))
    (tmp_path / "inside").symlink_to(path)
    with pytest.raises(SourceError, match="it has no size"):
        scan(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_is_no_file_and_no_folder_is_known_before_anything_is_started(kind: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("/dev/zero" if kind == "device" else kind)
    if kind == "pipe":
        os.mkfifo(path)
    with socket.socket(socket.AF_UNIX) as server:
        if kind == "socket":
            server.bind(kind)
        with pytest.raises(SourceError, match="neither a file nor a folder"):
            check_source(path)


def test_what_is_missing_or_no_plain_file_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)  # the path of a socket must be short
    with pytest.raises(SourceError, match="No such file"):
        scan(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="neither a file nor a folder"):
        scan(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(SourceError, match="socket is no plain file"):
            scan(folder)


def test_a_file_that_may_not_be_read_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(path, flags, *rest, **more):  # root may read everything: only a stand-in refuses it
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files.os, "open", refuse)
    with pytest.raises(SourceError, match=r"Permission denied.*album/b/empty"):
        scan(folder)


@pytest.mark.parametrize("name", [b"back\\slash", b"latin-\xe9", b"C:drive"])
def test_a_file_name_that_another_system_could_not_have_is_refused(folder: Path, name: bytes):
    (folder / os.fsdecode(name)).touch()
    with pytest.raises(SourceError, match="path"):
        scan(folder)


@pytest.mark.parametrize("change", ["longer", "touched", "replaced", "added", "removed"])
def test_content_that_changes_while_it_is_hashed_is_refused(folder: Path, change: str, monkeypatch: pytest.MonkeyPatch):
    def apply() -> None:
        file = folder / "a"
        match change:
            case "longer":
                file.write_bytes(b"0123456789+")
            case "touched":
                os.utime(file, ns=(1, 1))
            case "replaced":
                (folder.parent / "other").write_bytes(b"9876543210")
                (folder.parent / "other").replace(file)
            case "added":
                (folder / "new").touch()
            case "removed":
                file.unlink()

    changes_while_hashed(monkeypatch, apply)
    with pytest.raises(SourceError, match="changed while it was hashed"):
        scan(folder)


def test_a_file_cut_in_the_middle_of_the_hashing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = make(tmp_path / "f", 1_000, seed=1)
    pread = os.pread

    def cutting(descriptor: int, count: int, at: int) -> bytes:
        os.truncate(file, 500)
        return pread(descriptor, count, at)

    monkeypatch.setattr(files.os, "pread", cutting)
    with pytest.raises(SourceError):
        scan(file, block_bytes=100)


def test_wrong_options_are_the_callers_mistake(folder: Path):
    for wrong in ({"block_bytes": 0}, {"block_bytes": 1 << 30}, {"hash": "md5"}):
        with pytest.raises(LocalError) as caught:
            scan(folder, **wrong)
        assert caught.value.exit_code == 2


@pytest.mark.parametrize("content_bytes", [0, 1, (1 << 20) - 1, 1 << 20, (2 << 20) + 5])
def test_made_content_is_the_same_for_the_same_seed(tmp_path: Path, content_bytes: int):
    one = make(tmp_path / "new" / "one", content_bytes, seed=1).read_bytes()
    assert len(one) == content_bytes
    assert make(tmp_path / "again", content_bytes, seed=1).read_bytes() == one
    if content_bytes > 8:
        assert make(tmp_path / "other", content_bytes, seed=2).read_bytes() != one
        assert len({one[at : at + 4096] for at in range(0, len(one), 4096)}) == -(-len(one) // 4096)


def test_content_that_has_no_room_is_not_made_at_all(tiny_disk: Path):
    with pytest.raises(DiskFullError, match="no room"):
        make(tiny_disk / "big", 4 << 20, seed=1)
    assert list(tiny_disk.iterdir()) == []


def test_room_is_asked_of_the_disk_where_a_folder_will_be(tiny_disk: Path):
    check_room(1 << 20, tiny_disk / "not" / "yet", "a copy", "make room")
    with pytest.raises(DiskFullError, match=f"no room for a copy in {tiny_disk}: 2 MiB needed, 1 MiB free; sl"):
        check_room(2 << 20, tiny_disk / "not" / "yet", "a copy", "sleep")


def test_content_that_can_not_be_made_leaves_nothing_behind(tmp_path: Path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(SourceError, match="can't make"):
        make(tmp_path / "taken", 10, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_the_size_of_blocks_may_follow_from_the_size_of_the_content(tmp_path):
    path = tmp_path / "film"
    path.write_bytes(bytes(100_000))
    asked = []
    manifest = scan(path, lambda content_bytes: asked.append(content_bytes) or 30_000)
    assert (manifest.block_bytes, manifest.block_count) == (30_000, 4)
    assert asked == [100_000]
    assert manifest == scan(path, 30_000)
