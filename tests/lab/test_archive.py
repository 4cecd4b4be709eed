"""The folder of a run is whole or has no run.json, and its tables have their columns always."""

import errno
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from disk import mounted
from summaries import DONE

from minibit import records
from minibit.errors import DiskFullError, LocalError, OptionError
from minibit.lab import load
from minibit.lab.archive import RunFolder
from minibit.lab.frames import frames
from minibit.records import TABLES, BlockRecord, LinkRecord, PeerRecord, Record, SampleRecord, ServingRecord

RECORDS: list[Record] = [
    BlockRecord(2.5, "peer-02", 7, "tracker", 0.25, "useful", 65536),
    BlockRecord(1.5, "peer-01", 0, "peer-02", 0.5, "rejected", 65536),
    ServingRecord(0.0, "tracker", "peer-01", "guest"),
    PeerRecord(3.0, "peer-01", "completed"),
    SampleRecord(1.0, "peer-01", 1, 4, 3, 2, 0, 65536, 900),
    LinkRecord(0.5, "peer-01", "peer-02", "linked"),
]
ABOUT = {"summary": DONE.as_dict(), "peers": []}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_runs_at_the_same_time_never_share_a_folder():
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: RunFolder.create(), range(40)))
    assert len({folder.path for folder in folders}) == 40
    assert all(folder.path == Path("runs") / folder.name and folder.path.is_dir() for folder in folders)


def test_a_run_with_a_name_gets_the_folder_of_that_name():
    folder = RunFolder.create(name="tuesday")
    assert (folder.name, folder.path, folder.files) == ("tuesday", Path("runs/tuesday"), Path("runs/tuesday/files"))


def test_out_may_be_there_already_so_that_a_killed_run_can_be_resumed():
    Path("shared/files").mkdir(parents=True)
    assert RunFolder.create(out="shared").path == Path("shared")


@pytest.mark.parametrize("where", [{"out": "shared"}, {"name": "tuesday"}])
def test_a_run_in_the_folder_of_an_earlier_one_sets_its_records_aside_and_leaves_its_copies(where):
    for run in range(3):
        folder = RunFolder.create(**where)
        folder.write({**ABOUT, "run": run}, RECORDS, {"peer-01.journal": b"%d" % run})
        (folder.path / "report.html").write_text(str(run))
        folder.files.mkdir(exist_ok=True)
        (folder.path / "mine.parquet").touch()
        folder.remove_if_empty()  # that run is over
    assert {path.name for path in folder.path.iterdir() if path.is_dir()} == {"files", "earlier"}
    for run, path in enumerate([folder.path / "earlier" / "1", folder.path / "earlier" / "2", folder.path]):
        assert json.loads((path / "run.json").read_text())["run"] == run
        assert (path / "report.html").read_text() == (path / "peer-01.journal").read_text() == str(run)
        assert load(path).blocks.height == 2
    assert (folder.path / "mine.parquet").exists()


def test_a_disk_that_is_full_leaves_the_records_of_the_earlier_run_where_they_are(monkeypatch):
    first = RunFolder.create(out="shared")
    first.write(ABOUT, RECORDS)
    first.remove_if_empty()
    before = sorted(Path("shared").rglob("*"))
    folder = RunFolder.create(out="shared")

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskFullError):
        folder.write(ABOUT, RECORDS)
    assert sorted(Path("shared").rglob("*")) == before


@pytest.mark.parametrize("where", [{"out": "data/out"}, {"out": "data"}, {"out": "link/to"}, {}, {"name": "tuesday"}])
def test_a_folder_in_what_is_shared_is_refused_before_anything_is_made_there(where, monkeypatch):
    Path("data").mkdir()
    Path("link").symlink_to("data")
    if "out" not in where:
        monkeypatch.chdir("data")
    with pytest.raises(OptionError, match="which is shared: give a folder outside it"):
        RunFolder.create(**where, source="." if "out" not in where else "data")
    assert list(Path().rglob("data/*")) == []


def test_a_folder_beside_what_is_shared_is_taken():
    Path("data").mkdir()
    Path("data2").touch()
    assert RunFolder.create(out="data-out", source="data").path.is_dir()
    assert RunFolder.create(out="data3", source="data2").path.is_dir()


def test_a_folder_that_can_not_be_written_is_refused_before_a_run_begins(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    found = pytest.raises(LocalError, match=r"can't write .*disk \(Read-only file system\): give another folder")
    with mounted(disk, "ro,size=1m"), found:
        RunFolder.create(out=disk)


def test_a_second_run_is_kept_out_of_a_folder_as_long_as_the_first_goes_on():
    first = RunFolder.create("busy")
    for name, out in (("busy", None), ("other", first.path)):
        with pytest.raises(LocalError, match="a run goes on in runs/busy: wait for its end, or give another folder"):
            RunFolder.create(name, out)
    first.remove_if_empty()
    second = RunFolder.create("busy")
    path = second.path
    del second  # a program that forgets it keeps nobody out
    assert RunFolder.create("busy").path == path


def test_a_folder_that_can_not_be_made_says_what_to_do():
    Path("file").write_text("in the way")
    with pytest.raises(LocalError, match="can't write file"):
        RunFolder.create(out="file")
    with pytest.raises(LocalError, match="give another folder"):
        RunFolder.create(out="file/below")


def test_a_written_run_can_be_read_again():
    folder = RunFolder.create(out="shared")
    folder.write(ABOUT, RECORDS)
    run = json.loads((folder.path / "run.json").read_text())
    assert run["summary"] == json.loads(DONE.to_json())
    assert (run["format"], run["peers"]) == (1, [])
    assert set(run["versions"]) == {"python", "platform", "ray", "minibit"}
    assert sorted(path.name for path in folder.path.iterdir()) == sorted(
        [*(f"{t}.parquet" for t in TABLES), "run.json"]
    )
    for name, frame in frames(RECORDS).items():
        assert pl.read_parquet(folder.path / f"{name}.parquet").equals(frame)


def test_a_disk_that_is_full_leaves_no_half_table(monkeypatch):
    folder = RunFolder.create(out="shared")

    def half(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(DiskFullError, match="no room for"):
        folder.write(ABOUT, RECORDS)
    assert list(folder.path.iterdir()) == []


def test_records_travel_in_batches_and_come_out_the_same():
    assert records.decode(records.encode(RECORDS)) == RECORDS
    assert records.decode(records.encode([])) == []


def test_a_record_can_be_moved_on_the_axis():
    assert records.shifted(RECORDS[3], -2.5) == PeerRecord(0.5, "peer-01", "completed")


def test_a_run_that_came_to_nothing_leaves_no_folder_but_one_that_was_there_before():
    Path("theirs").mkdir()
    for folder in (RunFolder.create(), RunFolder.create(out="new"), RunFolder.create(out="theirs")):
        folder.remove_if_empty()
    assert sorted(map(str, Path().iterdir())) == ["runs", "theirs"]
    assert not list(Path("runs").iterdir())
