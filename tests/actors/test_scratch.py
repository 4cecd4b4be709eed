"""Scratch folders have owners, and what has none is swept."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from minibit.actors.disk import scratch
from minibit.actors.disk.scratch import Scratch
from minibit.errors import DiskFullError, LocalError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of this test's own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


USER = """
import sys
from minibit.actors.disk.scratch import Scratch
used = Scratch.use(sys.argv[1])
(used.path / "peer-01").mkdir()
(used.path / "peer-01" / "film").write_bytes(bytes(1000))
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def user(tmp: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process, which uses the scratch folder `minibit-theirs.scratch`."""
    environment = {**os.environ, "TMPDIR": str(tmp), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", USER, "minibit-theirs.scratch"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_uses_is_not(user, tmp):
    scratch.sweep()
    assert (tmp / "minibit-theirs.scratch" / "peer-01" / "film").exists()
    user.send_signal(signal.SIGKILL)
    user.wait()
    scratch.sweep()
    assert not list(tmp.iterdir())


def test_nothing_else_is_swept(tmp):
    others = ["minibit-bench-abc", "minibit-x.scratchy", "other.scratch", "minibit-file.scratch"]
    for name in others[:-1]:
        (tmp / name).mkdir()
    (tmp / others[-1]).write_text("no folder")
    outside = tmp / "outside"
    outside.mkdir()
    (tmp / "minibit-link.scratch").symlink_to(outside)
    scratch.sweep()
    assert sorted(path.name for path in tmp.iterdir()) == sorted([*others, "minibit-link.scratch", "outside"])


def test_what_another_user_left_is_that_users_to_sweep(tmp, monkeypatch):
    Scratch.use("minibit-a.scratch").leave()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    scratch.sweep()
    assert (tmp / "minibit-a.scratch").exists()


def test_it_is_for_its_owner_only_and_has_a_name_of_its_own():
    used = Scratch.use(scratch.new_name("demo"))
    assert stat.S_IMODE(used.path.stat().st_mode) == 0o700
    assert scratch.new_name("demo") != scratch.new_name("demo")
    used.remove()
    assert not used.path.exists()
    used.remove()  # a second time changes nothing


def test_many_use_one_and_it_stays_as_long_as_any_of_them_does():
    first, second = Scratch.use("minibit-a.scratch"), Scratch.use("minibit-a.scratch")
    first.leave()
    scratch.sweep()
    assert second.path.exists()
    second.leave()
    scratch.sweep()
    assert not second.path.exists()


def test_it_is_removed_when_the_last_user_has_ended_or_after_a_while_all_the_same(user, tmp, monkeypatch):
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        user.send_signal(signal.SIGKILL)
        user.wait()

    monkeypatch.setattr(scratch.time, "sleep", pause)
    scratch.remove("minibit-theirs.scratch")
    assert len(waited) == 1
    monkeypatch.setattr(scratch, "REMOVE_S", 0.0)
    used = Scratch.use("minibit-ours.scratch")
    scratch.remove("minibit-ours.scratch")
    assert not list(tmp.iterdir())
    used.leave()


def test_copies_of_read_only_folders_go_too(tmp):
    used = Scratch.use("minibit-a.scratch")
    deep = used.path / "peer-01" / "docs" / "old"
    deep.mkdir(parents=True)
    (deep / "page").write_text("text")
    for folder in (deep, deep.parent, deep.parent.parent):
        folder.chmod(0o500)
    used.remove()
    assert not list(tmp.iterdir())


def test_a_user_that_comes_while_it_is_swept_gets_a_folder_that_is_there():
    """A folder that is made and not yet locked may be swept: it is made anew."""
    name = "minibit-a.scratch"
    going = True

    def sweep() -> None:
        while going:
            scratch.sweep()

    sweepers = [Thread(target=sweep) for _ in range(2)]
    for sweeper in sweepers:
        sweeper.start()
    try:
        for _ in range(200):
            used = Scratch.use(name)
            (used.path / "film").write_text("text")
            assert (used.path / "film").exists()
            used.leave()
    finally:
        going = False
        for sweeper in sweepers:
            sweeper.join()


@pytest.mark.parametrize("why", ["no fcntl", "no locks"])
def test_where_nothing_can_be_locked_nothing_is_swept_and_all_else_works(why, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(*(scratch, "fcntl", None) if why == "no fcntl" else (scratch.fcntl, "flock", refuse))
    used = Scratch.use("minibit-a.scratch")
    used.leave()
    scratch.sweep()
    assert used.path.exists()
    used.remove()
    assert not used.path.exists()


@pytest.mark.parametrize(
    ("number", "inodes", "kind", "says"),
    [
        (errno.EACCES, 1, LocalError, r"can't make .*/minibit-a.scratch \(Permission denied\): set TMPDIR to a folder"),
        (errno.ENOSPC, 1, DiskFullError, "has no room: remove files there, or set TMPDIR to a larger disk"),
        (errno.ENOSPC, 0, DiskFullError, "has no room for another file .it has no inode left.: remove files there"),
    ],
)
def test_a_place_that_takes_no_folder_is_named_with_what_to_do(number, inodes, kind, says, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    class Found:
        f_files, f_favail = 100, inodes

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(os, "statvfs", lambda _: Found)
    with pytest.raises(kind, match=says):
        Scratch.use("minibit-a.scratch")


def test_without_any_temporary_folder_it_says_what_to_set(monkeypatch):
    def refuse() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", refuse)
    with pytest.raises(LocalError, match="set TMPDIR to one that can"):
        Scratch.use("minibit-a.scratch")
