"""A run's folder is read whole or not, old or new; what isn't there is said."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from lab_runs import simulated

from minibit.errors import LocalError
from minibit.lab import load
from minibit.lab.archive import FORMAT, RunFolder
from minibit.lab.frames import frames
from minibit.records import TABLES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a small run, as drivers write it."""
    run, records = simulated(peers=3)
    RunFolder.create(out=tmp_path / "run").write(run.about, records)
    return tmp_path / "run"


def rewrite(folder: Path, **changes: object) -> None:
    told = json.loads((folder / "run.json").read_text()) | changes
    (folder / "run.json").write_text(json.dumps({key: value for key, value in told.items() if value is not None}))


def test_a_whole_run_is_the_one_that_was_written(folder):
    run, records = simulated(peers=3)
    found = load(folder)
    assert (found.name, found.folder, found.missing) == (run.name, folder, ())
    assert found.summary == run.summary
    assert all(found.records[name].equals(table) for name, table in frames(records).items())
    assert found.members.equals(run.members)
    assert found.versions["minibit"]
    assert load(str(folder)).name == run.name


def test_a_folder_that_is_missing_is_refused_and_so_is_an_empty_one(tmp_path):
    with pytest.raises(LocalError, match=r"there is no run in .*nowhere: give the folder of one"):
        load(tmp_path / "nowhere")
    with pytest.raises(LocalError, match=r"there is no run in .*: it was killed before it wrote anything"):
        load(tmp_path)


def test_a_run_of_a_newer_version_is_refused_with_what_to_do(folder):
    rewrite(folder, format=FORMAT + 1)
    with pytest.raises(LocalError, match=r"newer Minibit \(format 2, and this one reads up to 1\): update it"):
        load(folder)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_is_missing_is_empty_and_named(folder, table):
    (folder / f"{table}.parquet").unlink()
    found = load(folder)
    assert len(found.missing) == 1
    assert found.missing[0].startswith(f"There is no {table}.parquet")
    assert found.records[table].is_empty()
    assert tuple(found.records[table].columns) == TABLES[table].__struct_fields__
    assert len(list(found.each_table())) == 19


def test_a_table_that_is_broken_is_empty_and_named(folder):
    (folder / "serving.parquet").write_bytes(b"PAR1 and no more")
    found = load(folder)
    assert len(found.missing) == 1 and found.missing[0].startswith("serving.parquet can't be read (")
    assert found.serving.is_empty() and found.blocks.height


def test_a_table_that_lacks_a_column_has_it_empty(folder):
    pl.read_parquet(folder / "samples.parquet").drop("served").write_parquet(folder / "samples.parquet")
    found = load(folder)
    assert found.missing == ("samples.parquet lacks served.",)
    assert found.samples["served"].null_count() == found.samples.height > 0


def test_a_run_that_was_killed_while_it_was_written_shows_what_there_is(folder):
    (folder / "run.json").unlink()
    (folder / "links.parquet").unlink()
    (folder / "samples.parquet").rename(folder / ".samples.parquet.new")
    found = load(folder)
    assert [sentence[:21] for sentence in found.missing] == ["There is no run.json:", "There is no links.par"]
    assert (found.name, found.summary, found.options, found.faults) == ("run", None, {}, [])
    assert (found.content_blocks, found.block_bytes) == (32, 32768)
    assert sorted(found.members["peer"]) == ["peer-01", "peer-02", "peer-03", "tracker"]
    assert found.samples.height
    assert found.completion().height == 3
    assert "3 of 3 peers complete" in repr(found)
    assert "complete at" in found.story(peer=2)


def test_a_run_json_that_is_broken_is_said_and_the_tables_are_shown(folder):
    (folder / "run.json").write_text('{"format": 1, "summ')
    found = load(folder)
    assert len(found.missing) == 1 and found.missing[0].startswith("run.json can't be read (")
    assert found.completion().height == 3


def test_a_run_of_an_older_version_loads_and_says_what_it_does_not_know(folder):
    whole = load(folder)
    rewrite(folder, format=None, peers=None, run=None, world=None, content=None)
    (folder / "links.parquet").unlink()
    found = load(folder)
    assert [sentence.split(":")[0] for sentence in found.missing] == [
        "run.json is of an older Minibit",
        "There is no links.parquet",
    ]
    assert (found.name, found.world, found.content) == (whole.name, "sim", whole.content)
    assert found.members["peer"].to_list() == whole.members["peer"].to_list()
    assert found.members["behaviour"].null_count() == found.members["held_at_start"].null_count() == 4
    assert "without a block" not in found.story(peer=1) and "At the start" not in found.story(block=1)
    assert found.gave().equals(whole.gave())
    assert found.availability().equals(whole.availability())
    assert found.messages().is_empty()
