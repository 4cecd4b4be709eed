"""The lock on a copy itself: it goes where the copy goes, and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minibit.actors.disk import lock
from minibit.actors.disk.lock import Claim
from minibit.errors import LocalError


@pytest.fixture(params=["file", "folder"])
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "copy"
    path.touch() if request.param == "file" else path.mkdir()
    return path


def free(path: Path) -> bool:
    claim = Claim(0.0, "taken")
    try:
        claim.take(path)
    except LocalError as error:
        assert str(error) == "taken"
        return False
    finally:
        claim.close()
    return True


def test_a_copy_is_locked_until_its_claim_is_closed_and_one_claim_may_take_it_twice(copy: Path):
    claim = Claim(0.0, "taken")
    claim.take(copy)
    claim.take(copy)
    assert not free(copy)
    claim.close()
    assert free(copy)
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_lock_goes_with_the_copy_to_its_new_name(copy: Path):
    claim = Claim(0.0, "taken")
    claim.take(copy)
    moved = copy.rename(copy.with_name("moved"))
    copy.touch()
    assert (free(moved), free(copy)) == (False, True)
    claim.close()


def test_what_can_not_be_a_copy_is_not_locked(tmp_path: Path):
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    claim = Claim(0.0, "taken")
    for name in ("link", "pipe", "nothing"):
        claim.take(tmp_path / name)
    assert free(tmp_path / "link")
    claim.close()


def test_a_copy_that_another_one_replaced_while_it_was_waited_for_is_not_mistaken_for_it(
    copy: Path, monkeypatch: pytest.MonkeyPatch
):
    first, third = Claim(0.0, "taken"), Claim(0.0, "taken")
    first.take(copy)

    def wait(_: float) -> None:
        copy.rename(copy.with_name("old"))
        copy.mkdir()
        third.take(copy)
        first.close()
        monkeypatch.setattr(lock.time, "sleep", lambda _: third.close())

    monkeypatch.setattr(lock.time, "sleep", wait)
    second = Claim(60.0, "taken")
    second.take(copy)
    assert (free(copy), free(copy.with_name("old"))) == (False, True)
    second.close()


def test_without_locks_every_claim_is_granted(copy: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lock, "fcntl", None)
    Claim(0.0, "taken").take(copy)
    assert free(copy)
