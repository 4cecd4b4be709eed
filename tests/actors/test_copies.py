"""Copies after their push: read again, listed, removed. Only what is ours goes, and only where no push is at work."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from delivered import content, delivered

from minibit.actors.disk import copies, marks
from minibit.actors.disk.place import Place
from minibit.actors.disk.scratch import Scratch
from minibit.actors.disk.survey import PROBE, STALE_S
from minibit.cli.verify import line
from minibit.manifest import Manifest


@pytest.fixture(autouse=True)
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(copies, "PATIENCE_S", 0.0)


@pytest.fixture
def copy(tmp_path: Path) -> tuple[Place, Manifest]:
    """A copy of a small folder."""
    return delivered(content(tmp_path / "source"), tmp_path / "data" / "model")


def names(place: Place) -> list[str]:
    return sorted(path.name for path in place.final.parent.iterdir())


def rewrite(path: Path, data: bytes) -> None:
    """Change the bytes of a file and nothing else that the system tells."""
    before = path.stat()
    path.chmod(0o600)
    path.write_bytes(data)
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
    path.chmod(before.st_mode)


# reading again


def test_a_copy_is_right_by_the_mark_beside_it_or_by_another_manifest(copy: tuple[Place, Manifest]) -> None:
    place, manifest = copy
    found = copies.verify(str(place.final))
    assert (found.verdict, found.why) == ("right", "")
    assert (found.files, found.content_bytes) == (7, manifest.content_bytes)
    place.mark.unlink()
    assert copies.verify(str(place.final), manifest.encode()).verdict == "right"
    assert copies.verify(str(place.final)).verdict == "unknown"
    assert copies.verify(str(place.final.with_name("none"))).verdict == "absent"


def test_copies_with_the_same_bytes_have_one_digest_whatever_their_dates(
    copy: tuple[Place, Manifest], tmp_path: Path
) -> None:
    (tmp_path / "source" / "a").touch()
    other, manifest = delivered(tmp_path / "source", tmp_path / "other")
    assert manifest.digest != copy[1].digest
    digest = copies.verify(str(other.final)).digest
    assert digest == copies.verify(str(copy[0].final)).digest
    (tmp_path / "source" / "a").write_bytes(b"another")
    assert copies.verify(str(delivered(tmp_path / "source", tmp_path / "third")[0].final)).digest != digest


def test_bytes_that_changed_without_a_trace_are_found(copy: tuple[Place, Manifest]) -> None:
    place, _ = copy
    rewrite(place.final / "a", bytes(250))
    assert marks.read(place).untouched(place)  # type: ignore[union-attr]
    found = copies.verify(str(place.final))
    assert (found.verdict, found.why) == ("wrong", "with other bytes: a")


def test_what_lacks_what_is_too_much_and_what_is_another_thing_is_named(copy: tuple[Place, Manifest]) -> None:
    place, _ = copy
    place.final.chmod(0o700)
    (place.final / "a").unlink()
    (place.final / "more").touch()
    (place.final / "empty").unlink()
    (place.final / "empty").mkdir()
    found = copies.verify(str(place.final))
    assert found.why == "missing: a; not of it: more; of another kind or size: empty"


def test_a_second_name_of_a_file_must_have_the_same_bytes(copy: tuple[Place, Manifest]) -> None:
    place, manifest = copy
    (twin,) = manifest.twins
    path = place.final / twin.path
    path.parent.chmod(0o700)
    path.unlink()
    path.write_bytes(bytes(1000))
    assert copies.verify(str(place.final)).why == f"with other bytes: {twin.path}"


def test_many_names_are_counted(copy: tuple[Place, Manifest]) -> None:
    place, _ = copy
    place.final.chmod(0o700)
    for name in "vwxyz":
        (place.final / name).touch()
    assert copies.verify(str(place.final)).why == "not of it: v, w, x and 2 more"


def test_a_copy_that_is_one_file_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(bytes(range(250)))
    place, _ = delivered(tmp_path / "film", tmp_path / "data" / "film")
    assert copies.verify(str(place.final)).verdict == "right"
    rewrite(place.final, bytes(250))
    assert copies.verify(str(place.final)).why == "with other bytes: film"


def test_the_list_is_what_sha256sum_takes(copy: tuple[Place, Manifest], tmp_path: Path) -> None:
    place, _ = copy
    text = b"".join(line(digest, path) for digest, path in copies.sha256(str(place.final)))
    assert text.count(b"\n") == 7
    if shutil.which("sha256sum"):
        checked = subprocess.run(["sha256sum", "-c"], input=text, capture_output=True, check=False)
        assert (checked.returncode, checked.stdout.count(b": OK\n")) == (0, 7), checked
        theirs = subprocess.run(
            ["sha256sum", *(path for _, path in copies.sha256(str(place.final)))], capture_output=True, check=True
        )
        assert theirs.stdout == text


# removing


def test_a_copy_goes_with_all_that_is_beside_it(copy: tuple[Place, Manifest]) -> None:
    place, _ = copy
    place.partial.mkdir()
    neighbour = place.final.with_name("model-2")
    neighbour.mkdir()
    found = copies.remove(str(place.final))
    assert (found.what, found.kept) == (("model.minibit-partial", "model", "model.minibit"), "")
    assert found.freed_bytes > 0
    assert names(place) == ["model-2"]
    assert copies.remove(str(place.final)) == copies.Removed()


def test_what_is_not_ours_stays_unless_it_is_forced(copy: tuple[Place, Manifest]) -> None:
    place, _ = copy
    place.final.chmod(0o700)
    (place.final / "checkpoint").touch()
    found = copies.remove(str(place.final))
    assert found.kept == f"{place.final}/checkpoint is no part of what was pushed: move it away, or force it"
    (place.final / "checkpoint").unlink()
    (place.final / "a").chmod(0o600)
    (place.final / "a").write_bytes(b"mine")
    assert "/a was changed since it was pushed" in copies.remove(str(place.final)).kept
    assert names(place) == ["model", "model.minibit"]
    assert copies.remove(str(place.final), force=True).kept == ""
    assert names(place) == []


def test_a_folder_that_no_push_made_stays(tmp_path: Path) -> None:
    place = Place(tmp_path / "model")
    place.final.mkdir()
    assert copies.remove(str(place.final)).kept.endswith("is not what a push left there: move it away, or force it")
    assert names(place) == ["model", "tmp"]


def test_a_copy_of_which_files_are_lost_goes_all_the_same(copy: tuple[Place, Manifest]) -> None:
    place, _ = copy
    place.final.chmod(0o700)
    (place.final / "a").unlink()
    assert copies.remove(str(place.final)).kept == ""
    assert names(place) == []


def test_content_that_was_pushed_from_there_stays_even_if_it_is_forced(tmp_path: Path) -> None:
    source = content(tmp_path / "model")
    place, manifest = Place(source), delivered(source, tmp_path / "elsewhere")[1]
    marks.remember_source(place, manifest, source)
    assert place.mark.exists()
    found = copies.remove(str(source), force=True)
    assert (found.what, found.kept) == (("model.minibit",), f"{source} stays: it was pushed from there")
    assert (source / "a").exists()


def test_nothing_is_removed_while_a_push_is_at_work(copy: tuple[Place, Manifest]) -> None:
    place, _ = copy
    place.partial.mkdir()
    lock = os.open(place.partial, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert copies.remove(str(place.final), force=True).kept.startswith("a push uses ")
    assert copies.clean(str(place.final), partials=True).kept.startswith("a push uses ")
    assert names(place) == ["model", "model.minibit", "model.minibit-partial"]
    os.close(lock)


# cleaning


def test_scratch_that_nobody_uses_goes_and_what_is_used_stays() -> None:
    dead, used = Scratch.use("minibit-dead.scratch"), Scratch.use("minibit-used.scratch")
    dead.leave()
    assert copies.clean(None).what == ("minibit-dead.scratch",)
    assert used.path.exists()
    used.remove()


def test_beside_a_whole_copy_what_was_swapped_out_goes(copy: tuple[Place, Manifest]) -> None:
    place, _ = copy
    place.new.mkdir()
    place.partial.mkdir()
    probe = place.final.with_name(f"{PROBE}12ab")
    probe.touch()
    os.utime(probe, (0, probe.stat().st_mtime - 2 * STALE_S))
    assert copies.clean(str(place.final)).what == (probe.name, "model.minibit-new")
    assert copies.clean(str(place.final), partials=True).what == ("model.minibit-partial",)
    assert names(place) == ["model", "model.minibit"]


def test_what_the_next_push_can_use_goes_only_if_it_is_asked_for(tmp_path: Path) -> None:
    place = Place(tmp_path / "data" / "model")
    for path in (place.new, place.partial):
        path.mkdir(parents=True)
    assert copies.clean(str(place.final)) == copies.Removed()
    assert copies.clean(str(place.final), partials=True).what == ("model.minibit-new", "model.minibit-partial")
