"""A run's folder, read: whole or not, of this version or an older one.

What is missing is said in words (`Run.missing`), and the rest is shown. Only a folder without any part of a run, or one
that a newer version wrote, is an error.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import polars as pl
from polars.exceptions import PolarsError

from minibit.errors import LocalError
from minibit.lab.archive import FORMAT
from minibit.lab.formats import JSON_BYTES_MAX, parse_json, read_bytes
from minibit.lab.frames import empty, fitted
from minibit.lab.run import Run
from minibit.records import TABLES
from minibit.run.summary import ContentSummary, Summary

Count = Annotated[int, msgspec.Meta(ge=0)]


class _Member(msgspec.Struct):
    peer: str
    behaviour: str | None = None
    class_name: str | None = msgspec.field(name="class", default=None)
    held_at_start: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]+$")] = "0"
    upload_bps: float | None = None
    download_bps: float | None = None
    node: str | None = None
    picker: str | None = None
    choker: str | None = None
    messages: dict[str, Count] = {}


class _Rules(msgspec.Struct):
    picker: str
    choker: str
    slots: Count
    guests: Count


class _Options(msgspec.Struct):
    rules: _Rules | None = None


class _Fault(msgspec.Struct):
    at_s: float
    what: str
    who: str
    until_s: float | None = None


class About(msgspec.Struct):
    """What of run.json is used: parts may be missing, and what is there has these types."""

    format: int = 0
    run: str | None = None
    world: str | None = None
    content: ContentSummary | None = None
    summary: Summary | None = None
    options: _Options | None = None
    scenario: dict[str, Any] | None = None
    versions: dict[str, str] | None = None
    peers: list[_Member] | None = None
    faults: list[_Fault] | None = None


def load(path: str | os.PathLike[str]) -> Run:
    """The run in this folder. `LocalError` if there is none, or if only a newer version can read it."""
    folder = Path(path)
    if not folder.is_dir():
        raise LocalError(f"there is no run in {folder}: give the folder of one, as runs/NAME")
    about, missing = read_about(folder)
    tables = {name: _table(folder, name, missing) for name in TABLES}
    if not about and all(frame is None for frame in tables.values()):
        raise LocalError(f"there is no run in {folder}: it was killed before it wrote anything, or has not ended yet")
    found = {name: empty(name) if frame is None else frame for name, frame in tables.items()}
    return Run(about, found, folder, tuple(missing))


def read_about(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What run.json says, and sentences on what is missing; `LocalError` if only a newer version can read it."""
    path = _written(folder, "run.json")
    if path is None:
        return {}, ["There is no run.json: the run was killed before it was over, or has not ended yet."]
    try:
        about = parse_json(read_bytes(path, JSON_BYTES_MAX, "the folder of another run"), "it")
    except LocalError as error:
        return {}, [f"run.json can't be read ({error})."]
    written = about.get("format", 0)
    if isinstance(written, int) and written > FORMAT:
        raise LocalError(
            f"{folder} was written by a newer Minibit (format {written}, and this one reads up to {FORMAT}): update it"
        )
    try:
        msgspec.convert(about, About)
    except msgspec.ValidationError as error:
        return {}, [f"run.json can't be read ({error})."]
    if "peers" in about:
        return about, []
    return about, [
        "run.json is of an older Minibit: it doesn't say how each peer behaved, what it held at the start, its limits "
        "and its messages."
    ]


def _table(folder: Path, name: str, missing: list[str]) -> pl.DataFrame | None:
    file = f"{name}.parquet"
    path = _written(folder, file)
    if path is None:
        missing.append(
            f"There is no {file}: the run was killed, was written without polars, or is of an older Minibit."
        )
        return None
    try:
        frame, lacking = fitted(name, pl.read_parquet(path))
    except (OSError, PolarsError) as error:
        first_line, *_ = str(error).split("\n")
        missing.append(f"{file} can't be read ({first_line}).")
        return None
    if lacking:
        missing.append(f"{file} lacks {', '.join(lacking)}.")
    return frame


def _written(folder: Path, name: str) -> Path | None:
    """The file of that name, or the unfinished one that a killed run left."""
    paths = (folder / name, folder / f".{name}.new")
    return next((path for path in paths if path.is_file()), None)
