"""What one node says of itself and of a destination: it looks, and leaves nothing unless it is told to."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

import pytest
from delivered import content, delivered
from disk import mounted

import minibit
from minibit.actors.disk import survey as disk
from minibit.actors.disk.survey import PROBE, STALE_S, probe_name, seen, survey, sweep_probes


def test_a_node_says_its_versions_its_system_and_its_limits(tmp_path: Path) -> None:
    found = survey(str(tmp_path / "model"))
    assert found.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found.versions["minibit"] == minibit.__version__
    assert {"msgspec", "blake3"} <= found.versions.keys()
    assert found.python == sys.executable
    assert 0 < found.open_files[0] <= found.open_files[1]


def test_where_nothing_is_it_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    found = survey(str(tmp_path / "deep" / "below" / "model")).dest
    assert (found.state, found.fault, found.partial_bytes, found.busy) == ("absent", "", 0, False)
    assert (found.folder, found.device) == (str(tmp_path), tmp_path.stat().st_dev)
    assert found.free_bytes > 0
    assert list(tmp_path.iterdir()) == []


def test_without_a_destination_it_looks_at_its_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert survey(None).dest.folder == str(tmp_path)


def test_other_content_is_other_and_the_source_is_the_source_by_any_name(tmp_path: Path) -> None:
    there = tmp_path / "model"
    there.mkdir()
    (tmp_path / "link").symlink_to(there)
    assert survey(str(there)).dest.state == "other"
    assert survey(str(there), str(tmp_path / "elsewhere")).dest.state == "other"
    assert survey(str(there), str(tmp_path / "link")).dest.state == "source"


@pytest.mark.parametrize("ending", ["partial", "new"])  # of a push that was killed: midway, or just before the swap
def test_a_copy_that_was_begun_is_measured_and_said_to_be_in_use_as_long_as_it_is_locked(
    tmp_path: Path, ending: str
) -> None:
    partial = tmp_path / f"model.minibit-{ending}"
    partial.mkdir()
    (partial / "weights").write_bytes(os.urandom(100_000))
    with (partial / "holes").open("wb") as file:
        file.truncate(10 << 20)
    found = survey(str(tmp_path / "model")).dest
    assert 100_000 <= found.partial_bytes < 1 << 20
    assert not found.busy
    lock = os.open(partial, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert survey(str(tmp_path / "model")).dest.busy
    os.close(lock)
    assert not survey(str(tmp_path / "model")).dest.busy


def test_a_folder_that_takes_no_file_says_why(tmp_path: Path) -> None:
    def fault(path: Path) -> str:
        return survey(str(path)).dest.fault

    (tmp_path / "file").touch()
    assert fault(tmp_path / "file" / "model") == (
        f"can't write in {tmp_path / 'file'} (Not a directory): let the user that runs Ray write there, "
        "or give another destination"
    )
    long = tmp_path / ("n" * 300)
    assert f"can't write in {long / 'model'} (File name too long)" in fault(long / "model")
    small = tmp_path / "small"
    small.mkdir()
    with mounted(small, "nr_inodes=1"):
        assert "(No space left on device)" in fault(small / "model")
        assert survey(str(small / "model")).dest.free_files == 0
    with mounted(small, "size=1m,ro"):
        assert "(Read-only file system)" in fault(small / "model")
        assert fault(small) == f"{small} is a disk of its own: give a folder in it"


def test_a_copy_that_a_push_left_is_ours_until_something_is_added_or_it_is_replaced(tmp_path: Path) -> None:
    place, manifest = delivered(content(tmp_path / "source"), tmp_path / "model")
    found = survey(str(place.final)).dest
    assert (found.state, found.digest, found.content_bytes) == ("ours", manifest.digest, manifest.content_bytes)
    assert found.untouched
    place.final.chmod(0o700)
    (place.final / "checkpoint").touch()
    found = survey(str(place.final)).dest
    assert (found.state, found.digest) == ("other", manifest.digest), "the same content may still be pushed"
    (place.final / "checkpoint").unlink()
    (place.final / "a").touch()
    assert not survey(str(place.final)).dest.untouched
    (place.final / "checkpoint").touch()
    found = survey(str(place.final)).dest
    assert (found.state, found.digest) == ("other", "")


def test_a_probe_that_is_to_stay_is_seen_by_its_tag_only(tmp_path: Path) -> None:
    survey(str(tmp_path / "model"), leave="1a2b")
    assert [path.name for path in tmp_path.iterdir()] == [probe_name("1a2b")]
    assert seen(str(tmp_path), ["3c4d", "1a2b"]) == ["1a2b"]
    disk.remove_probe(str(tmp_path), "1a2b")
    disk.remove_probe(str(tmp_path), "1a2b")
    assert seen(str(tmp_path), ["1a2b"]) == []


def test_probes_of_a_driver_that_was_killed_go_with_the_next_survey(tmp_path: Path) -> None:
    for name, age_s in (("old", STALE_S + 60), ("new", 0)):
        (tmp_path / f"{PROBE}{name}").touch()
        os.utime(tmp_path / f"{PROBE}{name}", (time.time() - age_s,) * 2)
    survey(str(tmp_path / "model"))
    assert [path.name for path in tmp_path.iterdir()] == [f"{PROBE}new"]
    assert sweep_probes(tmp_path, time.time() + 2 * STALE_S) == [f"{PROBE}new"]
