"""Files that a user gives are read, or refused in one line that names them, whatever is in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lab_runs import simulated

from minibit.cli import runs
from minibit.compare import grid
from minibit.compare.results import ResultsFolder
from minibit.errors import LocalError
from minibit.lab import formats, load
from minibit.lab.archive import RunFolder
from minibit.lab.words import as_text
from minibit.run.options import TABLE
from minibit.run.scenario import Scenario, read
from minibit.sim.journal import Journal

DEEP = "[" * 2000
ODD = {
    "empty": b"",
    "a NUL": b"\0",
    "no UTF-8": b'a = "\xff"',
    "many digits": b"a = " + b"9" * 5000,
    "more than 64 bits": b"a = 99999999999999999999",
    "deep": b"a = " + DEEP.encode(),
    "deep and whole": b"a = " + b"[" * 100 + b"]" * 100,
    "JSON with many digits": b'{"a": ' + b"9" * 5000 + b"}",
    "JSON with more than 64 bits": b'{"a": 99999999999999999999}',
    "JSON without bounds": b'{"a": 1e999}',
    "deep JSON": b'{"a": ' + DEEP.encode(),
    "deep and whole JSON": b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}",
    "JSON that is no UTF-8": b'{"a": "\xff"}',
    "a list": b"[]",
    "a word": b"x",
}
IN_A_TEST = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 62), 1 << 62) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)  # fmt: skip


def readers(folder: Path) -> dict[str, Callable[[Path], object]]:
    """Everything that reads a file which a user gives or edits."""

    def results(path: Path) -> None:
        (folder / "results").mkdir(exist_ok=True)
        (folder / "results" / "results.jsonl").write_bytes(path.read_bytes())
        with ResultsFolder(folder / "results"):
            pass

    return {
        "a grid": grid.load,
        "TOML": lambda path: formats.parse_toml(formats.read_text(path, "another"), path),
        "JSON": lambda path: formats.parse_json(formats.read_bytes(path, 1 << 20, "another"), path),
        "a journal": lambda path: Journal.decode(formats.read_bytes(path, 1 << 20, "another")),
        "results": results,
    }


def refused(read: Callable[[Path], object], path: Path) -> str | None:
    """What the reader says about this file; None if it takes it."""
    try:
        read(path)
    except LocalError as error:
        assert len(str(error).splitlines()) == 1
        return str(error)
    return None


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_an_odd_file_is_read_or_refused_in_one_line(tmp_path, data):
    path = tmp_path / "given"
    path.write_bytes(data)
    said = {name: refused(read, path) for name, read in readers(tmp_path).items()}
    assert said["a grid"] and said["a journal"]
    assert said["results"] is None  # a line that is none of ours is counted, and ignored


@IN_A_TEST
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="replace")))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path, data):
    path = tmp_path / "given"
    path.write_bytes(data)
    for reader in readers(tmp_path).values():
        refused(reader, path)


def test_what_can_not_be_opened_is_named_with_what_to_give(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(b" " * 100)
    for path, why in ((tmp_path / "folder", "Is a directory"), (tmp_path / "none", "No such file"), ("a\0b", "null")):
        with pytest.raises(LocalError, match=rf"can't be read \(.*{why}.*\): give another"):
            formats.read_text(path, "another")
    with pytest.raises(LocalError, match=r"large can't be read \(it has more than 0 MiB\): give another"):
        formats.read_bytes(tmp_path / "large", 99, "another")


def test_a_file_of_an_editor_that_begins_with_a_mark_and_ends_lines_as_windows_does_is_read(tmp_path):
    (tmp_path / "g.toml").write_bytes(formats.BOM + b'a = "x"\r\nb = """1\r\n2"""\r\n')
    text = formats.read_text(tmp_path / "g.toml", "another")
    assert formats.parse_toml(text, "it") == {"a": "x", "b": "1\n2"}
    assert formats.parse_json(formats.read_bytes(_with(tmp_path, formats.BOM + b"{}"), 9, "another"), "it") == {}


def _with(folder: Path, data: bytes) -> Path:
    (folder / "with").write_bytes(data)
    return folder / "with"


def tables(keys: Iterable[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from([*keys, "zzz", "a.0.b", "scenario.faults.0.at"]), values, max_size=3)


@IN_A_TEST
@given(
    tables(TABLE, PLAIN),
    tables(Scenario.__struct_encode_fields__, PLAIN),
    tables(TABLE, st.lists(PLAIN, max_size=2) | PLAIN),
    st.lists(tables([*TABLE, "name"], PLAIN), max_size=2) | PLAIN,
)
def test_any_tables_are_a_grid_or_refused_in_one_line(options, scenario, axes, cases):
    small = {"peers": 2, "size": "64KiB", **options}
    try:
        file = read({"title": "T", "options": small, "scenario": scenario, "grid": axes, "cases": cases}, grid.File)
        assert grid.of_file("", file).cells
    except LocalError as error:
        assert len(str(error).splitlines()) == 1


def test_a_grid_of_more_cells_than_anybody_waits_for_is_refused_before_one_is_built(tmp_path):
    values = list(range(1, 101))
    many = "\n".join(f"{name} = {values}" for name in ("slots", "guests", "pipeline", "neighbours"))
    (tmp_path / "g.toml").write_text(f"title = 'T'\n[grid]\n{many}\n")
    with pytest.raises(LocalError, match="grid: 100,000,000 cells, and 10,000 is the most: give fewer values"):
        grid.load(tmp_path / "g.toml")


# the folder of a run


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """The folder of a small run."""
    run, records = simulated(peers=2)
    folder = RunFolder.create(out=tmp_path_factory.mktemp("kept") / "run")
    folder.write(run.about, records)
    return folder.path


def shown(folder: Path) -> None:
    """The run can be listed and shown, or is refused in one line."""
    if (said := refused(lambda path: as_text(load(path)), folder)) is None:
        assert not as_text(load(folder)).startswith("Run: ")
    for arguments in (["ls", "--runs", folder.parent], ["show", folder]):
        result = CliRunner().invoke(runs.main, [str(one) for one in arguments], prog_name="minibit runs")
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert result.exit_code in ((0,) if said is None else (0, 2))


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_a_run_json_that_is_odd_is_said_to_be_so_and_the_rest_is_shown(kept, data):
    (kept / "run.json").write_bytes(data)
    assert any(sentence.startswith("run.json ") for sentence in load(kept).missing)
    shown(kept)


@settings(IN_A_TEST, max_examples=40)
@given(st.data())
def test_whatever_somebody_writes_into_a_run_json_the_run_is_shown(kept, data):
    run, _ = simulated(peers=2)
    about: Any = json.loads(json.dumps({"format": 1, **run.about}))
    table = about
    while isinstance(table, dict) and table:  # down into it by chance, and there one value is changed
        key = data.draw(st.sampled_from(sorted(table)))
        if not isinstance(table[key], dict) or data.draw(st.booleans()):
            table[key] = data.draw(PLAIN)
            break
        table = table[key]
    (kept / "run.json").write_text(json.dumps(about))
    shown(kept)


@pytest.mark.parametrize("table", ["blocks", "peers", "samples"])
@settings(IN_A_TEST, max_examples=10)
@given(st.binary(max_size=30), st.integers(0, 3000))
def test_a_table_that_is_broken_is_named_and_the_rest_is_shown(kept, table, data, at):
    path = kept / f"{table}.parquet"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:at] + data + whole[at + len(data) :])
        shown(kept)
    finally:
        path.write_bytes(whole)
