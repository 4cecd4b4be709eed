"""`minibit runs`: the runs that were kept are listed, shown, compared and exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result
from lab_runs import simulated

from minibit.cli import runs
from minibit.lab import load
from minibit.lab.archive import RunFolder


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """A folder with two runs that differ in one option, and something else."""
    where = tmp_path_factory.mktemp("kept")
    for name, choker in (("monday", "tit-for-tat"), ("tuesday", "none")):
        run, records = simulated(peers=8, choker=choker, name=name, behave="free-rider=1")
        RunFolder.create(out=where / "runs" / name).write(run.about, records)
    (where / "runs" / "compare-chokers").mkdir()
    return where


@pytest.fixture
def ran(kept, monkeypatch) -> Callable[..., Result]:
    monkeypatch.chdir(kept)
    return lambda *arguments: CliRunner().invoke(runs.main, [str(one) for one in arguments], prog_name="minibit runs")


def test_ls_has_a_line_for_each_run_and_for_nothing_else(ran):
    result = ran("ls")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split()[:3] == ["run", "world", "complete"]
    assert [line.split()[0] for line in lines[1:]] == ["monday", "tuesday"]
    assert "8 of 8" in lines[1] and "tit-for-tat" in lines[1]


def test_ls_of_nothing_says_what_to_do(ran, tmp_path):
    for where in (tmp_path, tmp_path / "nowhere"):
        result = ran("ls", "--runs", where)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "run a swarm first, or give --runs DIR" in result.stderr


def test_ls_names_what_is_not_whole_and_what_is_of_a_newer_version(ran, tmp_path):
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "run.json").write_text('{"format": 9}')
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "blocks.parquet").write_bytes(b"")
    lines = ran("ls", "--runs", tmp_path).stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["killed", "not", "whole"], ["newer", "of", "a"]]


def test_show_says_what_was_told_and_how_each_sort_of_peer_fared(ran):
    result = ran("show", "tuesday")
    assert result.exit_code == 0
    assert result.stdout.startswith("Run tuesday (sim): 8 of 8 peers complete in ")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["choker", "none"] in lines
    assert [line[:3] for line in lines if line and line[0] in ("honest", "free-rider")] == [
        ["honest", "7", "7"],
        ["free-rider", "1", "1"],
    ]


def test_a_run_is_named_by_its_folder_too(ran, kept):
    assert (
        ran("show", "runs/monday").stdout
        == ran("show", kept / "runs" / "monday").stdout
        == ran("show", "monday").stdout
    )


def test_diff_shows_only_what_differs(ran):
    result = ran("diff", "monday", "tuesday")
    told, figures = result.stdout.split("\n\n")
    assert told.split() == ["told", "monday", "tuesday", "choker", "tit-for-tat", "none"]
    rows = [line.split() for line in figures.splitlines()]
    assert rows[0] == ["figure", "monday", "tuesday", "ratio"]
    assert ["completed"] not in [row[:1] for row in rows] and ["reciprocity"] in [row[:1] for row in rows]
    assert ran("diff", "monday", "monday").stdout == "they differ in nothing\n"


@pytest.mark.parametrize(("form", "read"), [("csv", pl.read_csv), ("parquet", pl.read_parquet)])
def test_export_writes_every_table(ran, kept, tmp_path, form, read):
    result = ran("export", "monday", "--to", tmp_path / "tables", "--format", form)
    assert (result.exit_code, result.stdout) == (0, f"19 tables in {tmp_path / 'tables'}\n")
    for name, table in load(kept / "runs" / "monday").each_table():
        found = read(tmp_path / "tables" / f"{name}.{form}")
        assert (found.columns, found.height) == (table.columns, table.height)


def test_export_never_writes_over_anything(ran, tmp_path):
    (tmp_path / "mine.csv").write_text("1")
    result = ran("export", "monday", "--to", tmp_path)
    assert result.exit_code == 2
    assert "there is something already: give a new folder" in result.stderr
    assert ran("export", "monday", "--to", tmp_path / "mine.csv" / "below").exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_a_run_that_there_is_not_is_one_line_and_no_traceback(ran):
    for command in (("show", "friday"), ("diff", "monday", "friday"), ("export", "friday", "--to", "x")):
        result = ran(*command)
        assert (result.exit_code, result.stdout) == (2, "")
        there = "there is no run friday: give its folder, or its name in runs (see minibit runs ls)"
        assert result.stderr == f"minibit runs {command[0]}: {there}\n"


def test_a_folder_without_a_run_says_so(ran):
    result = ran("show", "compare-chokers")
    assert result.exit_code == 2
    assert result.stderr.startswith("minibit runs show: there is no run in runs/compare-chokers: ")


def test_what_is_missing_of_a_run_is_said_on_standard_error(ran, kept, tmp_path):
    for path in (kept / "runs" / "monday").iterdir():
        if path.stem not in ("links", "run"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    result = ran("show", tmp_path)
    assert result.exit_code == 0
    assert result.stderr.count("There is no") == 2
    assert "8 of 8 peers complete" in result.stdout
