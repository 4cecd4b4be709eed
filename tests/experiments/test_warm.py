"""Warm copies: what is lent is garbage in the same files each time, and both contestants write over it."""

from __future__ import annotations

from pathlib import Path

import pytest
import warm
from libtorrent_swarm import share
from swarms import minibit, usual_size
from warm import GARBAGE, WarmCopies, warm_copies

from minibit.actors.disk.files import make
from minibit.errors import DiskFullError, LocalError

SIZE = (1 << 20) + 123


@pytest.fixture
def content(tmp_path: Path) -> Path:
    return make(tmp_path / "source" / "content", SIZE, seed=1)


@pytest.fixture
def copies(tmp_path: Path) -> WarmCopies:
    (tmp_path / "warm").mkdir()
    return WarmCopies(tmp_path / "warm", 3, SIZE)


def test_what_is_lent_is_the_same_files_with_garbage_again(tmp_path: Path, copies: WarmCopies):
    inodes = []
    for turn in ("one", "other"):
        places = [tmp_path / turn / name for name in ("a", "b")]
        copies.lend(places)
        assert all(place.read_bytes() == GARBAGE + GARBAGE[:123] for place in places)
        inodes.append([place.stat().st_ino for place in places])
        for place in places:
            place.write_bytes(b"x" * SIZE)
            place.chmod(0o400)
            place.unlink()
    assert inodes[0] == inodes[1]
    assert 0 < copies.rewrite_bps < float("inf")


def test_minibit_writes_over_them(content: Path, copies: WarmCopies, tmp_path: Path):
    summary = minibit(content, 3, ["--block-size", "64KiB"], copies)
    assert (summary["completed"], summary["verified"]) == (3, 3)
    assert summary["bytes"]["moved"] >= 3 * SIZE  # no block of the garbage was taken for one of the content
    lent = sorted((tmp_path / "warm").iterdir())
    assert [path.read_bytes() == content.read_bytes() for path in lent] == [True] * 3
    assert [path.name for path in content.parent.iterdir()] == ["content"]


def test_libtorrent_writes_over_them(content: Path, copies: WarmCopies, tmp_path: Path):
    folder = tmp_path / "copies"
    copies.lend([folder / f"{node}" / "content" for node in (1, 2, 3)])
    assert share(content, folder, peers=3, piece_bytes=64 << 10, timeout_s=60).verified == 3
    lent = sorted((tmp_path / "warm").iterdir())
    assert [path.read_bytes() == content.read_bytes() for path in lent] == [True] * 3


def test_no_garbage_is_a_block_of_made_content(content: Path):
    made = content.read_bytes()
    assert not {made[at : at + 64] for at in range(0, SIZE, 64)} & {
        GARBAGE[at : at + 64] for at in range(0, 1 << 20, 64)
    }


def test_files_that_have_no_room_are_refused_before_they_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DiskFullError, match="no room for 1000 copies"):
        WarmCopies(tmp_path, 1000, 1 << 50)
    monkeypatch.setattr(warm, "free_memory_bytes", lambda: 1 << 20)
    with pytest.raises(LocalError, match=r"2 copies need 2 MiB to be warm, and 1 MiB of memory are free"):
        WarmCopies(tmp_path, 2, 1 << 20)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_warm_copies_is_removed():
    with warm_copies(1, 10) as copies:
        (file,) = copies._files
        assert file.stat().st_size == 10
    assert not file.parent.exists()


def test_more_peers_share_less_content():
    sizes = [usual_size(peers) for peers in (1, 7, 8, 49, 50, 1000)]
    assert sizes == ["1GiB", "1GiB", "256MiB", "256MiB", "64MiB", "64MiB"]


def test_a_swarm_of_ours_that_fails_is_no_result(tmp_path: Path, copies: WarmCopies):
    with pytest.raises(LocalError, match="exit code 3"):
        minibit(tmp_path / "missing", 3, [], copies)
    assert [path.name for path in tmp_path.iterdir()] == ["warm"]
